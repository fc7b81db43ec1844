"""Limits of both providers: who gets slots, in which order, what ends a hold, and what waiting costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.errors import NotFoundError, StaleFenceError, UsageError
from dovetail.interfaces.limits import Limit, SlotAnswer, SupportsLimits
from dovetail.interfaces.metadata import Holder, Lease, MetadataCapability
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins import slots as slots_module
from dovetail.plugins.holder import current_holder
from dovetail.plugins.slots import LOOK_SECONDS, MARK_SECONDS, SlotRequest
from dovetail.testing.memory_metadata import MemoryMetadata

ELSEWHERE = Holder(host="elsewhere", boot="b", pid=1, started="1")


class Clock:
    """Time that passes only when a test says so: that of leases, and that of those who wait."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    monotonic = __call__


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(slots_module, "time", made)
    return made


@pytest.fixture(params=["sqlite", "memory"])
def provider(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    made: Any = (
        SqliteMetadata(tmp_path / "metadata.db", clock=clock)
        if request.param == "sqlite"
        else MemoryMetadata(clock=clock)
    )
    yield made
    made.close()


def take(provider: Any, name: str = "gpu", *, holder: Holder = ELSEWHERE, **options: Any) -> SlotAnswer:
    answer: SlotAnswer = provider.take_slots(name, holder=holder, ttl=30.0, **options)
    return answer


def test_both_providers_declare_the_ability(provider: Any) -> None:
    assert MetadataCapability.LIMITS in provider.capabilities
    assert isinstance(provider, SupportsLimits)


def test_limits_are_defined_changed_and_deleted(provider: Any) -> None:
    assert provider.limits() == []
    with pytest.raises(NotFoundError, match="no limit 'gpu'"):
        take(provider)
    provider.set_limit(Limit(name="gpu", slots=1))
    provider.set_limit(Limit(name="api", slots=10, period=60.0))
    provider.set_limit(Limit(name="gpu", slots=2))
    assert provider.limits() == [Limit(name="api", slots=10, period=60.0), Limit(name="gpu", slots=2)]
    provider.delete_limit("gpu")
    assert [limit.name for limit in provider.limits()] == ["api"]
    with pytest.raises(NotFoundError):
        provider.delete_limit("gpu")
    for wrong in (Limit(name="", slots=1), Limit(name="x", slots=-1), Limit(name="x", slots=1, period=0.0)):
        with pytest.raises(UsageError):
            provider.set_limit(wrong)


def test_slots_are_leases_that_only_their_holder_can_renew_and_release(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=1))
    (first,) = take(provider).slots
    waiting = take(provider)
    assert waiting.slots == ()
    assert waiting.turn is not None
    assert waiting.retry_in == 30.0
    clock.now += 20.0
    first = provider.renew(first)
    turn = provider.renew(waiting.turn)
    clock.now += 29.0
    assert take(provider, turn=turn).turn == turn
    clock.now += 0.5  # the turn, renewed at the same time, ends together with the slot
    turn = provider.renew(turn)
    clock.now += 0.5
    (second,) = take(provider, turn=turn).slots
    assert second.token > turn.token > first.token
    with pytest.raises(StaleFenceError):
        provider.renew(first)
    provider.release(first)  # of no effect: it is held by another
    assert take(provider).turn is not None
    assert [use.lease for use in provider.limit_uses("gpu") if not use.waits] == [second]
    provider.renew(second)


def test_a_stale_slot_stays_stale_when_another_slot_of_the_limit_was_given(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=2))
    take(provider)
    (second,) = take(provider).slots
    clock.now += 31.0
    provider.set_limit(Limit(name="gpu", slots=1))
    assert take(provider).slots[0].slot == 0
    with pytest.raises(StaleFenceError):
        provider.renew(second)


