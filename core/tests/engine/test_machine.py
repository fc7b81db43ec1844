"""The state machine alone: no clock, no processes."""

from __future__ import annotations

import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail.engine.machine import Attempt, Commit, GiveUp, Retry, RunMachine
from dovetail.interfaces.states import RunState
from dovetail.interfaces.tasks import ErrorReport, Next, Policy, RetryPolicy, Scope

ROOT = Scope(None, b"", b"")
BOOM = ErrorReport(type="app.Boom", message="boom", bases=("app.Boom", "ValueError", "Exception"))
LOST = ErrorReport(type="", message="gone", kind="lost")


class Line:
    """A planner of independent tasks; the last to be committed ends the run."""

    def __init__(self, *names: str) -> None:
        self.expected: dict[str, int] = {}
        self.waiting = deque(names)
        self.live = len(names)
        self.collects = False
        self.failures: list[str] = []

    def take(self) -> Any:
        return SimpleNamespace(path=self.waiting.popleft(), is_called=False) if self.waiting else None

    def put_back(self, task: Any) -> None:
        self.waiting.appendleft(task.path)

    def committed(self, task: Any, taken: Next, scope: Scope) -> None:
        self.live -= 1

    def failed(self, task: Any, error: ErrorReport) -> bool:
        self.live -= 1
        self.failures.append(task.path)
        return self.collects

    def abandon(self) -> None:
        self.live -= len(self.waiting)
        self.waiting.clear()

    @property
    def done(self) -> bool:
        return self.live == 0


def attempt(machine: RunMachine, retry: RetryPolicy | None = None, now: float = 0.0) -> Attempt:
    item = machine.take(now)
    assert item is not None
    if isinstance(item, Attempt):
        return item
    call: Any = SimpleNamespace(path=item.path, policy=Policy(retry=retry or RetryPolicy()), is_called=False)
    return Attempt(item, call)


def test_a_committed_run_succeeds() -> None:
    machine = RunMachine(Line("a"))
    one = attempt(machine)
    assert machine.ended(one, None, 0.0) == Commit()
    machine.committed(one.task, Next(targets=()), ROOT)
    assert machine.finished
    assert machine.state is RunState.SUCCEEDED


def test_retries_wait_longer_each_time_and_then_give_up() -> None:
    machine = RunMachine(Line("a"))
    policy = RetryPolicy(times=2, delay=10, backoff=3)
    one = attempt(machine, policy)
    assert machine.ended(one, BOOM, 100.0) == Retry(at=110.0, counts=True)
    assert machine.take(109.9) is None
    assert machine.next_due() == 110.0
    two = attempt(machine, now=110.0)
    assert (two.number, two.last) == (2, False)
    assert machine.ended(two, BOOM, 200.0) == Retry(at=230.0, counts=True)
    three = attempt(machine, now=230.0)
    assert three.last
    assert machine.ended(three, BOOM, 231.0) == GiveUp()
    assert machine.finished
    assert machine.state is RunState.FAILED
    assert machine.root_cause == ("a", BOOM)


def test_some_retries_begin_though_nothing_else_can() -> None:
    machine = RunMachine(planner=Line("a", "b", "c"))
    pauses = [RetryPolicy(times=1, delay=delay, jitter=0.0) for delay in (10.0, 5.0, 30.0)]
    a, b, c = (attempt(machine, pause) for pause in pauses)
    for one in (a, b, c):
        machine.ended(one, BOOM, 100.0)
    assert machine.take_due(109.9, lambda one: one is a) == []
    assert machine.take_due(110.0, lambda one: one is not b) == [a]
    assert machine.running == 1
    assert machine.next_due() == 105.0
    assert machine.next_due(after=110.0) == 130.0
    assert machine.take(110.0) is b
    assert machine.take(130.0) is c
    assert machine.next_due(after=0.0) is None


@pytest.mark.parametrize(("names", "again"), [(("ValueError",), True), (("app.Boom",), True), (("KeyError",), False)])
def test_only_named_exceptions_are_tried_again(names: tuple[str, ...], again: bool) -> None:
    machine = RunMachine(Line("a"))
    verdict = machine.ended(attempt(machine, RetryPolicy(times=1, on=names)), BOOM, 0.0)
    assert isinstance(verdict, Retry) == again


def test_jitter_stays_within_its_fraction() -> None:
    machine = RunMachine(Line("a"), uniform=random.Random(1).random)
    one = attempt(machine, RetryPolicy(times=50, delay=10, jitter=0.5))
    pauses = []
    for _ in range(50):
        verdict = machine.ended(one, BOOM, 0.0)
        assert isinstance(verdict, Retry)
        pauses.append(verdict.at)
        one = attempt(machine, now=1e9)
    assert 5 <= min(pauses) < 7 < 13 < max(pauses) <= 15


def test_platform_faults_use_no_attempt_but_not_for_ever() -> None:
    machine = RunMachine(Line("a"))
    one = attempt(machine)
    for _ in range(3):
        assert machine.ended(one, LOST, 0.0) == Retry(at=0.0, counts=False)
        one = attempt(machine)
        assert one.number == 1
    assert machine.ended(one, LOST, 0.0) == GiveUp()


def test_finish_lets_siblings_end_and_starts_nothing_new() -> None:
    machine = RunMachine(Line("a", "b", "c"))
    a, b = attempt(machine), attempt(machine, RetryPolicy(times=3))
    assert machine.ended(a, BOOM, 0.0) == GiveUp()
    assert machine.take(0.0) is None
    assert not machine.finished
    # b fails too: it is collateral, not tried again, and not the root cause.
    assert machine.ended(b, BOOM, 0.0) == GiveUp()
    assert machine.finished
    assert machine.root_cause is not None
    assert machine.root_cause[0] == "a"


def test_cancel_kills_and_continue_goes_on() -> None:
    cancelling = RunMachine(Line("a", "b"), on_failure="cancel")
    assert cancelling.ended(attempt(cancelling), BOOM, 0.0) == GiveUp(kill=True)
    going_on = RunMachine(Line("a", "b"), on_failure="continue")
    assert going_on.ended(attempt(going_on), BOOM, 0.0) == GiveUp()
    b = attempt(going_on)
    going_on.ended(b, None, 0.0)
    going_on.committed(b.task, Next(targets=("join",)), ROOT)
    assert going_on.finished
    assert going_on.state is RunState.FAILED


def test_a_collected_failure_does_not_fail_the_run() -> None:
    planner = Line("a", "b")
    planner.collects = True
    machine = RunMachine(planner)
    assert machine.ended(attempt(machine), BOOM, 0.0) == GiveUp(collected=True)
    assert machine.root_cause is None
    b = attempt(machine)
    machine.ended(b, None, 0.0)
    machine.committed(b.task, Next(targets=()), ROOT)
    assert machine.state is RunState.SUCCEEDED


def test_stopping_ends_retries_and_keeps_what_finishes() -> None:
    machine = RunMachine(Line("a", "b", "c"))
    a, b = attempt(machine, RetryPolicy(times=1, delay=60)), attempt(machine)
    machine.ended(a, BOOM, 0.0)
    machine.stop(RunState.INTERRUPTED)
    assert not machine.finished
    assert machine.ended(b, None, 0.0) == Commit()
    machine.committed(b.task, Next(targets=("x",)), ROOT)
    assert machine.finished
    assert machine.state is RunState.INTERRUPTED
    assert machine.root_cause is None
