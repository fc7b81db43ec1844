"""Limits of runs: tasks of both styles and blocks of code that take slots, and what failures and kills leave."""

from __future__ import annotations

import json
import re
import signal
import threading
from typing import Any

import pytest
from flowproject import FlowProject, until

from dovetail.engine.step_plans import defined_limits
from dovetail.interfaces.limits import Limit, LimitUse
from dovetail.interfaces.metadata import MetadataCapability
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder

IMPORTS = "import asyncio\nfrom dovetail import concurrency, flow, limit, rate_limit, task\n"
INSIDE = """
class inside:
    \"\"\"Leaves a mark in the folder for as long as a block runs, and a line with how many there are.\"\"\"

    def __enter__(self):
        self.file = f"inside-{current.run_id}-{current.task_id}".replace("/", "_")
        open(self.file, "x").close()
        with open("most.txt", "a") as most:
            most.write(f"{sum(name.startswith('inside-') for name in os.listdir())}\\n")
        time.sleep(0.05)

    def __exit__(self, *_):
        os.unlink(self.file)
"""


def most(project: FlowProject) -> int:
    """How many were inside at the same time."""
    return max(map(int, (project.folder / "most.txt").read_text().split()))


def set_limit(project: FlowProject, name: str, slots: int, period: float | None = None) -> SqliteMetadata:
    project.home.mkdir(exist_ok=True)
    metadata = SqliteMetadata(project.home / "metadata.db")
    metadata.set_limit(Limit(name=name, slots=slots, period=period))
    return metadata


def uses(project: FlowProject, name: str) -> list[LimitUse]:
    metadata = SqliteMetadata(project.home / "metadata.db")
    try:
        return metadata.limit_uses(name)
    finally:
        metadata.close()


WIDE = (
    IMPORTS
    + INSIDE
    + """
class Wide(FlowSpec):
    @step
    def start(self):
        self.items = list(range(8))
        self.next(self.body, foreach="items")

    @limit("gpu")
    @step
    def body(self):
        with inside():
            count()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
)


@pytest.mark.parametrize("isolation", ["fork", "thread"])
def test_no_more_steps_run_than_a_limit_has_slots(project: FlowProject, isolation: str) -> None:
    project.write(WIDE)
    set_limit(project, "gpu", 2).close()
    said = project.ok("run", "flow.py", "--max-workers", "6", "--with", f"isolation:kind={isolation}")
    assert sum(said.ran.values()) == 8
    assert most(project) == 2
    assert uses(project, "gpu") == []


def test_two_runs_share_a_limit(project: FlowProject) -> None:
    project.write(WIDE)
    set_limit(project, "gpu", 3).close()
    driving = [project.start("run", "flow.py", "--max-workers", "4") for _ in range(2)]
    assert [one.end().code for one in driving] == [0, 0]
    assert most(project) <= 3


def test_other_tasks_do_not_wait(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + """
class Both(FlowSpec):
    @step
    def start(self):
        self.next(self.limited, self.free)

    @limit("gpu")
    @step
    def limited(self):
        self.next(self.join)

    @step
    def free(self):
        open("free", "x").close()
        self.next(self.after)

    @step
    def after(self):
        open("after", "x").close()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    )
    metadata = set_limit(project, "gpu", 0)
    driving = project.start("run", "flow.py", "--max-workers", "2")
    driving.wait_for("after")
    waiting = until(lambda: list(project.run(driving.run).tasks(state="waiting")), driving.process)
    assert [task.path for task in waiting] == ["limited"]
    (use,) = metadata.limit_uses("gpu")
    assert use.waits
    assert use.note == f"Both/{driving.run}/limited"
    shown = project.ok("show", driving.run).out
    assert "waits for\n  limit gpu  limited\n    who holds it:  dovetail limits show gpu\n" in shown
    assert json.loads(project.ok("show", driving.run, "--json").out)["limits"] == [
        {"limit": "gpu", "tasks": ["limited"]}
    ]
    where = f"{driving.run}/limited"
    assert "waits for  limit gpu; who holds it: dovetail limits show gpu" in project.ok("show", where).out
    assert json.loads(project.ok("show", where, "--json").out)["tasks"][0]["limit"] == "gpu"
    assert re.search(r"limited +waiting .* waits for limit gpu\n", project.ok("tasks", driving.run).out)
    metadata.set_limit(Limit(name="gpu", slots=1))
    metadata.close()
    said = driving.end()
    assert said.code == 0, str(said)
    assert "limited waits for limit gpu" in said.err
    assert project.run(driving.run).task("limited").state == "succeeded"
    assert project.run(driving.run).task("limited").limit is None
    assert json.loads(project.ok("show", driving.run, "--json").out)["limits"] == []
    assert "limit" not in project.ok("show", where).out.replace("limited", "")


