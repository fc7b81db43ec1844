"""`MemoryMetadata`: a metadata provider in memory, for tests."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    StaleFenceError,
    UsageError,
)
from dovetail.interfaces.events import INBOX_KINDS, RUN_COLUMNS, TASK_COLUMNS, Event, fold
from dovetail.interfaces.limits import Limit
from dovetail.interfaces.metadata import (
    Holder,
    Lease,
    MetadataCapability,
    MetadataProvider,
    Page,
    Query,
    RunRef,
)
from dovetail.interfaces.runs import new_run_id
from dovetail.interfaces.states import RunState
from dovetail.plugins.holder import is_known_dead
from dovetail.testing._memory_limits import MemoryLimits

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["MemoryMetadata"]

_SCHEME = "memory://"
_COLUMNS: dict[str, tuple[str, ...]] = {
    "flows": ("flow", "runs", "latest"),
    "runs": RUN_COLUMNS,
    "steps": ("run", "step", "state", "count"),
    "tasks": TASK_COLUMNS,
}
_ORDER = ("succeeded", "cached", "failed", "cancelled", "skipped", "running", "waiting", "ready", "planned", "expected")


@dataclass(slots=True)
class _Run:
    number: int
    columns: dict[str, Any]
    fence: int = 0
    events: list[Event] = field(default_factory=list)
    written: set[tuple[str, int]] = field(default_factory=set)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)


class _Contents:
    """What the handles of one provider share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        self.runs: dict[str, _Run] = {}
        self.leases: dict[tuple[str, int], Lease] = {}
        self.limits: dict[str, Limit] = {}
        self.uses: dict[int, tuple[int, float, str]] = {}  # token → slots, since, what for
        self.numbers = 0
        self.tokens = 0
        self.mark = 0  # changes with limits, slots and turns


_PROVIDERS: WeakValueDictionary[str, _Contents] = WeakValueDictionary()