def test_a_dead_holder_frees_its_slot_and_its_turn_at_once(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=1))
    mine = current_holder()
    dead = Holder(host=mine.host, boot=mine.boot, pid=mine.pid, started="1")
    (lease,) = take(provider, holder=mine).slots
    assert take(provider, holder=dead).turn is not None
    provider.release(lease)
    (lease,) = take(provider, holder=dead).slots
    assert take(provider, holder=mine).slots
    with pytest.raises(StaleFenceError):
        provider.renew(lease)


def test_who_came_first_goes_first_and_many_slots_are_not_starved(provider: Any) -> None:
    provider.set_limit(Limit(name="gpu", slots=3))
    held = [take(provider).slots[0] for _ in range(3)]
    large = take(provider, occupy=3).turn
    small = take(provider, occupy=1).turn
    assert large is not None
    assert small is not None
    for lease in held:
        provider.release(lease)
        assert not provider.may_take("gpu", occupy=1, turn=small)
        assert take(provider, turn=small).turn == small
    assert take(provider).turn is not None  # nor does anybody new overtake
    assert provider.may_take("gpu", occupy=3, turn=large)
    assert len(take(provider, occupy=3, turn=large).slots) == 3


def test_those_behind_move_up_when_one_gives_up(provider: Any) -> None:
    provider.set_limit(Limit(name="gpu", slots=2))
    (lease,) = take(provider).slots
    large, small = take(provider, occupy=2).turn, take(provider).turn
    assert large is not None
    assert not provider.may_take("gpu", turn=small)
    provider.release(large)
    assert provider.may_take("gpu", turn=small)
    assert len(take(provider, turn=small).slots) == 1
    provider.release(lease)


def test_more_slots_than_there_are_means_all(provider: Any) -> None:
    provider.set_limit(Limit(name="gpu", slots=3))
    assert len(take(provider, occupy=5).slots) == 3
    provider.set_limit(Limit(name="gpu", slots=0))
    assert take(provider).turn is not None


def test_fewer_slots_hold_until_enough_were_given_back(provider: Any) -> None:
    provider.set_limit(Limit(name="gpu", slots=3))
    held = [take(provider).slots[0] for _ in range(3)]
    provider.set_limit(Limit(name="gpu", slots=1))
    turn = take(provider).turn
    for lease in held:
        provider.renew(lease)
        assert take(provider, turn=turn).turn == turn
        provider.release(lease)
    assert take(provider, turn=turn).slots


def test_a_rate_frees_each_slot_one_period_after_it_was_taken(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="api", slots=2, period=60.0))
    mine = current_holder()
    assert take(provider, "api", holder=mine).rate
    clock.now += 10.0
    take(provider, "api", holder=mine)
    answer = take(provider, "api", holder=mine)
    assert answer.turn is not None
    assert answer.retry_in == 50.0
    clock.now += 49.0
    turn = take(provider, "api", turn=answer.turn).turn  # ran out meanwhile: a new one
    assert turn is not None
    assert turn != answer.turn
    clock.now += 1.0
    assert provider.may_take("api", turn=turn)
    assert take(provider, "api", turn=turn).slots
    assert take(provider, "api").retry_in == 10.0


def test_in_no_period_there_are_more_than_the_rate_allows(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="api", slots=3, period=7.0))
    taken = []
    for _ in range(100):
        clock.now += 0.5
        answer = take(provider, "api")
        if answer.slots:
            taken.append(clock.now)
        else:
            provider.release(answer.turn)
    assert all(sum(begin <= time < begin + 7.0 for time in taken) <= 3 for begin in taken)
    assert len(taken) == 8 + 8 + 7  # in fifty seconds, each of the three slots every seven


