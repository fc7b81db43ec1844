"""`dovetail signal RUN` without an answer: a form on a terminal, an error that says what to give elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from flowproject import FlowProject

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")

FLOW = """
from dataclasses import dataclass, field
from typing import Literal
from dovetail import await_input, flow, wait_for_input

@dataclass
class Approval:
    count: int
    approve: bool
    mode: Literal["fast", "slow"] = "fast"
    note: str = ""
    rate: float | None = None
    tags: list[str] = field(default_factory=list)

@flow
def main():
    return vars(wait_for_input(Approval, question="Ship it?"))

@flow
def plain():
    return wait_for_input(str, question="Who?")

@flow
async def both():
    import asyncio
    return await asyncio.gather(await_input(int, name="one"), await_input(bool, name="two"))
"""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, project: FlowProject, *words: str) -> None:
        import pty

        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dovetail", *words],
            cwd=project.folder,
            env=project._environment(None),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def answer(self, prompt: str, text: str) -> None:
        """Wait until something is asked, and type an answer."""
        while prompt not in self.shown[self._seen :]:
            assert self._read(), self.shown
        self._seen = len(self.shown)
        os.write(self._ours, text.encode())

    def end(self) -> str:
        """What it wrote to stdout."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.communicate(timeout=60)[0]

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode()
        return bool(data)


def waiting(project: FlowProject, flow: str) -> str:
    project.write(FLOW, counting=False)
    return project.ok("run", f"flow.py:{flow}", "--pause-after", "0").run


def test_each_field_is_asked_for_until_it_is_right(project: FlowProject) -> None:
    run = waiting(project, "main")
    form = Terminal(project, "signal", run)
    form.answer("count (a whole number): ", "\n")
    form.answer("it is needed", "2.5\n")
    form.answer("'2.5' is not a whole number", "3\n")
    form.answer("approve (true or false): ", "perhaps\n")
    form.answer("'perhaps' is not true or false", "yes\n")
    form.answer("mode (one of 'fast', 'slow') [fast]: ", "quick\n")
    form.answer("'quick' is not one of 'fast', 'slow'", "\n")
    form.answer("note (text) [empty]: ", "12\n")
    form.answer("rate (a number or null) [optional]: ", "null\n")
    form.answer("tags (a list, as JSON) [optional]: ", '["a", 1]\n')
    form.answer("[1]: 1 is not text", '["a", "b"]\n')
    out = form.end()
    assert form.process.returncode == 0, form.shown
    assert out == ""
    assert "Ship it?" in form.shown
    assert project.data(run).result == {
        "count": 3,
        "approve": True,
        "mode": "fast",
        "note": "12",
        "rate": None,
        "tags": ["a", "b"],
    }


def test_an_answer_without_fields(project: FlowProject) -> None:
    run = waiting(project, "plain")
    form = Terminal(project, "signal", "flow.py", run, "--json")
    form.answer("answer: ", "\n")
    form.answer('it is needed; "" is the empty text', "ada\n")
    assert '"continued": true' in form.end()
    assert project.data(run).result == "ada"


def test_an_answer_that_is_not_finished_is_not_sent(project: FlowProject) -> None:
    run = waiting(project, "plain")
    form = Terminal(project, "signal", run)
    form.answer("answer: ", "\x04")  # the end of the input
    form.end()
    assert form.process.returncode == 2
    assert "nothing was sent: the answer was not finished" in form.shown
    assert len(project.run(run).waiting) == 1


def test_one_of_several(project: FlowProject) -> None:
    run = waiting(project, "both")
    assert "Say which one is answered: --name NAME" in project.fails("signal", run, code=2).err
    form = Terminal(project, "signal", run, "--name", "two", "--no-resume")
    form.answer("answer: ", "n\n")
    assert "two is answered" in form.end()
    said = project.fails("signal", run, "--name", "three", code=2)
    assert "waits for nothing of the name three" in said.err


def test_without_a_terminal_the_error_says_what_to_give(project: FlowProject) -> None:
    run = waiting(project, "main")
    said = project.fails("signal", run, code=2)
    assert f"give the answer to input of run {run}: Ship it?\n" in said.err
    assert "  count (a whole number)\n  approve (true or false)\n" in said.err
    assert "  mode (one of 'fast', 'slow') [fast]\n" in said.err
    hint = f"""dovetail signal {run} '{{"count": 1, "approve": true}}'"""
    assert f"Write it like this: {hint}" in said.err
