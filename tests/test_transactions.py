"""Transactions: what is undone and what is kept, by whom, and once, whatever is killed."""

from __future__ import annotations

import signal

import pytest
from flowproject import Driving, FlowProject, until
from processes import alive, descendants

HEAD = """
import os, signal, time
from dovetail import flow, isolation, task, transaction

def note(*words):
    with open("notes.txt", "a") as notes:
        print(*words, os.getpid() == int(os.environ.get("BODY", 0)), file=notes)

def body_is_here():
    os.environ["BODY"] = str(os.getpid())

def wait(name):
    open(name, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)

@task
def write(x):
    note("write", x)
    return x

@write.on_rollback
def remove(txn):
    note("remove", txn.name, txn.get("who"))

@write.on_commit
def announce(txn):
    note("announce", txn.name, txn.get("who"), txn.is_committed())

@task(on_rollback=[remove])
def upload(x):
    note("upload", x)

@task
def stop(how):
    if os.path.exists("fixed"):
        return
    if how == "raise":
        raise ValueError("no more")
    if how == "exit":
        os._exit(9)
    if how == "wait":
        wait("waiting")
"""
BLOCK = """
@flow
def shop(how: str = ""):
    body_is_here()
    with transaction() as txn:
        txn.set("who", "ada")
        write(1)
        upload(2)
        stop(how)
    return txn.is_committed()
"""


def notes(project: FlowProject) -> list[str]:
    """What was noted since the last time; without whether it was in the body's process."""
    return [line.rpartition(" ")[0] for line in full_notes(project)]


def full_notes(project: FlowProject) -> list[str]:
    file = project.folder / "notes.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def written(project: FlowProject, flow: str = BLOCK) -> None:
    project.write(HEAD + flow)


def touch(project: FlowProject, name: str) -> None:
    (project.folder / name).touch()


def kill_driver(driving: Driving) -> None:
    """As the kernel does when memory is out. What the driver started ends with it."""
    started = list(descendants(driving.process.pid))
    driving.signal(signal.SIGKILL)
    driving.end()
    until(lambda: not any(alive(pid) for pid in started))


UNDONE = ["write 1", "upload 2", "remove upload ada", "remove write ada"]
DONE = ["write 1", "upload 2", "announce write ada True"]


def test_a_block_that_ends_well_is_committed(project: FlowProject) -> None:
    written(project)
    said = project.ok("run", "flow.py")
    assert notes(project) == DONE
    assert project.data(said.run).result is True


def test_a_block_that_raises_is_undone_backwards_in_its_own_process(project: FlowProject) -> None:
    written(project)
    said = project.fails("run", "flow.py", "--how", "raise")
    assert "ValueError: no more" in said.err
    lines = full_notes(project)
    assert [line.rpartition(" ")[0] for line in lines] == UNDONE
    assert all(line.endswith("True") for line in lines)


def test_what_was_undone_runs_again_when_the_run_is_resumed(project: FlowProject) -> None:
    written(project)
    project.fails("run", "flow.py", "--how", "raise")
    full_notes(project)
    touch(project, "fixed")
    said = project.ok("resume")
    assert notes(project) == DONE
    assert project.data(said.run).result is True


def test_what_was_undone_runs_again_when_the_flow_is_retried(project: FlowProject) -> None:
    once = """        if not os.path.exists("again"):
            open("again", "w").close()
            stop("raise")
"""
    written(project, BLOCK.replace("@flow\n", "@flow(retries=1)\n").replace("        stop(how)\n", once))
    project.ok("run", "flow.py")
    assert notes(project) == [*UNDONE, *DONE]


def test_a_killed_body_is_undone_by_another_process(project: FlowProject) -> None:
    written(project)
    said = project.fails("run", "flow.py", "--how", "exit")
    lines = full_notes(project)
    assert [line.rpartition(" ")[0] for line in lines] == UNDONE
    assert [line.endswith("True") for line in lines] == [True, True, False, False]
    states = project.states(said.run)
    assert states["shop"] == "failed"
    touch(project, "fixed")
    project.ok("resume")
    assert notes(project) == DONE


def test_a_cancelled_run_is_undone(project: FlowProject) -> None:
    written(project)
    driving = project.start("run", "flow.py", "--how", "wait")
    driving.wait_for("waiting")
    project.ok("cancel", driving.run)
    said = driving.end()
    assert said.code != 0
    assert notes(project) == UNDONE
    assert str(project.run(driving.run).state) == "cancelled"


def test_an_interrupted_run_is_left_open_and_goes_on(project: FlowProject) -> None:
    written(project)
    driving = project.start("run", "flow.py", "--how", "wait")
    driving.wait_for("waiting")
    driving.signal(signal.SIGINT)
    driving.end()
    assert notes(project) == ["write 1", "upload 2"]
    touch(project, "go")
    project.ok("resume", driving.run)
    assert notes(project) == ["announce write ada True"]


def test_a_driver_that_is_killed_in_the_block_loses_nothing(project: FlowProject) -> None:
    written(project)
    driving = project.start("run", "flow.py", "--how", "wait")
    driving.wait_for("waiting")
    kill_driver(driving)
    touch(project, "go")
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    assert notes(project) == DONE


SLOW = """
@task
def first(x):
    note("first")

@first.on_rollback
def undo_first(txn):
    note("undo first begins")
    wait("waiting")
    note("undo first")

@first.on_commit
def keep_first(txn):
    note("keep first")

@task
def second(x):
    note("second")

@second.on_rollback
def undo_second(txn):
    note("undo second", txn.get("k"))

@second.on_commit
def keep_second(txn):
    note("keep second begins")
    wait("waiting")
    note("keep second")

@flow
def shop(how: str = ""):
    with transaction() as txn:
        txn.set("k", 5)
        first(1)
        second(2)
        stop(how)
"""


