"""Writes the commit records of a run, in batches, and derives what follows from each: scope and next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dovetail.artifacts.packing import FOREACH_OUTPUT, RESULT, table_to_refs
from dovetail.artifacts.record_packing import join_record, pack_head
from dovetail.artifacts.scopes import ScopeReader, pack_layer, scope_digest
from dovetail.interfaces.artifacts import RecordPlace
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.tasks import Next, Scope

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.segments import SegmentWriter
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.interfaces.caching import CacheKey
    from dovetail.interfaces.tasks import Exit, TaskCall, TaskOutcome, Usage
    from dovetail.planning.planned import PlannedTask

__all__ = ["Committer", "Pending", "Written"]


@dataclass(slots=True, kw_only=True, eq=False)
class Pending:
    """A task whose record is to be written."""

    task: PlannedTask
    call: TaskCall
    outcome: TaskOutcome
    attempt: int
    state: str
    isolation: str
    exit: Exit | None = None
    usage: Usage | None = None
    log: tuple[str, int, int] | None = None
    origin: str | None = None
    written: CommitRecord | None = None
    """The record, where it is in this run already."""
    by_key: bool = True
    """Whether other runs may find it by the call's cache key: not where it was reused though its code differs."""

    @property
    def cache(self) -> CacheKey | None:
        """Under what other runs find its value. A failure that was caught is no value."""
        return self.call.cache_key if self.by_key and self.outcome.caught is None else None


@dataclass(frozen=True, slots=True)
class Written:
    """A task whose record is kill-durable."""

    pending: Pending
    scope: Scope
    next: Next
    record: tuple[str, int]
    """(key, offset of the frame that holds the record)"""
    result: ArtifactRef | None = None
    """Of a called task: where its result is."""


class Committer:
    """Appends commit records to the driver's segments.

    Args:
        segments: Where records go.
        store: UUID of the run's data store.
        run: Run id.
    """

    def __init__(self, segments: SegmentWriter, *, store: str, run: str) -> None:
        self._segments = segments
        self._store = store
        self._run = run

    def write(self, batch: Iterable[Pending]) -> list[Written]:
        """Write a batch with one append; kill-durable when it returns."""
        pending = list(batch)
        fresh = [item for item in pending if item.written is None]
        records = [(join_record(self._head(item), item.outcome.body), item.outcome.values) for item in fresh]
        places = iter(self._segments.append(records) if records else ())
        return [self._written(item, next(places) if item.written is None else _place(item.written)) for item in pending]

    def _head(self, item: Pending) -> bytes:
        call, usage = item.call, item.usage
        return pack_head(
            path=call.path,
            call_digest=call.digest,
            code_key=call.code.key,
            environment=call.environment,
            attempt=item.attempt,
            state=item.state,
            predecessors=item.task.predecessors,
            store=call.datastore,
            exit=item.exit,
            cpu=usage.cpu if usage else None,
            memory=usage.memory if usage else None,
            log=item.log,
            origin=item.origin,
            isolation=item.isolation,
            cache=item.cache,
        )

    def _written(self, item: Pending, place: tuple[str, int, int]) -> Written:
        key, frame, base = place
        call, outcome = item.call, item.outcome
        origin = (self._store, self._run, call.path, call.digest, key, base) if outcome.values else None
        if item.task.is_called:
            result = table_to_refs(outcome.outputs, origin).get(RESULT)
            return Written(item, item.task.scope, Next(targets=()), (key, frame), result)
        layer = pack_layer(outcome.outputs, origin)
        below = item.task.scope
        scope = Scope(below, layer, scope_digest(below.digest, outcome.outputs_digest))
        taken = outcome.next or Next(targets=())
        if taken.sequence is not None and isinstance(taken.sequence.place, RecordPlace):
            # The worker could not know where the record would lie.
            taken = replace(taken, sequence=ScopeReader([layer]).get(FOREACH_OUTPUT))
        return Written(item, scope, taken, (key, frame))


def _place(record: CommitRecord) -> tuple[str, int, int]:
    assert record.key is not None
    return record.key, record.frame, record.values_at
