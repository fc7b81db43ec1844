"""A metadata provider beside `MemoryMetadata`: whatever is called, both answer alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.limits import Limit, LimitUse, SlotAnswer
from dovetail.interfaces.metadata import Lease, MetadataCapability, MetadataProvider, Query
from dovetail.testing.conformance.metadata_suite import HOLDER, NOW, OTHER
from dovetail.testing.conformance.model import outcome_of
from dovetail.testing.memory_metadata import MemoryMetadata

__all__ = ["provider_machines"]

_RUNS = ["a", "b", "c"]
_PATHS = ["start", "body", "body[0]", "body[10]", "body[0]#2", "body[1]/fit~0123456789abcdef", "fit/fit"]
_STATES = ["running", "waiting", "succeeded", "failed", "cached", "cancelled"]
_TEXTS = [None, '{"exit":{"code":3}}', "é" * 40, "x"]
_COLUMNS: dict[str, dict[str, list[Any]]] = {
    "task": {
        "attempt": [1, 2],
        "started": [None, NOW, NOW + 2.5],
        "finished": [None, NOW + 7],
        "outputs": [None, "{}", '{"y":[42],"z":["é"]}'],
        "error": _TEXTS,
        "cpu": [None, 0.0, 1.5],
        "memory": [None, 1 << 33],
        "info": _TEXTS,
        "cache": [None, "k1", "k2"],
    }
}
_seeds = st.integers(0, 1 << 32).map(Random)  # drawing each field by hypothesis takes ten times as long
_numbers = itertools.count()


def _data(random: Random, kind: str) -> dict[str, Any]:
    tags = random.sample(["a", "b", "é"], random.randrange(3))
    if kind == EventKind.TASK:
        chosen = {name: random.choice(values) for name, values in _COLUMNS["task"].items() if random.randrange(2)}
        return {"state": random.choice(_STATES), "was": random.choice([None, *_STATES]), **chosen}
    data: dict[str, dict[str, Any]] = {
        EventKind.RUN_CREATED: {"flow": "Train", "user": "ann", "tags": tags, "parameters": {"p": random.randrange(3)}},
        EventKind.RUN_STATE: {"state": random.choice(["running", "paused", "interrupted"]), "reason": "why"},
        EventKind.DRIVER: {"fence": 3, "host": "h", "pid": random.randrange(9)},
        EventKind.EXPECTED: {"step": "body", "count": random.randrange(1, 4)},
        EventKind.TAG: {"add": tags, "remove": random.sample(["a", "b", "é"], random.randrange(2))},
        EventKind.PAUSE: {"reason": ""},
        EventKind.UNPAUSE: {},
        EventKind.NOTE: {"message": "é", "level": "info"},
    }
    return data[kind]


_KINDS = [
    *[EventKind.TASK] * 7, EventKind.RUN_CREATED, EventKind.RUN_STATE, EventKind.DRIVER, EventKind.EXPECTED,
    EventKind.TAG, EventKind.PAUSE, EventKind.UNPAUSE, EventKind.NOTE,
]  # fmt: skip
_INBOX = [EventKind.TAG, EventKind.PAUSE, EventKind.UNPAUSE]


def _batch(random: Random, kinds: list[str]) -> list[Event]:
    writer, first = random.choice("wv"), random.randrange(1, 30)
    found = []
    for n in range(first, first + random.randrange(7)):
        kind = random.choice(kinds)
        path = random.choice(_PATHS) if kind == EventKind.TASK else ""
        found.append(Event(writer, n, kind, NOW + n, path, _data(random, kind)))
    return found


def _has_leases(machine: Any) -> bool:
    return bool(machine.given)


def provider_machines(provider: MetadataProvider) -> list[type[RuleBasedStateMachine]]:
    """Machines whose examples each have runs, leases and limits of their own in the provider."""
    bases = [
        _JournalMachine,
        _LeaseMachine,
        *([_LimitMachine] if MetadataCapability.LIMITS in provider.capabilities else []),
    ]
    return [type(base.__name__.strip("_"), (base,), {"real": provider}) for base in bases]


class _ProviderMachine(RuleBasedStateMachine):
    real: MetadataProvider

    def __init__(self) -> None:
        super().__init__()
        self.model = MemoryMetadata()
        self.top = f"m{next(_numbers)}"

    def both(self, what: str, action: Callable[[Any], Any]) -> None:
        """Do the same with both."""
        came, expected = outcome_of(lambda: action(self.real)), outcome_of(lambda: action(self.model))
        assert came == expected, f"expected {expected!r} of {what}, came {came!r}"


class _JournalMachine(_ProviderMachine):
    @initialize(runs=st.permutations(_RUNS))
    def begin(self, runs: list[str]) -> None:
        for n, run in enumerate(runs):
            self.create(run, "Train", n)

    @rule(run=st.sampled_from(_RUNS), flow=st.sampled_from(["Train", "Test"]), later=st.integers(4, 9))
    def create(self, run: str, flow: str, later: int) -> None:
        self.both(f"create_run({flow})", lambda one: one.create_run(flow, run_id=self.top + run, created=NOW + later))

    @rule(run=st.sampled_from(_RUNS), random=_seeds, fence=st.sampled_from([None, 1, 3, 3, 3, 3]))
    def append(self, run: str, random: Random, fence: int | None) -> None:
        batch = _batch(random, _INBOX if fence is None else _KINDS)
        self.both(f"append({batch}, fence={fence})", lambda one: one.append(self.top + run, batch, fence=fence))

    @rule(run=st.sampled_from(_RUNS), since=st.integers(0, 20))
    def read(self, run: str, since: int) -> None:
        self.both("read", lambda one: list(one.read(self.top + run, since=since)))
        self.both("counts", lambda one: one.counts(self.top + run))

    @rule(random=_seeds, limit=st.integers(1, 4), oldest=st.booleans())
    def query(self, random: Random, limit: int, oldest: bool) -> None:
        filters: dict[str, list[Any]] = {
            "step": ["start", "body", "fit"],
            "path": _PATHS,
            "states": [("running",), ("failed", "cancelled"), ("succeeded", "expected")],
            "tags": [("a",), ("a", "é")],
            "user": ["ann"],
            "since": [NOW + 1],
            "until": [NOW + 2],
            "parameters": [{"p": 1}],
        }
        chosen = {name: random.choice(values) for name, values in filters.items() if not random.randrange(6)}
        kind: Any = random.choice(["tasks", "runs", "steps"])
        query = Query(kind=kind, run=self.top, oldest_first=oldest, **chosen)

        def paged(one: MetadataProvider) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = []
            cursor = None
            while True:
                page = one.query(replace(query, limit=limit, cursor=cursor))
                rows += page.rows
                cursor = page.cursor
                if cursor is None or not page.rows:
                    return rows

        self.both(f"{query}", lambda one: one.query(query).rows)
        self.both(f"pages of {query}", paged)

    @rule(run=st.sampled_from(_RUNS), again=st.sampled_from([True, True, False]))
    def delete(self, run: str, again: bool) -> None:
        self.both("delete_run", lambda one: one.delete_run(self.top + run))
        if again:
            self.create(run, "Train", 4)
        self.read(run, 0)

    @invariant()
    def same_rows(self) -> None:
        for kind in ("runs", "tasks", "steps"):
            self._same(Query(kind=kind, run=self.top))
        for run in _RUNS:
            self.both("counts", lambda one, run=run: one.counts(self.top + run))  # type: ignore[misc]

    def _same(self, query: Query) -> None:
        self.both(f"{query}", lambda one: one.query(query).rows)

    def teardown(self) -> None:
        for run in _RUNS:
            self.real.delete_run(self.top + run)


class _LeaseMachine(_ProviderMachine):
    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Lease, Lease]] = []
        """Leases of the provider, each with the model's."""

    @rule(name=st.sampled_from(["x", "x", "xé"]), holder=st.sampled_from([HOLDER, OTHER]), slots=st.integers(1, 3))
    def lease(self, name: str, holder: Any, slots: int) -> None:
        came, expected = (
            one.lease(self.top + name, holder=holder, slots=slots, ttl=1e6) for one in (self.real, self.model)
        )
        slot = came and came.slot
        assert (came and came.slot) == (expected and expected.slot), f"expected slot {expected}, came {slot}"
        if came is not None and expected is not None:
            self.given.append((came, expected))

    @precondition(_has_leases)
    @rule(at=st.integers(0, 2))
    def renew(self, at: int) -> None:
        leases = self._given(at)
        self.both("renew", lambda one: one.renew(leases[one]).ttl)  # a turn's slot is any number

    @precondition(_has_leases)
    @rule(at=st.integers(0, 2))
    def release(self, at: int) -> None:
        leases = self._given(at)
        self.both("release", lambda one: one.release(leases[one]))

    def _given(self, at: int) -> dict[Any, Lease]:
        return dict(zip((self.real, self.model), self.given[-1 - at % len(self.given)], strict=True))

    @invariant()
    def same_leases(self) -> None:
        self.both("leases", lambda one: sorted((found.name, found.slot) for found in one.leases(self.top)))

    def teardown(self) -> None:
        for lease, _ in self.given:
            self.real.release(lease)


