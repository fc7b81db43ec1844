"""`dovetail cancel` of runs that nothing drives: ended by a driver that winds up, and runs nothing of them."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from flowproject import Driving, FlowProject, until

HEAD = """
import os, time
from dovetail import FlowSpec, flow, isolation, on_cancel, step, task, transaction, wait_for_input

def note(*words):
    with open("notes.txt", "a") as notes:
        print(*words, file=notes)

def tell(what, run, state):
    note(state.name, run.path.rpartition("/")[2].partition("~")[0] or run.flow)

def wait(name):
    open(name, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)

EVERY = dict(on_success=[tell], on_failure=[tell], on_cancel=[tell], on_crash=[tell])

@task
def write(x):
    note("write", x)

@write.on_rollback
def remove(txn):
    note("remove", txn.get("who"))

@task(**EVERY)
def done(): ...

@task(**EVERY)
def ask(how):
    if how == "wait":
        wait("waiting")
    else:
        wait_for_input(bool, name="ok", question="Shall it be?")
    note("went on")

@flow(**EVERY)
def shop(how: str = ""):
    note("body")
    done()
    with transaction() as txn:
        txn.set("who", "ada")
        write(1)
        ask(how)

def every(target):
    return on_cancel(tell)(target)

@on_cancel(tell)
class Shop(FlowSpec):
    @every
    @step
    def start(self):
        note("body")
        with transaction() as txn:
            txn.set("who", "ada")
            write(1)
            ask(os.environ["HOW"])
        self.next(self.end)

    @step
    def end(self):
        note("went on")