class MemoryMetadata(MemoryLimits, MetadataProvider):
    """Journal, index and leases in this process's memory; gone with the last handle.

    It behaves as a provider must and does nothing beyond that, so it also serves as the model in tests of others.

    Args:
        name: Handles of one name show the same runs; None: a provider of its own.
        clock: Gives the time that leases are measured by, in seconds since the epoch.
    """

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.LIMITS

    def __init__(self, name: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.name = os.urandom(8).hex() if name is None else name
        """What tells providers apart."""
        contents = _PROVIDERS.get(self.name)
        if contents is None:
            contents = _PROVIDERS[self.name] = _Contents(clock)
        self._contents = contents

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the provider of a name, as a `memory://name` URL or bare; empty: the instance's name."""
        return cls(target.removeprefix(_SCHEME) or ctx.instance)

    def __repr__(self) -> str:
        return f"MemoryMetadata({self.name!r})"

    # Journal

    def create_run(self, flow: str, *, run_id: str | None = None, created: float | None = None) -> RunRef:
        now = time.time() if created is None else created
        run = new_run_id(now) if run_id is None else run_id
        contents = self._contents
        with contents.changed:
            known = contents.runs.get(run)
            if known is None:
                contents.numbers += 1
                columns: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
                columns.update(run=run, flow=flow, state="running", created=now, user="", tags=[], system_tags=[])
                columns.update(parameters={}, info={})
                known = contents.runs[run] = _Run(contents.numbers, columns)
            if known.columns["flow"] != flow:
                raise AlreadyExistsError(f"run {run} is of flow {known.columns['flow']}, not {flow}")
            return RunRef(run=run, flow=flow, created=known.columns["created"])

    def append(self, run: str, events: Sequence[Event], *, fence: int | None = None) -> int:
        if fence is None and any(event.kind not in INBOX_KINDS for event in events):
            raise PreconditionError("an event of this kind needs a driver's fence")
        events = [Event.from_plain(json.loads(json.dumps(event.to_plain()))) for event in events]
        with self._contents.changed:
            found = self._run(run)
            if fence is not None and fence < found.fence:
                raise StaleFenceError(f"a newer driver owns run {run} (fence {found.fence}, this one has {fence})")
            fresh = []
            for event in events:
                if (event.writer, event.n) not in found.written:
                    found.written.add((event.writer, event.n))
                    fresh.append(event)
            found.events += [replace(event, seq=seq) for seq, event in enumerate(fresh, len(found.events) + 1)]
            self._apply(found, fresh, fence or 0)
            self._contents.changed.notify_all()
            return len(found.events)

    @staticmethod
    def _apply(found: _Run, events: Iterable[Event], fence: int) -> None:
        changes = fold(events)
        found.fence = max(found.fence, changes.fence, fence)
        columns = found.columns
        info = {**columns["info"], **changes.run.get("info", {})}
        columns.update((name, value) for name, value in changes.run.items() if name in columns and name != "run")
        columns["info"] = info
        columns["tags"] = sorted((set(columns["tags"]) | changes.add_tags) - changes.remove_tags)
        for path, row in changes.tasks.items():
            task = found.tasks.setdefault(path, dict.fromkeys(TASK_COLUMNS))
            task.update((name, value) for name, value in row.items() if name in task)
        for step in [*(row["step"] for row in changes.tasks.values()), *(step for step, _ in changes.counts)]:
            found.counts.setdefault(step, {})
        for (step, state), count in changes.counts.items():
            counters = found.counts[step]
            counters[state] = counters.get(state, 0) + count
            if not counters[state]:
                del counters[state]

    def read(self, run: str, *, since: int = 0) -> Iterator[Event]:
        with self._contents.changed:
            return iter(self._run(run).events[max(since, 0) :])

    def watch(self, run: str, *, since: int = 0) -> Iterator[Event]:
        with self._contents.changed:
            found = self._run(run)
        return self._watch(run, found, max(since, 0))

    def _watch(self, run: str, found: _Run, since: int) -> Iterator[Event]:
        contents = self._contents
        while True:
            with contents.changed:
                while len(found.events) <= since:
                    if contents.runs.get(run) is not found or RunState(found.columns["state"]).final:
                        return
                    contents.changed.wait()
                events = found.events[since:]
            since += len(events)
            yield from events

    def delete_run(self, run: str) -> None:
        with self._contents.changed:
            self._contents.runs.pop(run, None)
            self._contents.changed.notify_all()

    def _run(self, run: str) -> _Run:
        try:
            return self._contents.runs[run]
        except KeyError:
            raise NotFoundError(f"run {run} is not in {self.name}") from None

    # Index

    def counts(self, run: str) -> dict[str, dict[str, int]]:
        with self._contents.changed:
            found = self._contents.runs.get(run)
            return {} if found is None else {step: dict(c) for step, c in found.counts.items() if c}

    def query(self, query: Query, *, columns: Sequence[str] | None = None) -> Page:
        if query.limit is not None and query.limit < 0:
            raise UsageError("a query's limit can't be negative")
        if query.kind not in _COLUMNS:
            raise UsageError(f"{query.kind!r} is no kind of a query")
        names = tuple(_COLUMNS[query.kind] if columns is None else columns)
        allowed = (*_COLUMNS[query.kind], "run") if query.kind == "tasks" else _COLUMNS[query.kind]
        for name in names:
            if name not in allowed and not (query.kind == "tasks" and name.startswith("artifact:")):
                raise UsageError(f"{name!r} is no column of this query")
        with self._contents.changed:
            runs = sorted(
                (run for run in self._contents.runs.values() if _matches(run, query)), key=lambda run: run.number
            )
            # What stands before a row is its position: unique, and in the order of the answer.
            rows: list[tuple[tuple[Any, ...], dict[str, Any]]] = list(_ROWS[query.kind](runs, query))
            rows.sort(key=lambda row: row[0], reverse=not query.oldest_first)
            if query.cursor is not None:
                edge = tuple(json.loads(query.cursor))
                rows = [row for row in rows if (row[0] > edge if query.oldest_first else row[0] < edge)]
            cursor = query.cursor if query.limit == 0 and rows else None
            if query.limit is not None and 0 < query.limit < len(rows):
                cursor = json.dumps(rows[query.limit - 1][0])
            taken = rows if query.limit is None else rows[: query.limit]
            picked = [tuple(_value(row, name) for name in names) for _, row in taken]
        return Page(columns=names, rows=picked, cursor=cursor)

    # Leases

    def lease(self, name: str, *, holder: Holder, slots: int = 1, ttl: float = 30.0) -> Lease | None:
        if slots < 1 or ttl <= 0:
            raise UsageError(f"a lease of {slots} slots for {ttl} s can't be held")
        contents = self._contents
        with contents.changed:
            taken = {lease.slot for lease in self.leases(name) if lease.name == name}
            if len(taken) >= slots:
                return None
            slot = next(slot for slot in range(slots) if slot not in taken)
            contents.tokens += 1
            lease = contents.leases[name, slot] = Lease(
                name=name, slot=slot, token=contents.tokens, ttl=ttl, expires=contents.clock() + ttl, holder=holder
            )
            return lease

    def renew(self, lease: Lease) -> Lease:
        contents = self._contents
        with contents.changed:
            if not self._holds(lease):
                raise StaleFenceError(f"the lease of {lease.name} is no longer held")
            renewed = replace(lease, expires=contents.clock() + lease.ttl)
            contents.leases[lease.name, lease.slot] = renewed
            return renewed

    def release(self, lease: Lease) -> None:
        with self._contents.changed:
            if self._holds(lease):
                del self._contents.leases[lease.name, lease.slot]
                self._contents.mark += 1

    def leases(self, prefix: str = "") -> list[Lease]:
        contents = self._contents
        with contents.changed:
            now = contents.clock()
            return [
                lease
                for (name, _), lease in sorted(contents.leases.items())
                if name.startswith(prefix) and lease.expires > now and not is_known_dead(lease.holder)
            ]

    def _holds(self, lease: Lease) -> bool:
        found = self._contents.leases.get((lease.name, lease.slot))
        return found is not None and found.token == lease.token


def _matches(run: _Run, query: Query) -> bool:
    columns = run.columns
    tags = {*columns["tags"], *columns["system_tags"]}
    if query.kind in ("runs", "steps") and not _within(columns["created"], query):
        return False
    if query.kind == "runs" and query.states and columns["state"] not in query.states:
        return False
    return (
        (query.flow is None or columns["flow"] == query.flow)
        and (query.run is None or columns["run"].startswith(query.run))
        and (query.user is None or columns["user"] == query.user)
        and tags.issuperset(query.tags)
        and all(
            name in columns["parameters"] and _text(columns["parameters"][name]) == _text(value)
            for name, value in query.parameters.items()
        )
    )


def _within(time: float | None, query: Query) -> bool:
    if query.since is None and query.until is None:
        return True
    return (
        time is not None
        and (query.since is None or time >= query.since)
        and (query.until is None or time < query.until)
    )


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


_Rows = Iterator[tuple[tuple[Any, ...], dict[str, Any]]]


def _flow_rows(runs: Sequence[_Run], query: Query) -> _Rows:
    flows: dict[str, list[_Run]] = {}
    for run in runs:
        flows.setdefault(run.columns["flow"], []).append(run)
    for flow, found in flows.items():
        latest = max(found, key=lambda run: (run.columns["created"], run.number))
        place = (latest.columns["created"], latest.number)
        yield place, {"flow": flow, "runs": len(found), "latest": latest.columns["run"]}


def _run_rows(runs: Sequence[_Run], query: Query) -> _Rows:
    for run in runs:
        yield (run.columns["created"], run.number), run.columns


def _step_rows(runs: Sequence[_Run], query: Query) -> _Rows:
    for run in runs:
        for place, (step, counters) in enumerate(run.counts.items()):
            for state, count in counters.items():
                if query.step in (None, step) and (not query.states or state in query.states):
                    row = {"run": run.columns["run"], "step": step, "state": state, "count": count}
                    yield (run.number, place, _ORDER.index(state)), row


def _task_rows(runs: Sequence[_Run], query: Query) -> _Rows:
    if query.cache is not None:
        yield from _cached_rows(runs, query)
        return
    for run in runs:
        for place, (path, task) in enumerate(run.tasks.items()):
            if (
                query.path in (None, path)
                and query.step in (None, task["step"])
                and (not query.states or task["state"] in query.states)
                and _within(task["started"], query)
            ):
                yield (run.number, place), {**task, "run": run.columns["run"]}


def _cached_rows(runs: Sequence[_Run], query: Query) -> _Rows:
    """The newest task of each key."""
    keys = set(query.cache or ())
    for run in reversed(runs):
        for place, task in reversed(list(enumerate(run.tasks.values()))):
            if task["cache"] in keys and run.columns["run"] != query.besides:
                keys.remove(task["cache"])
                yield (run.number, place), {**task, "run": run.columns["run"]}


_ROWS: dict[str, Callable[[Sequence[_Run], Query], _Rows]] = {
    "flows": _flow_rows,
    "runs": _run_rows,
    "steps": _step_rows,
    "tasks": _task_rows,
}


def _value(row: dict[str, Any], name: str) -> Any:
    if name.startswith("artifact:"):
        outputs = json.loads(row["outputs"] or "{}")
        name = name[len("artifact:") :]
        return json.dumps(outputs[name], separators=(",", ":"), ensure_ascii=False) if name in outputs else None
    return row[name]