class _LimitMachine(_LeaseMachine):
    @rule(slots=st.integers(0, 3))
    def set_limit(self, slots: int) -> None:
        self.both("set_limit", lambda one: one.set_limit(Limit(name=f"{self.top}gpu", slots=slots)))

    @rule(occupy=st.integers(1, 3), holder=st.sampled_from([HOLDER, OTHER]))
    def take_slots(self, occupy: int, holder: Any) -> None:
        name = f"{self.top}gpu"
        self.both("may_take", lambda one: one.may_take(name, occupy=occupy))
        answers: list[Any] = [
            outcome_of(lambda one=one: one.take_slots(name, holder=holder, occupy=occupy, ttl=1e6))  # type: ignore[misc]
            for one in (self.real, self.model)
        ]
        told = [
            ([lease.slot for lease in answer.slots], answer.turn is None) if isinstance(answer, SlotAnswer) else answer
            for answer in answers
        ]
        assert told[0] == told[1], f"expected {told[1]} of take_slots({occupy}), came {told[0]}"
        if isinstance(answers[0], SlotAnswer):
            self.given += zip(answers[0].slots, answers[1].slots, strict=True)
            if answers[0].turn is not None:
                self.given.append((answers[0].turn, answers[1].turn))

        def uses(one: Any) -> list[tuple[bool, int]]:
            found: list[LimitUse] = one.limit_uses(name)
            return [(use.waits, use.occupy) for use in found]

        self.both("limit_uses", uses)
