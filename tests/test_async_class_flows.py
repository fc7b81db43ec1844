"""Class flows that coroutines run: side by side, given up, and found again when the run goes on."""

from __future__ import annotations

import signal

import pytest
from flowproject import FlowProject, until

FLOWS = """
import asyncio
from dovetail import arun_flow, flow, run_flow

class Meeting(FlowSpec):
    \"\"\"Ends when as many as are meant to be there at the same time are.\"\"\"
    me = Parameter(default=0)
    of = Parameter(default=2)

    @step
    def start(self):
        count()
        open(f"here-{self.me}", "w").close()
        while not all(os.path.exists(f"here-{n}") for n in range(self.of)):
            time.sleep(0.01)
        self.next(self.end)

    @step
    def end(self):
        self.met = self.me

@flow
async def meet(of: int = 2):
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    beating = asyncio.ensure_future(beat())
    try:
        runs = await asyncio.gather(arun_flow(Meeting, me=0, of=of), arun_flow(Meeting, me=1, of=of))
        assert beats > 1
    finally:
        beating.cancel()
    return [run.data.met for run in runs]
"""


def test_two_at_once_from_the_command_line(project: FlowProject) -> None:
    project.write(FLOWS)
    said = project.ok("run", "flow.py:meet")
    assert project.data(said.run).result == [0, 1]
    outer = project.run(said.run)
    inner = [run for run in project.runs() if run.flow_name == "Meeting"]
    calls = {task.data.result: task.path for task in outer.tasks(step="Meeting")}
    assert set(calls) == {run.id for run in inner}
    for run in inner:
        assert f"parent:{outer.id}/{calls[run.id]}" in run.system_tags


def test_two_at_once_from_python(project: FlowProject) -> None:
    project.write(FLOWS)
    main = """
import asyncio
from dovetail import arun_flow
from flow import Meeting, meet
print(asyncio.run(meet()))

async def plain():
    for n in range(2):
        os.remove(f"here-{n}")
    return await asyncio.gather(*[arun_flow(Meeting, me=n) for n in range(2)])

import os
print([run.data.met for run in asyncio.run(plain())])
"""
    (project.folder / "main.py").write_text(main)
    said = project.python("main.py")
    assert said.code == 0, str(said)
    assert said.out.splitlines().count("[0, 1]") == 2
    assert sorted(run.flow_name for run in project.runs()) == ["Meeting"] * 4 + ["meet"]


def test_one_that_is_given_up_is_interrupted(project: FlowProject) -> None:
    project.write(FLOWS)
    main = """
import asyncio
from dovetail import arun_flow
from flow import Meeting

async def main():
    meeting = asyncio.ensure_future(arun_flow(Meeting))
    import os
    while not os.path.exists("here-0"):
        await asyncio.sleep(0.01)
    meeting.cancel()
    try:
        await meeting
    except asyncio.CancelledError:
        print("gave up")
    try:
        await asyncio.wait_for(arun_flow(Meeting, me=1, of=1), 60)
    except Exception as error:
        print(error)

asyncio.run(main())
"""
    (project.folder / "main.py").write_text(main)
    said = project.python("main.py")
    assert said.code == 0, str(said)
    assert "gave up\n" in said.out
    assert "never retrieved" not in said.err
    second, first = project.runs()
    assert (str(first.state), str(second.state)) == ("interrupted", "succeeded")
    assert project.ok("resume", first.id).run == first.id


def test_one_that_fails_says_why(project: FlowProject) -> None:
    project.write(FLOWS.replace("self.met = self.me", "1 / 0"))
    said = project.fails("run", "flow.py:meet", "--of", "1")
    assert "of Meeting failed: end: ZeroDivisionError: division by zero" in said.err


def test_a_run_that_goes_on_finishes_those_that_it_began(project: FlowProject) -> None:
    """Also where the body calls them otherwise by now: a task is the same, however it is waited for."""
    project.write(FLOWS)
    driving = project.start("run", "flow.py:meet", "--of", "3")
    driving.wait_for("here-0")
    driving.wait_for("here-1")
    begun = {run.id for run in project.runs()}
    driving.signal(signal.SIGKILL)
    driving.end()
    until(lambda: all(str(run.state) == "lost" for run in project.runs()))
    (project.folder / "here-2").touch()
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    assert project.data(said.run).result == [0, 1]
    assert {run.id for run in project.runs()} == begun
    assert {str(run.state) for run in project.runs()} == {"succeeded"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("arun_flow(Meeting, me='x')", "--me: 'x' is not a whole number"),
        ("arun_flow(meet)", "A function that is marked @flow is called: meet(...)"),
    ],
)
def test_what_it_can_not_be_given(project: FlowProject, call: str, message: str) -> None:
    project.write(FLOWS)
    (project.folder / "main.py").write_text(
        f"import asyncio\nfrom dovetail import arun_flow\nfrom flow import Meeting, meet\nasyncio.run({call})\n"
    )
    said = project.python("main.py")
    assert said.code == 1
    assert message in said.err
    assert project.runs() == []
