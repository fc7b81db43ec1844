"""Metadata provider: named limits (LIMITS)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from dovetail.interfaces.errors import NotFoundError
from dovetail.interfaces.limits import Limit, SlotAnswer
from dovetail.interfaces.metadata import Lease, MetadataCapability, MetadataProvider
from dovetail.testing.conformance.abilities import facts_of, missing_methods, need, need_absence, refusal
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.metadata_leases import eventually
from dovetail.testing.conformance.metadata_suite import HOLDER, OTHER, MetadataSuite
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["MetadataLimits"]

LIMITS = MetadataCapability.LIMITS
_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "set_limit": ((Limit(name="gpu", slots=1),), {}),
    "delete_limit": (("gpu",), {}),
    "limits": ((), {}),
    "take_slots": (("gpu",), {"holder": HOLDER}),
    "may_take": (("gpu",), {}),
    "limit_mark": ((), {}),
    "limit_uses": (("gpu",), {}),
}


class MetadataLimits(MetadataSuite):
    """Abilities."""

    @guards("metadata.abilities-are-there")
    def test_declared_abilities_have_their_methods(
        self, request: pytest.FixtureRequest, provider: MetadataProvider
    ) -> None:
        self.note(request, **facts_of(provider))
        missing = missing_methods(provider, "metadata")
        assert not missing, f"expected a method for each declared ability, came none for {', '.join(missing)}"

    @guards("metadata.undeclared-is-refused", flag="!LIMITS")
    def test_undeclared_limits_are_refused(self, provider: MetadataProvider) -> None:
        need_absence(provider, LIMITS)
        works = refusal(provider, "metadata", "LIMITS", _CALLS)
        assert not works, f"expected UnsupportedOperationError or no method without LIMITS, came {', '.join(works)}"

    @guards("metadata.limits", flag="LIMITS")
    def test_limits_are_defined(self, provider: Any) -> None:
        need(provider, LIMITS)
        limits = [Limit(name="gpu", slots=2), Limit(name="api", slots=5, period=60.0), Limit(name="none", slots=0)]
        for limit in limits:
            provider.set_limit(limit)
        found = provider.limits()
        expected = sorted(limits, key=lambda limit: limit.name)
        assert found == expected, f"expected the limits by name, {expected}, came {found}"
        provider.set_limit(Limit(name="gpu", slots=3))
        provider.delete_limit("api")
        found = provider.limits()
        expected = [Limit(name="gpu", slots=3), Limit(name="none", slots=0)]
        assert found == expected, f"expected {expected} after a change and a delete, came {found}"
        for name, call in (
            ("delete_limit", lambda: provider.delete_limit("api")),
            ("take_slots", lambda: provider.take_slots("api", holder=HOLDER)),
        ):
            error = error_of(call)
            assert isinstance(error, NotFoundError), f"expected NotFoundError of {name}, came {error!r}"

    @guards("metadata.limit-slots", flag="LIMITS")
    def test_slots_are_taken_all_or_none(self, provider: Any) -> None:
        need(provider, LIMITS)
        provider.set_limit(Limit(name="gpu", slots=3))
        two = provider.take_slots("gpu", holder=HOLDER, occupy=2, note="first")
        assert len(two.slots) == 2, f"expected two slots of three, came {two}"
        assert two.turn is None, f"expected no turn for who got slots, came {two.turn}"
        assert not provider.may_take("gpu", occupy=2), "expected may_take to say no to two slots where one is left"
        none = provider.take_slots("gpu", holder=OTHER, occupy=2, note="second")
        assert (none.slots, none.turn is None) == ((), False), f"expected a turn and no slots, came {none}"
        uses = [(use.waits, use.occupy, use.note) for use in provider.limit_uses("gpu")]
        expected = [(False, 2, "first"), (False, 2, "first"), (True, 2, "second")]
        assert uses == expected, f"expected {expected} from limit_uses, came {uses}"
        provider.release(two.slots[0])
        got = provider.take_slots("gpu", holder=OTHER, occupy=2, turn=none.turn)
        assert len(got.slots) == 2, f"expected two slots when they are free, came {got}"
        all_of_it = Limit(name="small", slots=2)
        provider.set_limit(all_of_it)
        many = provider.take_slots("small", holder=HOLDER, occupy=9)
        assert len(many.slots) == 2, f"expected more slots than there are to mean all of them, came {many}"

    @guards("metadata.limit-slots", flag="LIMITS")
    def test_no_more_slots_than_there_are(self, provider: Any) -> None:
        need(provider, LIMITS)
        provider.set_limit(Limit(name="gpu", slots=3))
        outcomes = race([partial(provider.take_slots, "gpu", holder=HOLDER) for _ in range(THREADS)])
        odd = [outcome for outcome in outcomes if not isinstance(outcome, SlotAnswer)]
        assert not odd, f"expected an answer for each thread, came {odd[0]!r}"
        taken = [lease.slot for outcome in outcomes for lease in outcome.slots]
        assert sorted(taken) == [0, 1, 2], f"expected {THREADS} threads to take the slots 0, 1, 2, came {taken}"

    @guards("metadata.limit-turns", flag="LIMITS")
    def test_who_comes_first_goes_first(self, provider: Any) -> None:
        need(provider, LIMITS)
        provider.set_limit(Limit(name="gpu", slots=1))
        [held] = provider.take_slots("gpu", holder=HOLDER).slots
        turns: list[Lease] = [provider.take_slots("gpu", holder=OTHER).turn for _ in range(3)]
        assert None not in turns, f"expected a turn for each who waits, came {turns}"
        provider.release(held)
        assert provider.take_slots("gpu", holder=HOLDER).slots == (), "expected a newcomer to wait behind three"
        assert not provider.may_take("gpu", turn=turns[1]), "expected may_take to say no to the second in turn"
        second = provider.take_slots("gpu", holder=OTHER, turn=turns[1])
        assert (second.slots, second.turn and second.turn.token) == ((), turns[1].token), (
            f"expected the second to keep its turn and wait, came {second}"
        )
        assert provider.may_take("gpu", turn=turns[0]), "expected may_take to say yes to the first in turn"
        first = provider.take_slots("gpu", holder=OTHER, turn=turns[0])
        assert len(first.slots) == 1, f"expected the first in turn to get the slot, came {first}"
        provider.release(first.slots[0])
        provider.release(turns[1])
        third = provider.take_slots("gpu", holder=OTHER, turn=turns[2])
        assert len(third.slots) == 1, f"expected the third when the second gave its turn back, came {third}"

    @guards("metadata.limit-rate", flag="LIMITS")
    def test_a_rate_frees_its_slots_by_itself(self, provider: Any) -> None:
        need(provider, LIMITS)
        provider.set_limit(Limit(name="api", slots=1, period=0.3))
        first = provider.take_slots("api", holder=HOLDER)
        assert (len(first.slots), first.rate) == (1, True), f"expected one slot of a rate, came {first}"
        second = provider.take_slots("api", holder=HOLDER)
        assert second.slots == (), f"expected the next one to wait, came {second}"
        assert second.retry_in is not None, "expected retry_in to be told of a rate, came None"
        assert 0 < second.retry_in <= 0.3, f"expected a wait of at most 0.3 s, came {second.retry_in}"
        found = eventually(lambda: provider.take_slots("api", holder=HOLDER, turn=second.turn).slots, self.patience)
        assert found, "expected a slot one period later, came none"

    @guards("metadata.limit-mark", flag="LIMITS")
    def test_the_mark_follows_every_change(self, provider: Any) -> None:
        need(provider, LIMITS)
        marks = [provider.limit_mark()]
        provider.set_limit(Limit(name="gpu", slots=1))
        marks.append(provider.limit_mark())
        [held] = provider.take_slots("gpu", holder=HOLDER).slots
        marks.append(provider.limit_mark())
        provider.take_slots("gpu", holder=OTHER)
        marks.append(provider.limit_mark())
        provider.release(held)
        marks.append(provider.limit_mark())
        same = [n for n in range(1, len(marks)) if marks[n] == marks[n - 1]]
        names = ["", "set_limit", "take_slots", "a turn", "release"]
        assert not same, f"expected another mark after {names[same[0]]}, came the same"
