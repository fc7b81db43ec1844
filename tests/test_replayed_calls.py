"""What a body that is run again is told of its recorded calls, and what it must ask about. Counted, not timed."""

from __future__ import annotations

import pytest
from flowproject import FlowProject, Said

COUNTING = """
import asyncio, os
from dovetail import FlowSpec, flow, isolation, retry, step, task
from dovetail.worker.channel import Channel

asked = []
expect = Channel.expect
Channel.expect = lambda self, *given: (asked.append(given), expect(self, *given))

@task
def near(i):
    count()
    return i

@task
async def soon(i):
    count()
    return "s" * (i * 40)

@isolation("fork")
@task
def far(i):
    count()
    return [i]
"""
BODY = """
@flow
def shop():
    total = sum(near(i) for i in range(20))
    total += sum(near.map(range(20, 30)).result())
    async def all_of_them():
        return await asyncio.gather(*(soon(i) for i in range(10)))
    total += len("".join(asyncio.run(all_of_them())))
    total += sum(one[0] for one in far.map(range(3)).result())
    print("asked", len(asked))
    STOP
    return total
"""
TOTAL = sum(range(30)) + 40 * sum(range(10)) + 3
STOP = 'raise RuntimeError("end")'


def asked(said: Said) -> int:
    """How many answers the body waited for."""
    (line,) = [line for line in (said.out + said.err).splitlines() if " asked " in line]
    return int(line.split()[-1])


@pytest.mark.parametrize("how", ["continued", "resumed"])
def test_recorded_calls_are_told_with_the_declaration(project: FlowProject, how: str) -> None:
    stop = "os._exit(os.path.exists('reached') or open('reached', 'w').close() or 1)"
    stop = f"if not os.path.exists('go'):\n        {stop if how == 'continued' else STOP}"
    project.write(COUNTING + BODY.replace("STOP", stop))
    failed = project.fails("run", "flow.py")
    assert sum(failed.ran.values()) == 43
    if how == "resumed":
        project.change("total = sum", "total = 0 + sum")
    (project.folder / "go").touch()
    after = project.ok("resume", failed.run)
    assert asked(after) == 3  # one answer a task
    assert not after.ran
    assert "43 of them" in after.err
    assert project.data(after.run).result == TOTAL


def test_calls_of_a_changed_task_are_asked_about_and_run(project: FlowProject) -> None:
    project.write(COUNTING + BODY.replace("STOP", STOP))
    failed = project.fails("run", "flow.py")
    project.change("return i\n", "return 0 + i\n")
    project.change(STOP, "pass")
    after = project.ok("resume", failed.run)
    assert sum(after.ran.values()) == 30
    assert asked(after) == 3 + 30
    assert project.data(after.run).result == TOTAL


STEPS = """
class Shop(FlowSpec):
    @step
    def start(self):
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        asked.clear()
        self.total = sum(near(10 * self.input + i) for i in range(5))
        print(f"asked {self.input}:", len(asked))
        if not os.path.exists(f"second-{self.input}"):
            open(f"second-{self.input}", "w").close()
            raise RuntimeError("once")
        self.next(self.end)

    work = retry(times=1)(work)

    @step
    def end(self, inputs):
        self.total = sum(one.total for one in inputs)
"""


def test_a_retried_step_is_told_of_its_own_children(project: FlowProject) -> None:
    project.write(COUNTING + STEPS)
    said = project.ok("run", "flow.py")
    assert sum(count for path, count in said.ran.items() if "near" in path) == 10
    lines = sorted(line.partition("] ")[2] for line in said.out.splitlines() if "asked" in line)
    assert lines == ["asked 1: 1", "asked 1: 6", "asked 2: 1", "asked 2: 6"]
    assert project.data(said.run).total == 10 * 5 * 3 + 2 * 10


def test_a_call_that_is_known_counts_once(project: FlowProject) -> None:
    """Equal calls have records of their own."""
    project.write(
        COUNTING + BODY.replace("near(i) for i in range(20)", "near(7) for i in range(20)").replace("STOP", STOP)
    )
    failed = project.fails("run", "flow.py")
    project.change("range(20))\n    total += sum(near.map", "range(21))\n    total += sum(near.map")
    project.change(STOP, "pass")
    after = project.ok("resume", failed.run)
    assert sum(after.ran.values()) == 1
    assert project.data(after.run).result == TOTAL - sum(range(20)) + 21 * 7
