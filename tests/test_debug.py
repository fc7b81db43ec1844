"""`--debug` and `--post-mortem`, typed at through a pseudo-terminal."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")

FLOW = """
from dovetail import FlowSpec, step, timeout

class Bugs(FlowSpec):
    @timeout(seconds=1)
    @step
    def start(self):
        x = 41
        breakpoint()
        self.y = x + 1
        self.next(self.end)

    @step
    def end(self):
        1 / 0
"""


def converse(words: list[str], answers: list[str], folder: Path) -> tuple[str, int]:
    """Run `dovetail` on a terminal of its own and answer each debugger prompt; what it showed, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["DOVETAIL_HOME"] = str(folder / "home")
        os.environ["NO_COLOR"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "dovetail", *words])
    shown, answered = b"", 0
    while select.select([terminal], [], [], 60)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not data:
            break
        shown += data
        while answered < len(answers) and shown.count(b"(Pdb) ") > answered:
            os.write(terminal, answers[answered].encode() + b"\n")
            answered += 1
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return shown.decode(), os.waitstatus_to_exitcode(status)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "bugs.py").write_text(FLOW)
    return tmp_path


def test_a_breakpoint_stops_in_the_step_with_its_variables(flow: Path) -> None:
    shown, code = converse(["run", "bugs.py", "--debug=start"], ["p x + 100", "c"], flow)
    assert "141" in shown
    assert "✓ start" in shown
    assert "ZeroDivisionError" in shown
    assert code == 1


def test_post_mortem_opens_at_the_failure(flow: Path) -> None:
    shown, code = converse(["run", "bugs.py", "--post-mortem"], ["c", "p 'where' + 'abouts'", "q"], flow)
    assert "-> 1 / 0" in shown
    assert "'whereabouts'" in shown
    assert code == 1


def test_debugging_a_step_that_is_not_there_names_the_steps(flow: Path) -> None:
    shown, code = converse(["run", "bugs.py", "--debug=strat"], [], flow)
    assert "no such step" in shown
    assert "start, end" in shown
    assert code == 2
