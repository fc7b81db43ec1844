"""State hooks of flows, steps and tasks of both styles: which run, where, and once, whatever is killed."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from flowproject import FlowProject, until
from processes import alive

HEAD = """
import json, os, signal, time
from dovetail import FlowSpec, flow, isolation, on_cancel, on_crash, on_failure, on_success, step, task, timeout

def note(**told):
    with open("notes.txt", "a") as notes:
        print(json.dumps(told), file=notes)

def tell(what, run, state):
    name = getattr(what, "name", None) or what.__name__
    error = None if state.error is None else state.error.message
    note(of=name, path=run.path.partition("~")[0], state=state.name, error=error, attempt=run.attempt, pid=os.getpid(),
         parent=os.getppid(), run=run.id)

def bad(what, run, state):
    raise RuntimeError("a bad hook")

def wait(name):
    open(name, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)

EVERY = dict(on_success=[tell], on_failure=[tell], on_cancel=[tell], on_crash=[tell])
"""
FUNCTION = """
@task(**EVERY)
def work(how):
    if how == "raise":
        raise ValueError("no")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "wait":
        wait("waiting")
    return how

@isolation("fork")
@task(**EVERY)
def far(how):
    return work.fn(how)

@flow(**EVERY)
def shop(near: str = "", away: str = ""):
    note(of="body", pid=os.getpid())
    work(near)
    far(away)
"""
CLASS = """
def every(target):
    for decorator in on_success(tell), on_failure(tell), on_cancel(tell), on_crash(tell):
        target = decorator(target)
    return target

@on_success(tell)
@on_failure(tell)
@on_cancel(tell)
@on_crash(tell)
class Shop(FlowSpec):
    @every
    @step
    def start(self):
        how = os.environ.get("HOW")
        if how == "raise":
            raise ValueError("no")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "wait":
            wait("waiting")
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def told(project: FlowProject) -> list[dict[str, Any]]:
    """What was noted since the last time."""
    file = project.folder / "notes.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [json.loads(line) for line in lines]


def ends(project: FlowProject) -> set[tuple[str, str, str]]:
    """(what, path, state) of each hook that ran, each once."""
    found = [(one["of"], one["path"], one["state"]) for one in told(project) if one["of"] != "body"]
    assert len(found) == len(set(found))
    return set(found)


def test_hooks_of_a_flow_that_succeeds(project: FlowProject) -> None:
    project.write(HEAD + FUNCTION)
    said = project.ok("run", "flow.py")
    notes = told(project)
    assert {(one["of"], one.get("path"), one.get("state")) for one in notes} == {
        ("body", None, None),
        ("work", "work", "succeeded"),
        ("far", "far", "succeeded"),
        ("shop", "", "succeeded"),
    }
    assert {one["run"] for one in notes if "run" in one} == {said.run}
    assert len({one["pid"] for one in notes}) == 4, "each in a process of its own"
    assert len({one["parent"] for one in notes if "parent" in one}) == 1, "that the one that imported the flow made"


@pytest.mark.parametrize(("how", "state", "message"), [("raise", "failed", "no"), ("kill", "crashed", "SIGKILL")])
def test_hooks_of_a_task_in_a_process_of_its_own(project: FlowProject, how: str, state: str, message: str) -> None:
    project.write(HEAD + FUNCTION)
    project.fails("run", "flow.py", "--away", how)
    notes = {one["of"]: one for one in told(project)}
    assert {name: one.get("state") for name, one in notes.items()} == {
        "body": None, "work": "succeeded", "far": state, "shop": state,
    }  # fmt: skip
    assert message in notes["far"]["error"]
    assert message in notes["shop"]["error"]


def test_hooks_of_what_died_with_the_body(project: FlowProject) -> None:
    project.write(HEAD + FUNCTION)
    said = project.fails("run", "flow.py", "--near", "kill")
    assert ends(project) == {("work", "work", "crashed"), ("shop", "", "crashed")}
    states = project.states(said.run)
    assert states.pop("shop") == "failed"
    assert sorted(path.split("~")[0] + " " + state for path, state in states.items() if "/" not in path) == [
        "on_crash succeeded",
        "work failed",
    ]