"""


def notes(project: FlowProject) -> list[str]:
    """What was noted since the last time."""
    file = project.folder / "notes.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def kill(project: FlowProject, driving: Driving) -> None:
    """Kill a driver once the index shows the task that waits for a file; what began just now it need not know."""
    driving.wait_for("waiting")
    (run,) = project.runs()
    until(lambda: any("/ask~" in task.path and str(task.state) == "running" for task in run.tasks()))
    driving.signal(signal.SIGKILL)
    driving.end()


def left(project: FlowProject, style: str, how: str) -> str:
    """A run that nothing drives: paused since it waits for an answer, or its driver was killed."""
    project.write(HEAD)
    words = ["run", f"flow.py:{style}", *(["--how", how] if style == "shop" else [])]
    if how == "wait":
        driving = project.start(*words, env={"HOW": how})
        kill(project, driving)
        (project.folder / "go").touch()  # nobody is to see it
        return driving.run
    return project.ok(*words, "--pause-after", "0", env={"HOW": how}).run


@pytest.mark.parametrize("how", ["pause", "wait"])
@pytest.mark.parametrize("style", ["shop", "Shop"])
def test_a_run_that_nothing_drives_is_wound_up(project: FlowProject, style: str, how: str) -> None:
    run = left(project, style, how)
    assert notes(project).count("went on") == 0
    state = "paused" if how == "pause" else "lost"
    assert str(project.run(run).state) == state
    said = project.ok("cancel", run, "--reason", "no need")
    assert f"{style}/{run} is cancelled." in said.out
    assert "no need" in said.err
    found = notes(project)
    assert "body" not in found
    assert "went on" not in found
    body = ["cancelled start", "cancelled Shop"] if style == "Shop" else ["cancelled shop"]
    assert sorted(found) == sorted(["remove ada", "cancelled ask", *body])
    assert found[-1] == body[-1], "the run's own hooks come last"
    states = project.states(run)
    assert not {"running", "waiting"} & set(states.values())
    assert str(project.run(run).state) == "cancelled"
    assert project.run(run).waiting == []
    again = json.loads(project.ok("cancel", run, "--json").out)
    assert again["state"] == "cancelled"
    assert again["requested"] is False
    assert notes(project) == []


def test_hooks_that_a_crash_cut_off_are_called_though_the_run_is_cancelled(project: FlowProject) -> None:
    project.write(HEAD)
    driving = project.start("run", "flow.py:shop", "--how", "wait", "--max-workers", "1")
    kill(project, driving)  # there was no room for the hook of what is done
    assert notes(project) == ["body", "write 1"]
    project.ok("cancel", driving.run)
    assert sorted(notes(project)) == ["cancelled ask", "cancelled shop", "remove ada", "succeeded done"]


def test_a_hook_without_room_is_called_though_the_run_is_cancelled(project: FlowProject) -> None:
    project.write(HEAD)
    driving = project.start("run", "flow.py:shop", "--how", "wait", "--max-workers", "1")
    driving.wait_for("waiting")
    project.ok("cancel", driving.run)
    driving.end()
    found = notes(project)
    assert sorted(found) == sorted(
        ["body", "write 1", "succeeded done", "cancelled ask", "cancelled shop", "remove ada"]
    )


def test_a_driver_that_is_killed_while_it_winds_up_is_followed_by_the_next(project: FlowProject) -> None:
    project.write(HEAD.replace('    note("remove", txn.get("who"))', '    wait("removing")\n    note("remove")'))
    run = project.ok("run", "flow.py:shop", "--pause-after", "0").run
    notes(project)
    winding = project.start_python("-m", "dovetail", "cancel", run)
    winding.wait_for("removing")
    winding.signal(signal.SIGKILL)
    winding.end()
    (project.folder / "go").touch()
    assert "is cancelled" in project.ok("cancel", run).out
    assert sorted(set(notes(project))) == ["cancelled ask", "cancelled shop", "remove"]


def uncalled(project: FlowProject, run: str) -> list[tuple[str, str]]:
    """(kind, hook) of what could not be called, as the command tells it."""
    plain: dict[str, Any] = json.loads(project.ok("cancel", run, "--json").out)
    assert plain["state"] == "cancelled"
    return sorted((one["kind"], one["hook"]) for one in plain["uncalled_hooks"])


CALLS = [("on_cancel", "flow:tell"), ("on_cancel", "flow:tell"), ("on_rollback", "flow:remove")]


def test_without_its_file_a_run_is_cancelled_without_hooks(project: FlowProject) -> None:
    run = left(project, "shop", "pause")
    notes(project)
    (project.folder / "flow.py").unlink()
    said = project.ok("cancel", run)
    assert f"shop/{run} is cancelled.\nIts hooks were not called, since " in said.out
    assert "flow.py is not there:\n" in said.out
    assert "  on_rollback flow:remove of transaction~" in said.out
    assert said.out.endswith("  on_cancel flow:tell\n")
    assert notes(project) == []
    assert not {"running", "waiting"} & set(project.states(run).values())
    assert str(project.run(run).state) == "cancelled"
    assert "cancelled without its hooks" in "".join(str(event.data) for event in project.run(run).events())


@pytest.mark.parametrize("change", ["import nothing_of_the_kind\n", "def f(:\n"])
def test_without_code_that_can_be_imported_a_run_is_cancelled_without_hooks(project: FlowProject, change: str) -> None:
    run = left(project, "shop", "pause")
    notes(project)
    file = project.folder / "flow.py"
    file.write_text(change + file.read_text())
    assert uncalled(project, run) == CALLS
    assert notes(project) == []


def test_hooks_run_as_the_file_has_them_now(project: FlowProject) -> None:
    run = left(project, "shop", "pause")
    notes(project)
    project.change('note("remove", txn.get("who"))', 'note("removed otherwise", txn.get("who"))')
    project.change('    note("body")\n    done()\n', '    note("another body")\n')
    project.ok("cancel", run)
    assert sorted(notes(project)) == ["cancelled ask", "cancelled shop", "removed otherwise ada"]


def test_a_run_of_a_python_program_whose_process_was_killed(project: FlowProject) -> None:
    project.write(HEAD + '\nif __name__ == "__main__":\n    shop("wait")\n')
    driving = project.start_python("flow.py")
    kill(project, driving)
    (run,) = project.runs()
    project.ok("cancel", run.id)
    assert sorted(notes(project)) == [
        "body", "cancelled ask", "cancelled shop", "remove ada", "succeeded done", "write 1",
    ]  # fmt: skip
