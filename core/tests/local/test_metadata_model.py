"""`SqliteMetadata` against `MemoryMetadata`, the simplest provider that keeps the contract."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import hypothesis.strategies as st
from amounts import examples
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.events import INBOX_KINDS, RUN_COLUMNS, TASK_COLUMNS, Event, EventKind
from dovetail.interfaces.limits import Limit, SlotAnswer, SupportsLimits
from dovetail.interfaces.metadata import Holder, Lease, MetadataProvider, Query
from dovetail.interfaces.paths import step_of
from dovetail.local.metadata import SqliteMetadata
from dovetail.testing.memory_metadata import MemoryMetadata

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing
NOW = 1_795_250_000.0
RUNS = [f"01m7ykt{rest:0>19}" for rest in ("440a", "440b", "538", "z")]
FLOWS = ["Train", "Test"]
STATES = ["running", "waiting", "succeeded", "failed", "cached", "cancelled"]
PATHS = [
    "start",
    "body",
    "body[0]",
    "body[10]",
    "body[0]#2",
    "body[1]/fit~0123456789abcdef",
    "fit/fit",
    "bodyguard/body",
]
TEXTS = [None, '{"isolation":"inline"}', '{"exit":{"code":3}}', "é" * 40, '["a",1]', '["a",007]', "x"]
RECORDS = [
    None,
    '["000001-000001",0]',
    '["000001-000001",1234567]',
    '["runs/x/commits/a",3]',
    '["000001-000001",9999999999]',
    '["a", 3]',
    '["000002-000001",03]',
]
LOGS = [None, '["000001-000001",0,10]', '["000001-000001",10,10]', '["000001-000001",10,5000000]', '["a",5,3]', "[]"]
OUTPUTS = [
    None,
    "{}",
    '{"y":[42]}',
    '{"y":["é"],"z":[1]}',
    '{"y":["pickle",12,"ab","o","u"],"odd\\"name":[1]}',
    '{"y":7}',
]

PARAMETERS = [None, True, 1, 1.5, "1", "é", [1, {"a": 1, "b": 2}], {"b": [], "a": ""}]

# Batches and queries are drawn from a seed: hypothesis spends ten times as long on drawing each field.
seeds = st.integers(0, 1 << 32).map(Random)


def chance(random: Random, times: int) -> bool:
    """True once in so many times."""
    return not random.randrange(times)


def a_time(random: Random) -> float:
    return random.choice([NOW + random.randrange(1 << 40) / (1 << 22), NOW + random.randrange(9), 0.0, 12.5, 100.1])


def some(random: Random, **choices: Any) -> dict[str, Any]:
    """Some of the fields, each with one of its values."""
    return {name: random.choice(values) for name, values in choices.items() if chance(random, 2)}


def some_tags(random: Random) -> list[str]:
    return random.sample(["a", "b", "é"], random.randrange(3))


def task(random: Random) -> dict[str, Any]:
    return {
        "state": random.choice(STATES),
        **some(
            random,
            was=[None, *STATES],
            attempt=[1, 2],
            started=[None, a_time(random), a_time(random)],
            finished=[None, a_time(random), a_time(random)],
            outputs=OUTPUTS,
            error=TEXTS,
            cpu=[None, 0.0, 0.000123, 1.5, 1 / 3, 100.1],
            memory=[None, random.randrange(1 << 40)],
            log=LOGS,
            record=RECORDS,
            info=TEXTS,
            cache=[None, "k1", "k2"],
        ),
    }


def created(random: Random) -> dict[str, Any]:
    return {
        "flow": "Train",
        **some(
            random,
            user=["ann", "bob"],
            tags=[some_tags(random)],
            system_tags=[some_tags(random)],
            parameters=[some(random, p=PARAMETERS, q=PARAMETERS)],
            origin=[None, {"run": RUNS[0]}],
            file=["flow.py"],
        ),
    }


DATA: dict[str, Callable[[Random], dict[str, Any]]] = {
    EventKind.TASK: task,
    EventKind.EXPECTED: lambda random: {"step": random.choice(["body", "fit"]), "count": random.randrange(9)},
    EventKind.RUN_CREATED: created,
    EventKind.RUN_STATE: lambda random: {
        "state": random.choice(["running", "succeeded", "failed"]),
        **some(random, finished=[a_time(random)], error=[{"path": "a", "message": "é"}], reason=["", "é"]),
    },
    EventKind.DRIVER: lambda random: {"fence": random.randrange(1, 4), "host": "h", "pid": 1},
    EventKind.ATTEMPT: lambda random: {"attempt": 1, "error": None},
    EventKind.TAG: lambda random: some(random, add=[some_tags(random)], remove=[some_tags(random)]),
    EventKind.SIGNAL: lambda random: {"name": "s", "value": [1]},
    EventKind.CANCEL: lambda random: {"reason": ""},
}


def a_batch(random: Random) -> list[Event]:
    found = []
    writer, n = random.choice("wv"), random.randrange(1, 60)
    for _ in range(random.randrange(8)):
        kind = random.choice([*[EventKind.TASK] * 9, *DATA])
        data = DATA[kind](random)
        path = random.choice(PATHS) if kind in (EventKind.TASK, EventKind.ATTEMPT) else ""
        if kind == EventKind.TASK and chance(random, 2):
            data["step"] = step_of(path)
        found.append(Event(writer, n, kind, a_time(random), path, data))
        n += 1
        if chance(random, 6):
            writer, n = random.choice("wv"), random.randrange(1, 60)
    return found


def a_query(random: Random) -> Query:
    filters: dict[str, list[Any]] = {
        "flow": FLOWS,
        "run": [*RUNS, RUNS[0][:8], RUNS[3][:12], RUNS[0][:23], ""],
        "step": ["start", "body", "fit", "none"],
        "path": PATHS,
        "states": [("running",), ("failed", "cancelled"), ("succeeded", "expected"), tuple(STATES)],
        "tags": [tuple(some_tags(random))],
        "user": ["ann", ""],
        "since": [a_time(random)],
        "until": [a_time(random)],
        "parameters": [some(random, p=PARAMETERS, q=PARAMETERS)],
    }
    # Rarely many at once: nothing would be found.
    chosen = {name: random.choice(values) for name, values in filters.items() if chance(random, 7)}
    kind = random.choice(["tasks", "tasks", "runs", "steps", "flows"])
    return Query(kind=kind, oldest_first=chance(random, 2), **chosen)  # type: ignore[arg-type]


COLUMNS = {
    "tasks": [*TASK_COLUMNS, "run", "artifact:y", 'artifact:odd"name', "artifact:none"],
    "runs": RUN_COLUMNS,
    "steps": ["run", "step", "state", "count"],
    "flows": ["flow", "runs", "latest"],
}
HOLDERS = [Holder(host="elsewhere", boot="b", pid=pid, started="1") for pid in (1, 2)]


def limited(provider: MetadataProvider) -> SupportsLimits:
    assert isinstance(provider, SupportsLimits)
    return provider


class MetadataMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="dovetail-metadata-", dir=MEMORY)
        self.now = NOW
        self.real = self.opened()
        self.model = MemoryMetadata(clock=lambda: self.now)
        self.created = NOW
        self.given: list[Lease] = []

    def opened(self) -> SqliteMetadata:
        return SqliteMetadata(f"{self.folder}/metadata.db", clock=lambda: self.now)

    def both(self, action: Callable[[MetadataProvider], Any]) -> Any:
        outcomes = []
        for provider in (self.real, self.model):
            try:
                outcomes.append(action(provider))
            except DovetailError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    @initialize(runs=st.permutations(RUNS))
    def begin(self, runs: list[str]) -> None:
        for run in runs:
            self.create(run, "Train")

    @rule(run=st.sampled_from(RUNS), flow=st.sampled_from(FLOWS))
    def create(self, run: str, flow: str) -> None:
        self.created += 1
        self.both(lambda provider: provider.create_run(flow, run_id=run, created=self.created))

    @rule(run=st.sampled_from(RUNS), random=seeds, fence=st.sampled_from([None, 0, 1, 3, 3, 3, 3, 3]))
    def append(self, run: str, random: Random, fence: int | None) -> None:
        batch = a_batch(random)
        self.both(lambda provider: provider.append(run, batch, fence=fence))

    @rule(run=st.sampled_from(RUNS[:2]), random=seeds)
    def append_to_one_of_two(self, run: str, random: Random) -> None:
        batch = a_batch(random)
        self.both(lambda provider: provider.append(run, batch, fence=3))

    @rule(run=st.sampled_from(RUNS), random=seeds)
    def append_to_inbox(self, run: str, random: Random) -> None:
        inbox = [event for event in a_batch(random) + a_batch(random) if event.kind in INBOX_KINDS]
        self.both(lambda provider: provider.append(run, inbox))

    @rule(run=st.sampled_from(RUNS), since=st.integers(-1, 20))
    def read(self, run: str, since: int) -> None:
        self.both(lambda provider: list(provider.read(run, since=since)))
        self.both(lambda provider: provider.counts(run))

    @rule(random=seeds, limit=st.integers(1, 4))
    def query(self, random: Random, limit: int) -> None:
        query = a_query(random)
        self.both(lambda provider: provider.query(query))
        whole = self.both(lambda provider: provider.query(query, columns=COLUMNS[query.kind]).rows)

        def paged(provider: MetadataProvider) -> Any:
            rows, cursor = [], None
            while True:
                page = provider.query(replace(query, limit=limit, cursor=cursor), columns=COLUMNS[query.kind])
                assert len(page.rows) <= limit
                rows += page.rows
                cursor = page.cursor
                if cursor is None:
                    return rows

        assert self.both(paged) == whole

    @rule(besides=st.sampled_from([None, *RUNS]))
    def cached(self, besides: str | None) -> None:
        query = Query(kind="tasks", cache=("k1", "k2", "k3"), besides=besides)
        self.both(lambda provider: sorted(provider.query(query, columns=("cache", "run", "path")).rows))

    @rule(run=st.sampled_from(RUNS), chance=st.integers(0, 9))
    def delete_or_reopen(self, run: str, chance: int) -> None:
        if chance == 9:  # rarely, or else there is never much to look at
            self.both(lambda provider: provider.delete_run(run))
        elif chance > 6:
            self.real.close()
            self.real = self.opened()

    @rule(seconds=st.sampled_from([1.0, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from(["run:a", "run:b", "é"]), holder=st.sampled_from(HOLDERS), slots=st.integers(0, 3))
    def lease(self, name: str, holder: Holder, slots: int) -> None:
        lease = self.both(lambda provider: provider.lease(name, holder=holder, slots=slots, ttl=30.0))
        if isinstance(lease, Lease):
            assert all(lease.token > other.token for other in self.given)
            self.given.append(lease)

    @rule(at=st.integers(0, 5), renew=st.booleans())
    def renew_or_release(self, at: int, renew: bool) -> None:
        if at < len(self.given):
            lease = self.given[-1 - at]
            self.both(lambda provider: provider.renew(lease) if renew else provider.release(lease))

    @rule(prefix=st.sampled_from(["", "run:", "run:a", "x"]))
    def leases(self, prefix: str) -> None:
        self.both(lambda provider: provider.leases(prefix))

    @rule(name=st.sampled_from(["gpu", "api"]), slots=st.integers(0, 3), period=st.sampled_from([None, None, 20.0]))
    def set_limit(self, name: str, slots: int, period: float | None) -> None:
        self.both(lambda provider: limited(provider).set_limit(Limit(name=name, slots=slots, period=period)))

    @rule(name=st.sampled_from(["gpu", "api"]), chance=st.integers(0, 9))
    def limits(self, name: str, chance: int) -> None:
        if chance == 9:
            self.both(lambda provider: limited(provider).delete_limit(name))
        self.both(lambda provider: limited(provider).limits())
        self.both(lambda provider: limited(provider).limit_uses(name))

    @rule(
        name=st.sampled_from(["gpu", "api"]),
        holder=st.sampled_from(HOLDERS),
        occupy=st.integers(0, 3),
        turn=st.integers(0, 5),
    )
    def take_slots(self, name: str, holder: Holder, occupy: int, turn: int) -> None:
        turns = [lease for lease in self.given if lease.name == f"turn:{name}"]
        mine = turns[-1 - turn] if turn < len(turns) else None
        if occupy:
            self.both(lambda provider: limited(provider).may_take(name, occupy=occupy, turn=mine))
        may = bool(occupy) and limited(self.real).may_take(name, occupy=occupy, turn=mine)
        answer = self.both(
            lambda provider: limited(provider).take_slots(
                name, holder=holder, occupy=occupy, ttl=30.0, note="n", turn=mine
            )
        )
        if isinstance(answer, SlotAnswer):
            assert bool(answer.slots) != (answer.turn is not None)
            assert may or not answer.slots
            for lease in answer.slots or ((answer.turn,) if answer.turn and answer.turn != mine else ()):
                if lease not in self.given:
                    assert all(lease.token > other.token for other in self.given)
                    self.given.append(lease)

    @invariant()
    def same_index(self) -> None:
        for kind, columns in COLUMNS.items():
            self.both(lambda provider, k=kind, c=columns: provider.query(Query(kind=k), columns=c))  # type: ignore[misc]

    def teardown(self) -> None:
        for run in RUNS:
            self.both(lambda provider, run=run: list(provider.read(run)))  # type: ignore[misc]
        self.real.close()
        shutil.rmtree(self.folder)


TestMetadata = MetadataMachine.TestCase
TestMetadata.settings = settings(
    max_examples=examples(80), stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