@pytest.mark.parametrize(("how", "state"), [("", "succeeded"), ("raise", "failed"), ("kill", "crashed")])
def test_hooks_of_a_class_flow_and_its_steps(project: FlowProject, how: str, state: str) -> None:
    project.write(HEAD + CLASS)
    said = project.dovetail("run", "flow.py", env={"HOW": how})
    assert said.code == (0 if how == "" else 1)
    assert ends(project) == {("start", "start", state), ("Shop", "", state)}


@pytest.mark.parametrize(
    ("flow", "words"), [(FUNCTION, ["--near", "wait"]), (FUNCTION, ["--away", "wait"]), (CLASS, [])]
)
def test_hooks_of_a_cancelled_run(project: FlowProject, flow: str, words: list[str]) -> None:
    project.write(HEAD + flow)
    driving = project.start("run", "flow.py", *words, env={"HOW": "wait"})
    driving.wait_for("waiting")
    project.ok("cancel", driving.run)
    driving.end()
    found = ends(project) - {("work", "work", "succeeded")}
    name = "start" if flow is CLASS else "work" if "--near" in words else "far"
    assert found == {(name, name, "cancelled"), ("Shop" if flow is CLASS else "shop", "", "cancelled")}


def test_an_interrupted_run_has_not_ended(project: FlowProject) -> None:
    project.write(HEAD + FUNCTION)
    driving = project.start("run", "flow.py", "--away", "wait")
    driving.wait_for("waiting")
    driving.signal(signal.SIGINT)
    driving.end()
    before = ends(project)
    assert before <= {("work", "work", "succeeded")}, "it runs beside the body, and may have been cut off"
    (project.folder / "go").touch()
    project.ok("resume", driving.run)
    after = ends(project)
    assert before | after == {("work", "work", "succeeded"), ("far", "far", "succeeded"), ("shop", "", "succeeded")}


def test_a_killed_driver_neither_forgets_nor_repeats_a_hook(project: FlowProject) -> None:
    slow = """
def slow(what, run, state):
    with open("pid", "w") as file:
        print(os.getpid(), file=file)
    wait("waiting")
    tell(what, run, state)

@on_success(tell, slow)
@task
def work(x): ...

@on_success(tell)
@flow
def shop():
    work(1)
"""
    project.write(HEAD + slow)
    driving = project.start("run", "flow.py")
    driving.wait_for("waiting")
    hook = "/on_success"
    until(lambda: any(hook in path and state == "succeeded" for path, state in project.states(driving.run).items()))
    driving.signal(signal.SIGKILL)
    driving.end()
    until(lambda: not alive(int((project.folder / "pid").read_text())))
    assert ends(project) == {("work", "work", "succeeded")}
    (project.folder / "go").touch()
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    assert ends(project) == {("work", "work", "succeeded"), ("shop", "", "succeeded")}
    assert told(project) == []


def test_a_killed_driver_calls_the_hooks_of_what_will_not_run_again(project: FlowProject) -> None:
    """The task that failed was taken by its caller, which is on record; the others are told of by no description."""
    project.write(
        HEAD
        + """
def brief(what, run, state):
    note(of=run.step, path="", state=state.name)

@task(on_success=[brief])
def block():
    wait("waiting")

@flow(on_success=[brief])
def shop():
    @task(on_success=[brief], on_failure=[brief])
    def inner(n):
        return 1 // n

    @task
    def careful():
        try:
            inner(0)
        except ZeroDivisionError:
            return inner(1)

    careful()
    block()
"""
    )
    driving = project.start("run", "flow.py", "--max-workers", "1")  # so there is no room for a hook
    driving.wait_for("waiting")
    driving.signal(signal.SIGKILL)
    driving.end()
    assert ends(project) == set()
    (project.folder / "go").touch()
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    notes = sorted((one["of"], one["state"]) for one in told(project))
    assert notes == [("", "succeeded"), ("block", "succeeded"), ("inner", "failed"), ("inner", "succeeded")]


