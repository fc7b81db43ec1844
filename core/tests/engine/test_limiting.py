"""The driver's side of limits, with a provider in memory."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail.engine import limiting
from dovetail.engine.limiting import Limiter
from dovetail.engine.machine import Attempt
from dovetail.interfaces.limits import Limit
from dovetail.plugins.holder import current_holder
from dovetail.testing.memory_metadata import MemoryMetadata


class Desk:
    """A limiter, and what it has told."""

    def __init__(self) -> None:
        self.provider = MemoryMetadata()
        self.told: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.limiter = Limiter(
            self.provider,
            "F/1",
            told=lambda attempt, limit: self.told.append((attempt.call.path, limit)),
            note=self.notes.append,
        )

    def define(self, **limits: int) -> None:
        for name, slots in limits.items():
            self.provider.set_limit(Limit(name=name, slots=slots))

    def admit(self, path: str, *, here: bool = False, called: bool = False, **limits: int) -> Attempt:
        task: Any = SimpleNamespace(path=path, is_called=called)
        call: Any = SimpleNamespace(path=path)
        attempt = Attempt(task, call)
        assert self.limiter.admit(attempt, limits, here=here) is not bool(limits)
        return attempt

    def granted(self, room: int = 9) -> list[str]:
        self.limiter.look(room)
        return [found.call.path for found in iter(self.limiter.take, None)]

    def waiting(self, name: str) -> list[str]:
        return [use.note for use in self.provider.limit_uses(name) if use.waits]


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.limiter.close()
    assert made.provider.leases() == []


def test_a_run_stands_in_line_once(desk: Desk) -> None:
    desk.define(gpu=2)
    attempts = [desk.admit(f"a[{n}]", gpu=1) for n in range(10)]
    assert desk.granted() == ["a[0]", "a[1]"]
    assert desk.waiting("gpu") == ["F/1/a[2]"]
    desk.limiter.release(attempts[1])
    assert desk.granted() == ["a[2]"]
    desk.limiter.release(attempts[5])  # it waits no more
    desk.limiter.release(attempts[0])
    desk.limiter.release(attempts[2])
    assert desk.granted() == ["a[3]", "a[4]"]


def test_limits_are_taken_in_one_order(desk: Desk) -> None:
    desk.define(a=1, b=1)
    both, other = desk.admit("both", b=1, a=1), desk.admit("other", b=1)
    assert desk.granted() == ["other"]
    assert [use.note for use in desk.provider.limit_uses("a")] == ["F/1/both"]
    desk.limiter.release(other)
    assert desk.granted() == ["both"]
    desk.limiter.release(both)


def test_who_has_no_worker_for_a_slot_lets_others_go(desk: Desk) -> None:
    desk.define(gpu=1)
    desk.admit("a", gpu=1)
    assert desk.granted(room=0) == []
    assert desk.provider.leases() == []
    (lease,) = desk.provider.take_slots("gpu", holder=current_holder()).slots
    assert desk.granted(room=1) == []
    assert desk.waiting("gpu") == ["F/1/a"]
    desk.provider.release(lease)
    assert desk.granted(room=0) == []
    assert desk.waiting("gpu") == []
    assert desk.granted(room=1) == ["a"]


def test_a_slot_that_no_worker_took_is_given_back_until_an_attempt_ends(desk: Desk) -> None:
    desk.define(gpu=1)
    other = desk.admit("other")
    attempt = desk.admit("a", gpu=1)
    desk.admit("b", gpu=1)
    assert desk.granted() == ["a"]
    desk.limiter.give_back(attempt)
    assert desk.provider.leases() == []
    assert desk.granted() == []
    desk.limiter.release(other)
    assert desk.granted() == ["a"]


def test_what_is_called_runs_on_the_slots_of_its_caller(desk: Desk) -> None:
    desk.define(gpu=1, api=1)
    caller = desk.admit("a[1]", gpu=1)
    assert desk.granted() == ["a[1]"]
    inner: Any = SimpleNamespace(path="a[1]/b~0/c~0", is_called=True)
    assert desk.limiter.admit(Attempt(inner, inner), {"gpu": 1})
    assert not desk.limiter.admit(Attempt(inner, inner), {"gpu": 1, "api": 1})
    assert desk.granted() == ["a[1]/b~0/c~0"]
    assert not desk.limiter.admit(Attempt(inner, inner), {"api": 1})
    desk.limiter.release(caller)


def test_what_runs_in_its_callers_process_needs_no_room(desk: Desk) -> None:
    desk.define(gpu=1)
    desk.admit("a/b~0", gpu=1, here=True, called=True)
    assert desk.granted(room=0) == ["a/b~0"]


def test_what_waits_can_be_dropped(desk: Desk) -> None:
    desk.define(gpu=0)
    desk.admit("a", gpu=1)
    desk.admit("b~0", gpu=1, called=True)
    desk.admit("c~0", gpu=1, called=True, here=True)
    desk.granted()
    assert [attempt.call.path for attempt in desk.limiter.drop(called=False)] == ["a"]
    assert [attempt.call.path for attempt in desk.limiter.drop(called=True)] == ["b~0"]
    desk.define(gpu=9)
    assert desk.granted() == ["c~0"]


def test_a_limit_without_room_is_told_after_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.define(gpu=0)
    desk.admit("a", gpu=1)
    desk.limiter.tick()
    assert desk.told == []
    monkeypatch.setattr(limiting, "TOLD_AFTER", 0.0)
    desk.limiter.tick()
    desk.limiter.tick()
    assert desk.told == [("a", "gpu")]


def test_slots_are_renewed_and_a_lost_one_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.define(gpu=1)
    attempt = desk.admit("a", gpu=1)
    assert desk.limiter.next_due() is not None
    assert desk.granted() == ["a"]
    (before,) = desk.provider.leases()
    monkeypatch.setattr(desk.limiter, "_renewed", 0.0)
    desk.limiter.renew_if_due()
    (after,) = desk.provider.leases()
    assert after.token == before.token
    assert after.expires > before.expires
    desk.provider.release(after)
    monkeypatch.setattr(desk.limiter, "_renewed", 0.0)
    desk.limiter.renew_if_due()
    assert desk.notes == ["a has lost its slot of limit:gpu: others may run beside it"]
    desk.limiter.release(attempt)
    assert desk.limiter.next_due() is None
