"""Values that other runs made: under which key a task's is found, and which of them may stand for it.

The index leads to a record, and the record decides: it must have the whole key and be young enough, and what it refers
to must still be there. Whatever is wrong with it is a miss, for the task can always run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from blake3 import blake3

from dovetail.artifacts.segments import read_frames_from
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ObjectPlace, PackPlace
from dovetail.interfaces.caching import CacheKey, cache_column
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.calls import StepPlan
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.interfaces.tasks import Arguments, TaskCall

__all__ = ["CacheHit", "ResultCache", "cache_key"]

_DOMAIN = b"dovetail-cache-1\0"
_AHEAD = 1000
"""Records that are read, and then looked up, at once: what one run made in turn, others ask for in that order."""
_AHEAD_BYTES = 1 << 22
"""Bytes of a segment that are read for them at most: small values are among the records."""
_KEPT = 4 * _AHEAD
"""Records that are kept at most."""
_FRESH = 10.0
"""Seconds for which an answer of the index counts."""
_COLUMNS = ("cache", "run", "path", "record")
_Row = tuple[str, str, str]
"""(run, path, record)"""


def cache_key(plan: StepPlan, arguments: Arguments, store: str) -> CacheKey | None:
    """Under what other runs find the value of a called task; None where it is not cached.

    Args:
        plan: Of the task.
        arguments: What it is called with.
        store: UUID of the run's data store. Values lie there or in the task's own, so other stores have others.
    """
    policy = plan.policy.cache
    if policy is None:
        return None
    by = "+".join(policy.by)
    code = plan.code.key.hex() if "code" in policy.by else f"{plan.code.module}:{plan.code.name}"
    environment = plan.environment if "environment" in policy.by else ""
    hasher = blake3(_DOMAIN)
    for part in (store, plan.datastore, by, code, environment):
        data = part.encode("utf-8", "surrogatepass")
        hasher.update(len(data).to_bytes(4, "little") + data)
    if "inputs" in policy.by:
        hasher.update(arguments.digest)
    return CacheKey(hasher.digest(), by)


@dataclass(frozen=True, slots=True)
class CacheHit:
    """What another run has left for a task."""

    record: CommitRecord | None
    """Its record; None when the task must run."""
    values: bytes = b""
    """The values section of the record."""
    reason: str = ""
    """Why the task runs though there is a value."""


_MISS = CacheHit(None)


class ResultCache:
    """Looks values up for one run. Owned by the driver's thread.

    Args:
        run: This run: what it has made itself is no other run's.
        provider: Has the index.
        store: The run's data store, which has the records.
        uuid: That store's.
        artifacts: Has the objects that records refer to.
        clock: Tells the age of values.
    """

    def __init__(
        self,
        *,
        run: str,
        provider: MetadataProvider,
        store: DataStore,
        uuid: str,
        artifacts: ArtifactStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._provider = provider
        self._store = store
        self._uuid = uuid
        self._artifacts = artifacts
        self._clock = clock
        self._rows: dict[str, _Row | None] = {}
        self._fresh_until = 0.0
        self._kept = 0
        self._frames: dict[tuple[str, int], dict[str, CommitRecord]] = {}

    def look_up(self, calls: Iterable[TaskCall]) -> None:
        """Ask the index once for what several calls need; `find` takes the answers."""
        wanted = [call.cache_key for call in calls if call.policy.cache is not None and not call.policy.cache.refresh]
        self._ask(cache_column(key.digest) for key in wanted if key is not None)

    def _ask(self, keys: Iterable[str]) -> None:
        if time.monotonic() > self._fresh_until:
            self._rows.clear()
        columns = set(keys) - self._rows.keys()
        if not columns:
            return
        if not self._rows:
            self._fresh_until = time.monotonic() + _FRESH
        query = Query(kind="tasks", cache=tuple(columns), besides=self._run)
        self._rows.update(dict.fromkeys(columns))
        try:
            rows = self._provider.query(query, columns=_COLUMNS).rows
        except DovetailError:
            return
        for column, run, path, record in rows:
            self._rows[column] = (run, path, record or "")

    def find(self, call: TaskCall) -> CacheHit:
        """The value that stands for a call's own, checked; or why there is none."""
        key, policy = call.cache_key, call.policy.cache
        if key is None or policy is None:
            return _MISS
        if policy.refresh:
            return CacheHit(None, reason="asked for by refresh")
        column = cache_column(key.digest)
        self._ask([column])
        row = self._rows.pop(column, None)
        if row is None:
            return _MISS
        run = row[0]
        try:
            record = self._read(row)
            if record is None or record.cache is None or record.cache.digest != key.digest:
                return _MISS
            if policy.expires is not None and record.finished + policy.expires <= self._clock():
                return CacheHit(None, reason=f"the value that run {run} made has expired")
            if not all(self._artifacts.renew(store, digest) for store, digest in _objects(record)):
                return CacheHit(None, reason=f"the value that run {run} made is gone")
            return CacheHit(record, record.read_values(self._store))
        except DovetailError as error:
            return CacheHit(None, reason=f"the value that run {run} made can't be read: {error.message}")

    def _read(self, row: _Row) -> CommitRecord | None:
        """The record that a row of the index names. Those that were written with it are kept for the next calls."""
        run, path, text = row
        if not text:
            return None
        key, frame = json.loads(text)
        if (key, frame) not in self._frames:
            self._read_ahead(run, key, frame)
        return self._frames.get((key, frame), {}).get(path)

    def _read_ahead(self, run: str, key: str, frame: int) -> None:
        """Read a frame and those behind it, and ask the index for what their records are the values of."""
        if self._kept >= _KEPT:
            self._frames.clear()
            self._kept = 0
        found: list[CommitRecord] = []
        for offset, records in read_frames_from(self._store, run, key, frame, uuid=self._uuid):
            self._frames[key, offset] = {record.path: record for record in records}
            found += records
            if len(found) >= _AHEAD or offset - frame >= _AHEAD_BYTES:
                break
        self._kept += len(found)
        self._ask(cache_column(record.cache.digest) for record in found if record.cache is not None)


def _objects(record: CommitRecord) -> Iterable[tuple[str, bytes]]:
    """(store uuid, digest) of every object that a record refers to."""
    for ref in record.outputs.values():
        if isinstance(ref.place, ObjectPlace):
            yield ref.place.store, ref.digest
        elif isinstance(ref.place, PackPlace):
            yield ref.place.store, ref.place.pack