def test_a_hook_without_room_holds_nothing_up(project: FlowProject) -> None:
    """The body has the only slot, and waits for a task that its own process tries again."""
    project.write(
        HEAD
        + """
@task(on_success=[tell])
def good(): ...

@task(retries=1, retry_delay=0.05)
def twice():
    if not os.path.exists("again"):
        open("again", "w").close()
        raise ValueError("once")

@flow
def shop():
    good()
    twice()
"""
    )
    project.patience = 30
    project.ok("run", "flow.py", "--max-workers", "1")
    assert ends(project) == {("good", "good", "succeeded")}


def test_only_the_last_attempt_counts(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@task(retries=1, **EVERY)
def work():
    if not os.path.exists("again"):
        open("again", "w").close()
        raise ValueError("once")

@task(retries=1, timeout=0.2, **EVERY)
@isolation("fork")
def late():
    time.sleep(60)

@flow(retries=1, **EVERY)
def shop():
    work()
    try:
        late()
    except Exception:
        pass
"""
    )
    project.ok("run", "flow.py")
    notes = [(one["of"], one["state"], one["attempt"]) for one in told(project)]
    assert sorted(notes) == [("late", "failed", 2), ("shop", "succeeded", 0), ("work", "succeeded", 2)]


def test_a_hook_that_fails_is_told_and_changes_nothing(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@on_success(bad, tell)
@task
def work(): ...

@work.on_success
def also(what, run, state):
    os._exit(4)

@on_success(bad)
@flow
def shop():
    work()
    return 7
"""
    )
    said = project.ok("run", "flow.py")
    assert str(project.run(said.run).state) == "succeeded"
    assert project.data(said.run).result == 7
    assert said.err.count("which changes nothing: RuntimeError: a bad hook") == 2
    assert "which changes nothing: the process exited with code 4" in said.err
    assert [one["of"] for one in told(project)] == ["work"]


def test_a_task_that_is_taken_from_another_run_calls_no_hook(project: FlowProject) -> None:
    project.write(HEAD + FUNCTION)
    project.fails("run", "flow.py", "--away", "raise")
    told(project)
    project.change('if how == "raise":', 'if how == "raised":')
    project.ok("resume", "--ignore", "code")
    assert ends(project) == {("far", "far", "succeeded"), ("shop", "", "succeeded")}


def test_a_coroutine_is_a_hook_too(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
async def later(what, run, state):
    import asyncio
    await asyncio.sleep(0)
    tell(what, run, state)

@flow(on_success=later)
async def shop(): ...
"""
    )
    project.ok("run", "flow.py")
    assert ends(project) == {("shop", "", "succeeded")}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@on_failure(lambda what, run, state: None)\n@task\ndef work(): ...\n", "which is no top-level name"),
        ("@on_failure('tell')\n@task\ndef work(): ...\n", "on_failure takes functions, not 'tell'"),
        ("@task(on_rollback=[None])\ndef work(): ...\n", "on_rollback takes functions, not None"),
        ("async def undo(txn): ...\n@task(on_rollback=undo)\ndef work(): ...\n", "undo is a coroutine function"),
        ("@on_failure(tell)\nclass Plain: ...\n", "belongs on a flow, step or task"),
    ],
)
def test_what_can_not_be_a_hook_is_refused_before_the_run(project: FlowProject, source: str, message: str) -> None:
    project.write(HEAD + source + "@flow\ndef shop(): ...\n")
    assert message in project.fails("check", "flow.py", code=2).err


def test_a_task_inside_of_a_function_has_hooks_too(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
def short(what, run, state):
    note(what=what, step=run.step, state=state.name)

@flow
def shop():
    @task(on_success=[short])
    def inner(n):
        return n
    return inner(3)
"""
    )
    project.ok("run", "flow.py")
    notes = [json.loads(line) for line in (project.folder / "notes.txt").read_text().splitlines()]
    assert notes == [{"what": None, "step": "inner", "state": "succeeded"}]