def test_a_driver_that_is_killed_amid_the_hooks_calls_only_the_others(project: FlowProject) -> None:
    """A rollback that was decided is ended, and then the block begins anew."""
    written(project, SLOW)
    driving = project.start("run", "flow.py", "--how", "raise")
    driving.wait_for("waiting")
    kill_driver(driving)
    assert notes(project) == ["first", "second", "undo second 5", "undo first begins"]
    touch(project, "go")
    touch(project, "fixed")
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    told = notes(project)
    assert told == [
        "undo first begins", "undo first", "first", "second", "keep first", "keep second begins", "keep second",
    ]  # fmt: skip


def test_commit_hooks_that_returned_are_not_called_again(project: FlowProject) -> None:
    written(project, SLOW)
    driving = project.start("run", "flow.py")
    driving.wait_for("waiting")
    kill_driver(driving)
    assert notes(project) == ["first", "second", "keep first", "keep second begins"]
    touch(project, "go")
    project.ok("resume", driving.run)
    assert notes(project) == ["keep second begins", "keep second"]


def test_a_body_that_is_killed_amid_its_commit_hooks_is_completed(project: FlowProject) -> None:
    written(project, SLOW.replace('    wait("waiting")\n    note("keep second")', "    crash()"))
    crash = """
def crash():
    if not os.path.exists("crashed"):
        open("crashed", "w").close()
        os._exit(9)
"""
    project.write(HEAD + crash + (SLOW.replace('    wait("waiting")\n    note("keep second")', "    crash()")))
    project.fails("run", "flow.py")
    assert notes(project) == ["first", "second", "keep first", "keep second begins", "keep second begins"]


NESTED = """
@isolation("fork")
@task
def far(x):
    note("far")

@far.on_rollback
def undo_far(txn):
    note("undo far", txn.get("inner"), txn.get("outer"))

@task
def parent(x):
    write(x)

@parent.on_rollback
def undo_parent(txn):
    note("undo parent")

@flow
def shop(how: str = ""):
    with transaction() as outer:
        outer.set("outer", 1)
        with transaction() as inner:
            inner.set("inner", 2)
            far(1)
            assert inner.get("outer") == 1
        if how == "inner":
            try:
                with transaction():
                    upload.submit(1)
                    stop.submit("raise")
            except ValueError:
                note("caught")
        parent(3)
        stop(how)
"""


def test_an_inner_transaction_is_decided_by_the_outer_one(project: FlowProject) -> None:
    written(project, NESTED)
    project.fails("run", "flow.py", "--how", "raise")
    assert notes(project) == ["far", "write 3", "undo parent", "undo far 2 1"]
    project.fails("run", "flow.py", "--how", "exit")
    assert notes(project) == ["far", "write 3", "undo parent", "undo far 2 1"]


def test_an_inner_transaction_that_fails_is_undone_alone(project: FlowProject) -> None:
    written(project, NESTED)
    project.ok("run", "flow.py", "--how", "inner")
    assert notes(project) == ["far", "upload 1", "remove upload None", "caught", "write 3"]


STEPS = """
from dovetail import FlowSpec, step

class Shop(FlowSpec):
    @step
    def start(self):
        with transaction() as txn:
            txn.set("who", "step")
            write(1)
            stop(os.environ["HOW"])
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def test_a_step_has_transactions_too(project: FlowProject) -> None:
    written(project, STEPS)
    project.ok("run", "flow.py", env={"HOW": ""})
    assert notes(project) == ["write 1", "announce write step True"]
    project.fails("run", "flow.py", env={"HOW": "exit"})
    assert notes(project) == ["write 1", "remove write step"]
    said = project.fails("run", "flow.py", env={"HOW": "raise"})
    assert notes(project) == ["write 1", "remove write step"]
    assert "ValueError: no more" in said.err


def test_coroutines(project: FlowProject) -> None:
    written(
        project,
        """
import asyncio

@task
async def fetch(i):
    await asyncio.sleep(0)
    return i

@fetch.on_commit
def fetched(txn):
    note("fetched", txn.path.rpartition("/")[2].partition("~")[0])

@flow
async def shop():
    async with transaction():
        return await asyncio.gather(*[fetch(i) for i in range(3)])
""",
    )
    said = project.ok("run", "flow.py")
    assert notes(project) == ["fetched fetch"] * 3
    assert project.data(said.run).result == [0, 1, 2]


def test_a_hook_that_fails_is_told_and_the_others_run(project: FlowProject) -> None:
    written(
        project,
        """
@task
def odd(x): ...

@odd.on_commit
def bad(txn):
    raise RuntimeError("a bad hook")

@flow
def shop():
    with transaction():
        odd(1)
        write(2)
""",
    )
    said = project.ok("run", "flow.py")
    assert notes(project) == ["write 2", "announce write None True"]
    assert "a bad hook" in said.err
    assert "which changes nothing" in project.ok("logs", said.run).out


def test_outside_of_a_run_it_is_plain_python() -> None:
    import hooks_of_tests as module

    module.told.clear()
    with module.transaction() as txn:
        txn.set("k", 1)
        assert module.double(2) == 4
    assert txn.is_committed()
    assert module.told == ["commit 1"]
    with pytest.raises(ZeroDivisionError), module.transaction():
        module.double(2 // (module.double(2) - 4))
    assert module.told == ["commit 1", "rollback None"]
