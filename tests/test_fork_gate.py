"""A flow whose import makes forking unsafe: what falls back to fresh processes, and what is refused."""

from __future__ import annotations

import sys

import pytest
from flowproject import FlowProject

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is forked")

TICKING = """
import threading

def tick():
    threading.Event().wait()

threading.Thread(target=tick, name="ticker", daemon=True).start()

class Ticking(FlowSpec):
    @step
    def start(self):
        count()
        self.items = [1, 2]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        count()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
FOUND = "thread 'ticker' was started at import"
ADVICE = '@isolation(reuse="auto")'


@pytest.fixture
def ticking(project: FlowProject) -> FlowProject:
    project.write(TICKING)
    return project


def test_auto_falls_back_and_says_what_makes_that_cheap(ticking: FlowProject) -> None:
    checked = ticking.ok("check", "flow.py")
    assert FOUND in checked.out + checked.err
    assert ADVICE in checked.out + checked.err
    said = ticking.ok("run", "flow.py")
    assert said.err.count(FOUND) == said.err.count(ADVICE) == 1
    assert ticking.run(said.run).task("start").metadata["isolation"] == "spawn"


def test_there_is_nothing_to_advise_where_processes_are_shared(ticking: FlowProject) -> None:
    ticking.change("    @step\n    def each", '    @isolation(reuse="auto")\n    @step\n    def each')
    checked = ticking.ok("check", "flow.py")
    assert FOUND in checked.out + checked.err
    assert ADVICE not in checked.out + checked.err


def test_fork_is_refused_before_anything_runs(ticking: FlowProject) -> None:
    for words in (("--with", "isolation:kind=fork"), ("--set", "each.isolation.kind=fork")):
        said = ticking.fails("run", "flow.py", *words, code=2)
        assert not said.ran
        assert all(part in said.err for part in ("step 'each'", "isolation 'fork'", FOUND, "'spawn'")), str(said)
    ticking.change("    @step\n    def each", '    @isolation("fork")\n    @step\n    def each')
    for verb in ("check", "run"):
        said = ticking.fails(verb, "flow.py", code=2)
        assert not said.ran
        assert all(part in said.err for part in ("flow.py:", FOUND, "'spawn'")), str(said)
        assert "step 'start'" not in said.err
