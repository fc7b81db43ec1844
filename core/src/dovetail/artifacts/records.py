"""Commit records as readers see them. `dovetail.artifacts.record_packing` writes them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.msgpacked import unpack_checked
from dovetail.artifacts.packing import FOREACH_OUTPUT, Origin, row_to_ref, table_to_refs
from dovetail.artifacts.record_packing import RECORD_VERSION, Reads
from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.caching import CacheKey
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, NotFoundError, StoreVersionError
from dovetail.interfaces.tasks import ErrorReport, Exit, Next, Usage

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["CommitRecord", "unpack_record"]

_HEAD_SIZE = 15
_REPEATED = (3, 4, 6, 8, 13, 14)  # code key, environment, state, store, origin, isolation
_PREDECESSORS = 7
_BODY_SIZE = 7


@lru_cache(maxsize=4096)
def _shared(value: Hashable) -> Hashable:
    return value


@lru_cache(maxsize=256)
def _shared_path(path: str) -> tuple[str, ...]:
    return (path,)


def unpack_record(
    data: bytes,
    *,
    store: str,
    run: str,
    key: str | None = None,
    frame: int = 0,
    values: tuple[int, int] = (0, 0),
) -> CommitRecord:
    """Decode a record.

    Args:
        data: The record.
        store: UUID of the data store that holds it.
        run: Run that it belongs to.
        key: Key of the segment or object that holds it.
        frame: Offset of its frame there.
        values: Offset and length of its values section there.

    Raises:
        CorruptDataError: It is not a record.
        StoreVersionError: A newer Dovetail wrote it.
    """
    found = unpack_checked(data, "a commit record")
    try:
        head, body = found
        version = head[0]
    except (TypeError, ValueError, IndexError) as error:
        raise CorruptDataError("a commit record has an unknown shape") from error
    if not isinstance(version, int) or version > RECORD_VERSION:
        raise StoreVersionError(
            f"a commit record of run {run} has version {version}, and this Dovetail reads up to {RECORD_VERSION}",
            hint="Upgrade dovetail to read this run.",
        )
    if len(head) < _HEAD_SIZE or not isinstance(body, bytes):
        raise CorruptDataError("a commit record has an unknown shape")
    # Most of a head is the same in thousands of records that are held at once.
    for field in _REPEATED:
        head[field] = _shared(head[field])
    predecessors = head[_PREDECESSORS]
    head[_PREDECESSORS] = _shared_path(predecessors[0]) if len(predecessors) == 1 else tuple(predecessors)
    return CommitRecord(head, body, store, run, key, frame, values)


class CommitRecord:
    """A commit record, read-only. The worker's half is decoded when it is first looked at."""

    __slots__ = (
        "_decoded",
        "_head",
        "_rows",
        "body",
        "frame",
        "key",
        "record_store",
        "run",
        "values_at",
        "values_length",
    )

    def __init__(
        self,
        head: list[Any],
        body: bytes,
        record_store: str,
        run: str,
        key: str | None,
        frame: int,
        values: tuple[int, int],
    ) -> None:
        self._head = head
        self._decoded: list[Any] | None = None
        self._rows: dict[str, Any] | None = None
        self.body = body
        """The worker's half, packed; another run that reuses the task copies it."""
        self.record_store = record_store
        """UUID of the data store that holds the record."""
        self.run = run
        """Run that the record belongs to."""
        self.key = key
        """Key of the segment or object that holds the record."""
        self.frame = frame
        """Offset of its frame there."""
        self.values_at, self.values_length = values
        """Offset of its values section there, and its length."""

    def __repr__(self) -> str:
        return f"CommitRecord({self.run}/{self.path}, {self.state}, attempt {self.attempt})"

    # -- the driver's half ----------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the task."""
        return self._head[1]  # type: ignore[no-any-return]

    @property
    def call_digest(self) -> bytes:
        """Digest of the task call."""
        return self._head[2]  # type: ignore[no-any-return]

    @property
    def code_key(self) -> bytes:
        """Code key of the step."""
        return self._head[3]  # type: ignore[no-any-return]

    @property
    def environment(self) -> str:
        """Id of the environment."""
        return self._head[4]  # type: ignore[no-any-return]

    @property
    def attempt(self) -> int:
        """The attempt that committed, from 1."""
        return self._head[5]  # type: ignore[no-any-return]

    @property
    def state(self) -> str:
        """`succeeded` or `cached`."""
        return self._head[6]  # type: ignore[no-any-return]

    @property
    def predecessors(self) -> tuple[str, ...]:
        """Paths of the tasks before it."""
        return self._head[7]  # type: ignore[no-any-return]

    @property
    def store(self) -> str:
        """UUID of the data store that takes the task's values."""
        return self._head[8]  # type: ignore[no-any-return]

    @property
    def exit(self) -> Exit | None:
        """How the attempt's process ended."""
        plain = self._head[9]
        if plain is None:
            return None
        code, signal, out_of_memory, last_memory = plain
        return Exit(code=code, signal=signal, out_of_memory=out_of_memory, last_memory=last_memory)

    @property
    def usage(self) -> Usage:
        """What the attempt used."""
        return Usage(cpu=self._head[10], memory=self._head[11])

    @property
    def log(self) -> tuple[str, int, int] | None:
        """Where the task's log is."""
        plain = self._head[12]
        return None if plain is None else (plain[0], plain[1], plain[2])

    @property
    def origin(self) -> str | None:
        """Run that the task was reused from."""
        return self._head[13]  # type: ignore[no-any-return]

    @property
    def isolation(self) -> str:
        """Kind of the attempt's process."""
        return self._head[14]  # type: ignore[no-any-return]

    @property
    def cache(self) -> CacheKey | None:
        """Under what later runs find the task's value; None where it is not cached."""
        plain = self._head[_HEAD_SIZE] if len(self._head) > _HEAD_SIZE else None
        return None if plain is None else CacheKey(plain[0], plain[1])

    # -- the worker's half ----------------------------------------------------------------------------------------

    def _field(self, index: int) -> Any:
        decoded = self._decoded
        if decoded is None:
            decoded = unpack_checked(self.body, f"the commit record of {self.run}/{self.path}")
            if not isinstance(decoded, list) or len(decoded) < _BODY_SIZE:
                raise CorruptDataError(f"the commit record of {self.run}/{self.path} has an unknown shape")
            self._decoded = decoded
        return decoded[index]

    @property
    def table(self) -> bytes:
        """The output table, packed."""
        return self._field(0)  # type: ignore[no-any-return]

    @property
    def outputs_digest(self) -> bytes:
        """Identity of all outputs."""
        return self._field(1)  # type: ignore[no-any-return]

    @property
    def reads(self) -> Reads:
        """Digest of every name that the task read."""
        return self._field(2)  # type: ignore[no-any-return]

    @property
    def next(self) -> Next | None:
        """The transition taken, the sequence of a foreach resolved to where it is."""
        plain = self._field(3)
        if plain is None:
            return None
        targets, condition, sequence, length, var, on_error = plain
        return Next(
            targets=tuple(targets),
            condition=condition,
            sequence=self.sequence if sequence is not None else None,
            length=length,
            var=var,
            on_error=on_error,
        )

    @property
    def caught(self) -> ErrorReport | None:
        """The failure that `@catch` turned into a value."""
        plain = self._field(4)
        return None if plain is None else ErrorReport.from_plain(plain)

    @property
    def started(self) -> float:
        """When user code began, seconds since the epoch."""
        return self._field(5)  # type: ignore[no-any-return]

    @property
    def finished(self) -> float:
        """When user code ended, seconds since the epoch."""
        return self._field(6)  # type: ignore[no-any-return]

    @property
    def arguments(self) -> bytes:
        """Of a function: what it was called with, packed; of a step nothing."""
        self._field(0)
        assert self._decoded is not None
        return self._decoded[_BODY_SIZE] if len(self._decoded) > _BODY_SIZE else b""

    @property
    def place(self) -> Origin:
        """Where the record is, as a layer of a scope keeps it."""
        return (self.record_store, self.run, self.path, self.call_digest, self.key, self.values_at)

    @property
    def outputs(self) -> dict[str, ArtifactRef]:
        """The artifacts that the task left."""
        found = table_to_refs(self.table, self.place)
        found.pop(FOREACH_OUTPUT, None)
        return found

    def output(self, name: str) -> ArtifactRef | None:
        """One of the artifacts that the task left."""
        rows = self._rows
        if rows is None:
            rows = self._rows = unpack_checked(self.table, "an output table")
        row = rows.get(name)
        return None if row is None else row_to_ref(name, row, self.place)

    @property
    def sequence(self) -> ArtifactRef | None:
        """The sequence of the task's foreach."""
        rows = unpack_checked(self.table, "an output table")
        row = rows.get(FOREACH_OUTPUT)
        return None if row is None else row_to_ref(FOREACH_OUTPUT, row, self.place)

    def read_values(self, store: DataStore) -> bytes:
        """The values section, as a record of another run that reuses the task must bring it along.

        Args:
            store: The data store that holds the record.

        Raises:
            ArtifactGoneError: The run was deleted.
        """
        if self.values_length == 0:
            return b""
        assert self.key is not None
        try:
            with store.get(self.key, byte_range=(self.values_at, self.values_at + self.values_length)) as found:
                return found.stream.read(self.values_length)
        except NotFoundError as error:
            raise ArtifactGoneError(f"the record of {self.run}/{self.path} is gone from {store.url}") from error
