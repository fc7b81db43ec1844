"""Options of a call site in runs: limits and hooks that `with_options` adds, of tasks and of flows."""

from __future__ import annotations

import json
import signal

from flowproject import FlowProject, until
from processes import alive

from dovetail.interfaces.limits import Limit
from dovetail.local.metadata import SqliteMetadata

HEAD = """
import json
from dovetail import flow, limit, task, transaction

def note(of, name):
    with open("notes.txt", "a") as notes:
        print(json.dumps([of, name]), file=notes)

def tell(what, run, state):
    note(getattr(what, "name", None), state.name)

def also(what, run, state):
    note("also", state.name)

def undo(txn):
    note("undo", txn.name)

def keep(txn):
    note("keep", txn.name)

@task
def work(n, key=""):
    if n < 0:
        raise ValueError("no")
    return n
"""


def notes(project: FlowProject) -> list[tuple[str, str]]:
    """What hooks have noted, in order; each once."""
    file = project.folder / "notes.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [tuple(json.loads(line)) for line in lines]


def test_hooks_of_one_call_run_for_that_call_alone(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@work.on_success
def always(what, run, state):
    note("always", state.name)

@flow
def main():
    work(1)
    work.with_options(on_success=[tell, also])(2)
    work.with_options(on_failure=tell).with_options(on_failure=also)(3)
    try:
        work.with_options(on_success=tell, on_failure=also)(-1)
    except ValueError:
        pass
"""
    )
    project.ok("run", "flow.py")
    assert sorted(notes(project)) == [
        ("also", "failed"),
        ("also", "succeeded"),
        ("always", "succeeded"),
        ("always", "succeeded"),
        ("always", "succeeded"),
        ("work", "succeeded"),
    ]


def test_hooks_of_a_transaction_at_the_call_site(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@flow
def main(n: int = 2):
    with transaction():
        work.with_options(on_rollback=undo, on_commit=keep)(1)
        work(n)
"""
    )
    project.ok("run", "flow.py")
    assert notes(project) == [("keep", "work")]
    project.fails("run", "flow.py", "--n", "-2")
    assert notes(project) == [("undo", "work")]


def test_a_hook_that_no_other_process_finds_is_told_by_the_call(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@flow
def main():
    work.with_options(on_failure=lambda *_: None)(1)
"""
    )
    said = project.fails("run", "flow.py")
    assert "the process that runs its on_failure hook can't find main.<locals>.<lambda>" in said.err
    assert "Define it with def at the top level of a module." in said.err


def test_hooks_of_a_flow_at_the_call_site(project: FlowProject) -> None:
    """Also where another process imports the flow, since its body has a time limit."""
    project.write(
        HEAD
        + """
@flow(name="other")
def main(n: int = 2):
    return work(n)

if __name__ == "__main__":
    main.with_options(on_success=tell)(3)
    try:
        main.with_options(on_failure=tell, on_success=also, timeout=60)(-3)
    except ValueError:
        pass
    main.with_options(on_success=also, timeout=60, retries=1)(4)
    main(5)
"""
    )
    said = project.python("flow.py")
    assert said.code == 0, str(said)
    assert notes(project) == [("other", "succeeded"), ("other", "failed"), ("also", "succeeded")]


def test_options_that_are_given_one_after_the_other_are_merged(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
@task
def fails():
    count()
    raise ValueError("no")

@flow
def main():
    fails.with_options(retries=5, retry_delay=0.01).with_options(retries=2)()
"""
    )
    said = project.fails("run", "flow.py")
    assert list(said.ran.values()) == [3], str(said)


LIMITED = (
    HEAD
    + """
import subprocess

@limit("cpu")
@task
def held():
    said = subprocess.run([sys.executable, "-m", "dovetail", "limits", "list", "--json"], capture_output=True)
    taken = {one["name"]: one["taken"] for one in json.loads(said.stdout)}
    return " ".join(f"{name}:{n}" for name, n in sorted(taken.items()) if n)

@flow
def main():
    print(held(), held.with_options(limit=["gpu", "api"])(), held.with_options(limit={"cpu": 2})(), sep="; ")

@limit("gpu")
@flow
def around():
    print(work(1), held(), sep="; ")
"""
)


def limits(project: FlowProject, **slots: int) -> None:
    project.home.mkdir(exist_ok=True)
    metadata = SqliteMetadata(project.home / "metadata.db")
    for name, number in slots.items():
        metadata.set_limit(Limit(name=name, slots=number))
    metadata.close()


def test_limits_of_one_call(project: FlowProject) -> None:
    project.write(LIMITED)
    limits(project, cpu=4, gpu=1, api=3)
    said = project.ok("run", "flow.py:main")
    assert "cpu:1; api:1 cpu:1 gpu:1; cpu:2" in said.out, str(said)


def test_a_limit_of_a_flow_is_one_of_its_tasks(project: FlowProject) -> None:
    project.write(LIMITED)
    limits(project, cpu=4, gpu=1)
    said = project.ok("run", "flow.py:around")
    assert "1; cpu:1 gpu:1" in said.out, str(said)


def test_a_limit_that_is_not_defined_is_told_by_the_call(project: FlowProject) -> None:
    project.write(LIMITED)
    limits(project, cpu=4, gpu=1)
    said = project.fails("run", "flow.py:main")
    assert "task held needs 1 of limit api, which is not defined" in said.err
    assert "Define it with: dovetail limits set api 1" in said.err


def test_a_hook_of_a_call_that_was_cut_off_runs_when_the_run_goes_on(project: FlowProject) -> None:
    project.write(
        HEAD
        + """
def slow(what, run, state):
    with open("hooking.part", "w") as file:
        print(os.getpid(), file=file)
    os.rename("hooking.part", "hooking")
    while not os.path.exists("go"):
        time.sleep(0.01)
    note("slow", state.name)

@flow
def main():
    work.with_options(on_success=slow)(1)
    return work(2)
"""
    )
    driving = project.start("run", "flow.py")
    driving.wait_for("hooking")
    until(lambda: project.states(driving.run).get("main") == "succeeded", driving.process)
    driving.signal(signal.SIGKILL)
    driving.process.wait()
    hook = int((project.folder / "hooking").read_text())
    until(lambda: not alive(hook))
    (project.folder / "go").touch()
    project.ok("resume", driving.run)
    assert notes(project) == [("slow", "succeeded")]
    assert project.data(driving.run).result == 2
