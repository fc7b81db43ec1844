"""What the machine and the planner start while a run is held."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from dovetail.engine.machine import Attempt, Retry, RunMachine
from dovetail.interfaces.states import RunState
from dovetail.interfaces.tasks import Arguments, ErrorReport, Policy, RetryPolicy, Scope
from dovetail.planning.dynamic_planner import DynamicPlanner
from dovetail.planning.planned import PlannedTask

ROOT = Scope(None, b"", b"")
BOOM = ErrorReport(type="app.Boom", message="boom", bases=("app.Boom", "Exception"))


def called(path: str) -> PlannedTask:
    return PlannedTask(path, "f", ROOT, (), None, "", arguments=Arguments(b"", b""))


def step(path: str) -> PlannedTask:
    return PlannedTask(path, path, ROOT, (), None, "")


class Steps:
    """The written graph: steps that do not depend on each other."""

    def __init__(self, *names: str) -> None:
        self.waiting = deque(names)

    def take(self) -> PlannedTask | None:
        return step(self.waiting.popleft()) if self.waiting else None

    def put_back(self, task: PlannedTask) -> None:
        self.waiting.appendleft(task.path)

    def failed(self, task: PlannedTask, error: ErrorReport) -> bool:
        return False

    def abandon(self) -> None:
        self.waiting.clear()

    @property
    def done(self) -> bool:
        return not self.waiting


def planner(*names: str) -> DynamicPlanner:
    inner: Any = Steps(*names)
    return DynamicPlanner(inner)


def attempt(task: PlannedTask, retries: int = 0) -> Attempt:
    call: Any = SimpleNamespace(policy=Policy(retry=RetryPolicy(times=retries, jitter=0.0)))
    return Attempt(task, call)


def taken(planner: DynamicPlanner) -> list[str]:
    found = []
    while (task := planner.take()) is not None:
        found.append(task.path)
    return found


def test_a_held_planner_plans_only_parts_of_what_runs() -> None:
    plan = planner("a", "b")
    plan.call(called("f~1"))
    plan.call(called("step/g~2"))
    plan.hold(True)
    plan.call(called("f~3"))
    assert taken(plan) == ["step/g~2"]
    assert not plan.done
    plan.hold(False)
    assert taken(plan) == ["f~1", "f~3", "a", "b"]
    assert plan.done


def test_calls_that_are_dropped_while_held_are_gone() -> None:
    plan = planner()
    plan.hold(True)
    plan.call(called("f~1"))
    assert taken(plan) == []
    plan.drop_calls()
    assert plan.done


def test_retries_wait_while_the_run_is_held_but_for_parts_of_what_runs() -> None:
    machine = RunMachine(planner=planner())
    one, part = attempt(step("a"), retries=1), attempt(called("a/f~1"), retries=1)
    for each in (one, part):
        machine.begun()
        assert isinstance(machine.ended(each, BOOM, now=0.0), Retry)
    machine.hold(True)
    assert machine.take(1e9) is part
    assert machine.take(1e9) is None
    assert machine.next_due() is None, "nothing is due, so that the driver need not look again"
    assert not machine.finished
    machine.hold(False)
    assert machine.take(1e9) is one


def test_what_is_put_back_while_held_waits() -> None:
    machine = RunMachine(planner=planner())
    again = attempt(step("a"), retries=1)
    again.number = 2
    machine.begun()
    machine.hold(True)
    machine.put_back(again)
    assert machine.take(1e9) is None
    machine.hold(False)
    assert machine.take(1e9) is again


def test_a_run_that_is_paused_drops_what_waited() -> None:
    machine = RunMachine(planner=planner("b"))
    one = attempt(step("a"), retries=1)
    machine.begun()
    machine.ended(one, BOOM, now=0.0)
    machine.hold(True)
    machine.stop(RunState.PAUSED)
    assert machine.finished
    assert machine.state is RunState.PAUSED