def test_who_holds_and_who_waits_is_told(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=2))
    take(provider, note="F/1/a")
    clock.now += 1.0
    take(provider, note="F/1/b", occupy=2)
    uses = provider.limit_uses("gpu")
    assert [(use.waits, use.note, use.occupy, use.since) for use in uses] == [
        (False, "F/1/a", 1, clock.now - 1.0),
        (True, "F/1/b", 2, clock.now),
    ]
    assert uses[0].lease.holder == ELSEWHERE
    with pytest.raises(NotFoundError):
        provider.limit_uses("none")


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(provider: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of the provider is called."""
    calls: Counter[str] = Counter()

    def count(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return method(*args, **kwargs)

        return called

    for name in ("take_slots", "may_take", "limit_mark", "renew", "release"):
        monkeypatch.setattr(provider, name, count(name, getattr(provider, name)))
    return calls


def test_a_minute_of_waiting_costs_few_looks_and_ends_at_once(
    provider: Any, clock: Clock, counted: Counter[str]
) -> None:
    provider.set_limit(Limit(name="gpu", slots=1))
    (lease,) = take(provider, holder=current_holder()).slots
    request = SlotRequest(provider, "gpu", 1, "")
    counted.clear()
    assert request.attempt() is None
    for second in range(60):
        for _ in range(int(1 / MARK_SECONDS)):
            clock.now += MARK_SECONDS
            assert request.attempt() is None
        if second % 5 == 0:
            lease = provider.renew(lease)
    renewals = 12 + 60 // 7.5  # of the slot, and of the turn
    assert counted["take_slots"] == 1
    assert counted["renew"] <= renewals
    # Each renewal is a change that is looked at, and so is the life of the holder now and then.
    assert counted["may_take"] <= 60 / LOOK_SECONDS + renewals
    provider.release(lease)
    clock.now += MARK_SECONDS
    assert request.attempt() is not None
    assert counted["take_slots"] == 2


def test_what_others_do_is_no_reason_to_write(provider: Any, clock: Clock, counted: Counter[str]) -> None:
    """Runs write to their journals all the time."""
    provider.set_limit(Limit(name="gpu", slots=1))
    take(provider, holder=current_holder())
    request = SlotRequest(provider, "gpu", 1, "")
    counted.clear()
    for number in range(100):
        assert request.attempt() is None
        provider.create_run("F", run_id=f"r{number}")
        clock.now += MARK_SECONDS
    assert counted["take_slots"] == 1


def test_waiting_for_a_rate_ends_at_its_moment(provider: Any, clock: Clock, counted: Counter[str]) -> None:
    provider.set_limit(Limit(name="api", slots=1, period=10.0))
    take(provider, "api")
    request = SlotRequest(provider, "api", 1, "")
    begun = clock.now
    while request.attempt() is None:
        clock.now += request.pause()
    assert begun + 10.0 <= clock.now <= begun + 10.0 + MARK_SECONDS
    assert counted["take_slots"] == 3  # one of them is this test's


def test_requests_are_served_in_the_order_of_their_coming(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=2))
    held: list[Lease] = [take(provider, holder=current_holder()).slots[0] for _ in range(2)]
    waiting = {number: SlotRequest(provider, "gpu", 1, str(number)) for number in range(20)}
    for request in waiting.values():
        assert request.attempt() is None
    served = []
    while waiting:
        provider.release(held.pop(0))
        clock.now += MARK_SECONDS
        for number in sorted(waiting, reverse=True):  # the last one asks first
            leases = waiting[number].attempt()
            if leases is not None:
                held += leases
                served.append(number)
                del waiting[number]
    assert served == list(range(20))


def test_a_limit_that_is_deleted_holds_nobody_up(provider: Any, clock: Clock) -> None:
    provider.set_limit(Limit(name="gpu", slots=0))
    request = SlotRequest(provider, "gpu", 1, "")
    assert request.attempt() is None
    provider.delete_limit("gpu")
    clock.now += MARK_SECONDS
    assert request.attempt() == ()
    with pytest.raises(NotFoundError):
        SlotRequest(provider, "gpu", 1, "").attempt()


def test_giving_up_leaves_nothing(provider: Any) -> None:
    provider.set_limit(Limit(name="gpu", slots=0))
    request = SlotRequest(provider, "gpu", 1, "")
    request.attempt()
    request.give_up()
    request.give_up()
    assert provider.limit_uses("gpu") == []
    assert provider.leases() == []