def test_a_failed_attempt_gives_its_slot_back_and_the_next_takes_another(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + """
class Fails(FlowSpec):
    @limit("a")
    @limit("b", occupy=2)
    @retry(times=2)
    @step
    def start(self):
        count()
        if current.retry_count < 2:
            os._exit(3)
        self.next(self.end)

    @limit("a")
    @step
    def end(self):
        raise ValueError("at the end")
"""
    )
    set_limit(project, "a", 1).close()
    set_limit(project, "b", 2).close()
    said = project.fails("run", "flow.py")
    assert said.ran == {"start": 3}
    assert uses(project, "a") == uses(project, "b") == []


def test_when_a_run_fails_or_is_cancelled_nothing_that_waits_begins(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + """
class Fails(FlowSpec):
    @step
    def start(self):
        self.items = list(range(4))
        self.next(self.body, foreach="items")

    @limit("gpu")
    @step
    def body(self):
        count()
        if current.task_id:
            raise ValueError(str(self.input))
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    )
    metadata = set_limit(project, "gpu", 1)
    assert sum(project.fails("run", "flow.py").ran.values()) == 1
    assert metadata.limit_uses("gpu") == []
    metadata.set_limit(Limit(name="gpu", slots=0))
    driving = project.start("run", "flow.py")
    until(lambda: metadata.limit_uses("gpu"), driving.process)
    project.ok("cancel", driving.run)
    assert driving.end().code == 1
    assert not project.counted()
    assert metadata.limit_uses("gpu") == []
    metadata.close()


def test_a_run_whose_tasks_wait_for_a_limit_can_be_paused(project: FlowProject) -> None:
    project.write(WIDE)
    metadata = set_limit(project, "gpu", 0)
    driving = project.start("run", "flow.py")
    until(lambda: metadata.limit_uses("gpu"), driving.process)
    project.ok("pause", driving.run)
    driving.end()
    assert project.run(driving.run).state == "paused"
    assert metadata.limit_uses("gpu") == []
    metadata.set_limit(Limit(name="gpu", slots=8))
    metadata.close()
    assert sum(project.ok("resume", driving.run).ran.values()) == 8


def test_slots_of_a_killed_driver_are_free_at_once(project: FlowProject) -> None:
    project.write(WIDE.replace("            count()", "            time.sleep(60)"))
    metadata = set_limit(project, "gpu", 3)
    driving = project.start("run", "flow.py", "--max-workers", "4")
    until(lambda: len(metadata.limit_uses("gpu")) > 3, driving.process)  # one of them waits
    driving.signal(signal.SIGKILL)
    driving.process.wait()
    assert metadata.limit_uses("gpu") == []
    assert len(metadata.take_slots("gpu", holder=current_holder(), occupy=3).slots) == 3
    metadata.close()


TASKS = (
    IMPORTS
    + INSIDE
    + """
@limit("gpu")
@task
def here(n):
    with inside():
        count()
        return n

@limit("gpu")
@task(isolation="fork")
def elsewhere(n):
    with inside():
        return here(n) + 1

@limit("gpu")
@task
async def awaited(n):
    return n
"""
)


def test_called_tasks_take_slots_however_they_run(project: FlowProject) -> None:
    """And one that is called by a task that has the slot does not wait for it."""
    project.write(
        TASKS
        + """
@flow
async def main():
    both = [here.submit(n) for n in range(4)], [elsewhere.submit(n) for n in range(3)]
    return here(9), [f.result() for f in both[0]], [f.result() for f in both[1]], await awaited(3)
"""
    )
    metadata = set_limit(project, "gpu", 1)
    said = project.ok("run", "flow.py", "--max-workers", "3", "--with", "limit:gpu")
    assert project.data(said.run).result == (9, [0, 1, 2, 3], [1, 2, 3], 3)
    assert most(project) == 2  # `elsewhere`, and `here` inside of it
    assert metadata.limit_uses("gpu") == []
    metadata.close()


def test_a_called_task_that_is_tried_again(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + """
@limit("gpu")
@task(retries=2)
def flaky(n):
    count()
    if current.retry_count < 2:
        raise ValueError("again")
    return n

@flow
def main():
    return [f.result() for f in [flaky.submit(n) for n in range(3)]]
"""
    )
    set_limit(project, "gpu", 1).close()
    said = project.ok("run", "flow.py")
    assert project.data(said.run).result == [0, 1, 2]
    assert sum(said.ran.values()) == 9


def test_a_block_of_a_task_holds_slots_and_a_rate_lets_so_many_begin(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + INSIDE
        + """
@task(isolation="fork")
def block(n):
    with concurrency("gpu", occupy=2) as held, inside():
        held.check()
        return held.token

@task
async def awaited(n):
    async with concurrency("gpu", "api"):
        await asyncio.sleep(0.01)
    rate_limit("api")
    return n

@flow
async def main():
    tokens = [f.result() for f in [block.submit(n) for n in range(4)]]
    return tokens, await asyncio.gather(*[awaited(n) for n in range(3)])
"""
    )
    metadata = set_limit(project, "gpu", 3)
    set_limit(project, "api", 100, 3600.0).close()
    said = project.ok("run", "flow.py", "--max-workers", "4")
    tokens, values = project.data(said.run).result
    assert len(set(tokens)) == 4
    assert values == [0, 1, 2]
    assert most(project) == 1
    assert metadata.limit_uses("gpu") == []
    rated = metadata.limit_uses("api")
    assert len(rated) == 6
    assert {use.note.partition("/")[0] for use in rated} == {"main"}
    metadata.close()


def test_a_limit_that_is_not_defined_is_told_before_anything_runs(project: FlowProject) -> None:
    project.write(WIDE)
    said = project.fails("run", "flow.py", code=2)
    assert "needs 1 of limit gpu, which is not defined" in said.err
    assert "dovetail limits set gpu 1" in said.err
    assert not said.ran
    said = project.fails("run", "flow.py", "--with", "limit:other", "--set", "body.limit.gpu=5", code=2)
    assert "start needs 1 of limit other" in said.err
    assert "body needs 5 of limit gpu" in said.err


USED = (
    IMPORTS
    + """
@limit("gpu")
@task
def train(n):
    return n

@task
def load(n):
    count()
    return n

@flow
def never(n: int = 0):
    return load(n)

@flow
def sometimes(n: int = 0):
    load(n)
    return train(n) if n else n

@flow
def always(n: int = 0):
    return train(load(n))

@flow
def twice(n: int = 0):
    try:
        [train(n) for n in range(2)]
    except ValueError as error:
        print(error)
    subprocess.run([sys.executable, "-m", "dovetail", "limits", "set", "gpu", "1"], check=True)
    return [train(n) for n in range(2)]

import subprocess
"""
)


def test_a_limit_that_is_not_defined_counts_where_its_task_is_called(project: FlowProject) -> None:
    project.write(USED)
    told = "task train needs 1 of limit gpu, which is not defined\n    Define it with: dovetail limits set gpu 1"
    assert project.data(project.ok("run", "flow.py:never").run).result == 0
    assert project.data(project.ok("run", "flow.py:sometimes").run).result == 0
    said = project.fails("run", "flow.py:sometimes", "--n", "1")
    assert told in "\n".join(line.removeprefix("  ") for line in said.err.splitlines())
    assert len(said.ran) == 1
    assert re.search(
        r"✗ sometimes .* UsageError: task train can't be called: flow.py:\d+: task train needs 1", said.err
    )
    said = project.fails("run", "flow.py:always", code=2)
    assert told in said.err
    assert not said.ran
    assert len(project.runs()) == 3, "nothing is begun that is sure to fail"
    said = project.fails("run", "flow.py:never", "--with", "limit:other", code=2)
    assert "task load needs 1 of limit other" in said.err
    assert "train" not in said.err


def test_a_limit_may_be_defined_while_the_run_goes_on(project: FlowProject) -> None:
    project.write(USED)
    said = project.ok("run", "flow.py:twice")
    assert project.data(said.run).result == [0, 1]
    assert "which is not defined" in said.out


def test_a_provider_without_limits_has_none_defined(project: FlowProject) -> None:
    class Without(SqliteMetadata):
        capabilities = SqliteMetadata.capabilities & ~MetadataCapability.LIMITS

    set_limit(project, "gpu", 2).close()
    for kind, found in (SqliteMetadata, {"gpu": 2}), (Without, None):
        metadata = kind(project.home / "metadata.db")
        assert defined_limits(metadata) == found
        metadata.close()


def test_a_block_with_a_limit_that_is_not_defined(project: FlowProject) -> None:
    project.write(
        IMPORTS
        + """
@task
def block():
    with concurrency("none"):
        pass

@task
def wait():
    with concurrency("gpu", timeout=0.05):
        pass

@task
def rate():
    rate_limit("gpu")

@flow
def main():
    said = []
    for one in (block, wait, rate):
        try:
            one()
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said
"""
    )
    set_limit(project, "gpu", 0).close()
    said = project.data(project.dovetail("run", "flow.py").run).result
    assert said[0].startswith("NotFoundError: there is no limit 'none'")
    assert said[1].startswith("BackendTimeoutError: limit gpu had no room for 0.05 s")
    assert said[2].startswith("UsageError: limit gpu is no rate")
    assert uses(project, "gpu") == []


def test_outside_of_a_run(project: FlowProject, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail import concurrency

    metadata = set_limit(project, "gpu", 1)
    monkeypatch.setenv("DOVETAIL_HOME", str(project.home))
    with concurrency("gpu") as held:
        (use,) = metadata.limit_uses("gpu")
        assert use.lease.token == held.token
        began = threading.Event()

        def other() -> None:
            with concurrency("gpu"):
                began.set()

        thread = threading.Thread(target=other)
        thread.start()
        until(lambda: len(metadata.limit_uses("gpu")) == 2)
        assert not began.is_set()
    thread.join()
    assert began.is_set()
    assert metadata.limit_uses("gpu") == []
    metadata.close()


def test_the_verb(project: FlowProject) -> None:
    def told(*words: str) -> Any:
        return json.loads(project.ok("limits", *words, "--json").out)

    assert told("list") == []
    assert not project.home.exists()
    assert told("set", "gpu", "3")["slots"] == 3
    assert told("set", "api", "--rate", "10/1m") == {
        "name": "api",
        "slots": 10,
        "period": 60.0,
        "taken": 0,
        "waiting": 0,
    }
    assert [limit["name"] for limit in told("list")] == ["api", "gpu"]
    metadata = SqliteMetadata(project.home / "metadata.db")
    metadata.take_slots("gpu", holder=current_holder(), occupy=2, note="F/1/a")
    metadata.take_slots("gpu", holder=current_holder(), occupy=2, note="F/1/b")
    shown = told("show", "gpu")
    assert (shown["taken"], shown["waiting"]) == (2, 1)
    assert [(use["state"], use["who"], use["occupy"]) for use in shown["uses"]] == [
        ("holding", "F/1/a", 2),
        ("holding", "F/1/a", 2),
        ("waiting", "F/1/b", 2),
    ]
    assert shown["uses"][0]["pid"] == current_holder().pid
    text = project.ok("limits", "show", "gpu").out
    assert "gpu: 3, 2 taken" in text
    assert [line.split()[:2] for line in text.splitlines()[2:]] == [["holds", "2"], ["waits", "2"]]
    assert project.ok("limits", "list").out.splitlines()[1].split() == ["api", "10/1m", "0", "0"]
    assert told("delete", "gpu") == {"deleted": "gpu"}
    metadata.close()
    for words, message in [
        (("show", "ap"), "Did you mean 'api'?"),
        (("set", "x"), "how much does limit x allow?"),
        (("set", "x", "1", "--rate", "1/s"), "how much does limit x allow?"),
        (("set", "x", "--rate", "ten"), "'ten' is no rate"),
        (("set", "x", "--rate", "1/0s"), "its time is 0"),
        (("set", "x", "--rate", "99999/1d"), "Give a shorter period"),
        (("set", "a b", "1"), "can't be the name of a limit"),
        (("delete", "gpu"), "there is no limit 'gpu'"),
    ]:
        assert message in project.fails("limits", *words, code=2).err


def test_wrong_decorators_are_told(project: FlowProject) -> None:
    project.write(WIDE.replace('@limit("gpu")', "@limit(3, occupy=0)"))
    said = project.fails("check", "flow.py", code=2)
    assert "@limit needs the name of a limit first, not 3" in said.err + said.out
    assert "occupy=0 is not a number of slots" in said.err + said.out
