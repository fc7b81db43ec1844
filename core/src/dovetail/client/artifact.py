"""`DataArtifact`: a named value that a task left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.client.pathspec import parse_pathspec
from dovetail.client.plain_copies import copied
from dovetail.client.wording import naming_artifact
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, PackPlace, RecordPlace
from dovetail.interfaces.errors import CorruptDataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dovetail.artifacts.lazy_values import LazyValue
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.client.client import Client
    from dovetail.client.task import Task

__all__ = ["DataArtifact"]

_OPENED = 8
"""Artifacts of a run whose headers are kept."""


class DataArtifact:
    """A named value that a task left. Its facts are known without loading it; loading verifies every byte.

    Args:
        pathspec: `Flow/run/path/name`, or `Flow/run/name` for one of the end task.
        client: Where to look; the default home otherwise.

    Raises:
        UnknownNameError: There is none.
    """

    __slots__ = ("_entry", "_plain", "_told", "name", "task")

    name: str
    """Name of the artifact."""
    task: Task
    """The task that assigned it; of a parameter or constant the task that was asked for it."""
    _told: Mapping[str, Any] | None

    def __init__(self, pathspec: str, *, client: Client | None = None) -> None:
        from dovetail.client.client import connection_of
        from dovetail.client.find import find_artifact
        from dovetail.client.lookup import find_run
        from dovetail.client.run import Run

        spec = parse_pathspec(pathspec)
        if not spec.rest:
            raise UsageError(f"{pathspec!r} does not name an artifact", hint="Write Flow/run/path/name.")
        connection = connection_of(client)
        found = find_artifact(Run._of(connection, find_run(connection, spec)), spec.rest)
        self._set(found.task, found.name, found._entry, found._plain)

    def _set(self, task: Task, name: str, entry: Sequence[Any] | None, plain: dict[str, Any] | None) -> None:
        self.task = task
        self.name = name
        self._entry = entry
        self._plain = plain
        self._told = None

    @classmethod
    def _of_entry(cls, task: Task, name: str, entry: Sequence[Any]) -> DataArtifact:
        """From an entry of the index (see `dovetail.artifacts.index`)."""
        self = cls.__new__(cls)
        self.task = task
        self.name = name
        self._entry = entry
        self._plain = None
        self._told = None
        return self

    @classmethod
    def _of_plain(cls, task: Task, name: str, plain: dict[str, Any]) -> DataArtifact:
        """From a plain reference."""
        self = cls.__new__(cls)
        self._set(task, name, None, plain)
        return self

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Name of the artifact."""
        return self.name

    @property
    def parent(self) -> Task:
        """The task."""
        return self.task

    @property
    def pathspec(self) -> str:
        """`Flow/run/path/name`."""
        return f"{self.task.pathspec}/{self.name}"

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return [*self.task.path_components, self.name]

    @property
    def ref(self) -> ArtifactRef:
        """Digest, size, serializer and where the bytes are."""
        from dovetail.artifacts.packing import ref_from_plain

        if self._entry is None:
            assert self._plain is not None
            return ref_from_plain(self._plain)
        from dovetail.artifacts.index import index_ref

        run = self.task.run
        # The store is looked up only where the reference needs it.
        recorded = len(self._entry) > 1 and self._entry[3] == "r"
        store = run._store_uuid if recorded else ""
        return index_ref(self.name, list(self._entry), store=store, run=run.id, path=self.task.path)

    @property
    def size(self) -> int:
        """Bytes of the value as stored, uncompressed."""
        return int(self._entry[1]) if self._entry is not None and len(self._entry) > 1 else self.ref.size

    @property
    def type(self) -> str:
        """Qualified name of the value's Python type."""
        return str(self._entry[5]) if self._entry is not None and len(self._entry) > 1 else self.ref.type

    @property
    def serializer(self) -> str:
        """Id of the serializer that wrote it, such as `json` or `pickle`."""
        return str(self._entry[0]) if self._entry is not None and len(self._entry) > 1 else self.ref.serializer

    @property
    def digest(self) -> str:
        """Identity of the value, in hex: equal values have equal digests wherever they are kept."""
        return str(self._entry[2]) if self._entry is not None and len(self._entry) > 1 else self.ref.digest.hex()

    @property
    def sha(self) -> str:
        """The same as `digest`."""
        return self.digest

    @property
    def created_at(self) -> datetime | None:
        """When its task ended."""
        return self.task.finished_at

    @property
    def finished_at(self) -> datetime | None:
        """When its task ended."""
        return self.task.finished_at

    @property
    def is_inline(self) -> bool:
        """Whether the value is in the index itself."""
        return isinstance(self.ref.place, InlinePlace)

    @property
    def description(self) -> Mapping[str, Any]:
        """What the header of its format tells: `rows`, `shape`, `dtype`, `columns`, `files` or `tensors`, as far as
        they apply. Nothing for plain data, for pickles, and where the library of the format is not installed.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
        """
        if self._told is None:
            from dovetail.client.descriptions import described

            self._told = described(self)
        return self._told

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Lengths of its dimensions: of arrays and frames; None of anything else."""
        shape = self.description.get("shape")
        return None if shape is None else tuple(shape)

    @property
    def dtype(self) -> str | None:
        """Type of its elements, such as `float64`: of arrays and series; None of anything else."""
        dtype: str | None = self.description.get("dtype")
        return dtype

    @property
    def columns(self) -> list[tuple[Any, str]] | None:
        """Name and type of each column: of frames and tables; None of anything else."""
        columns = self.description.get("columns")
        return None if columns is None else [(name, kind) for name, kind in columns]

    @property
    def rows(self) -> int | None:
        """How many rows can be read alone, see `artifact[a:b]`; None of a value that can only be loaded whole."""
        rows: int | None = self.description.get("rows")
        return self.size if rows is None and self.serializer == "bytes" else rows

    def preview(self, rows: int = 5) -> str:
        """What it holds, in short: the first rows of a frame, the beginning of an array or text, plain data itself; of
        a pickle its type and size. Little is read, and nothing is unpickled.

        Args:
            rows: How many rows of a frame or array.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: What is read does not match its digests.
        """
        from dovetail.client.previews import preview_of

        return str(preview_of(self, rows))

    @property
    def _artifacts(self) -> ArtifactStore:
        """Loads its value."""
        return self.task.run._artifacts

    @property
    def _run_id(self) -> str:
        return self.task.run.id

    @property
    def _path(self) -> str:
        return self.task.path

    # -- its value ------------------------------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The value, loaded anew each time: changing it changes nothing that is stored.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its bytes do not match its digest.
        """
        entry = self._entry
        if entry is not None and len(entry) == 1:
            value = entry[0]
            return copied(value) if type(value) in (list, dict) else value
        with naming_artifact(self.pathspec):
            return self._artifacts.load(self._located(at_hand=True), name=self.pathspec)

    def __getitem__(self, index: Any) -> Any:
        """`artifact[a:b]`: these rows of an array, series, frame or table, or these bytes, in the type that the whole
        value has. `artifact[i]`: one element, or a frame of one row. Little more than these is read.

        Raises:
            IndexError: There is no such row.
            UsageError: The value can only be loaded whole.
        """
        from dovetail.client.parts import part_of

        return part_of(self, index)

    __iter__ = None
    """Not row by row: each would be read alone."""

    def _open(self) -> LazyValue:
        """The value with nothing but its header read; those of a run that were opened last are kept."""
        opened: dict[DataArtifact, LazyValue] = self.task.run._cache.setdefault("opened", {})
        found = opened.get(self)
        if found is None:
            while len(opened) >= _OPENED:
                del opened[next(iter(opened))]
            with naming_artifact(self.pathspec):
                found = opened[self] = self._artifacts.open(self._located(), name=self.pathspec)
        return found

    def raw(self) -> tuple[bytes, list[memoryview]]:
        """Header and frames as the serializer wrote them, verified; nothing is unpickled."""
        with naming_artifact(self.pathspec):
            header, frames = self._artifacts.fetch(self._located(), name=self.pathspec)
        return header, [memoryview(frame) for frame in frames]

    def _located(self, *, at_hand: bool = False) -> ArtifactRef:
        """The reference, with where its record is: the index says that of the task, not of each value.

        Where signatures are asked for, the record alone says what is loaded, for the index has none. Plain data of the
        index itself is none of the data store's.

        Args:
            at_hand: Whether it may hold the bytes, as those of small values that are read one after the other do.
        """
        from dovetail.client.small_values import with_bytes

        ref = self.ref
        signed = len(self._entry or ()) > 1 and self.task.run._connection.signed
        if not signed and (not isinstance(ref.place, RecordPlace) or ref.place.call_digest):
            return with_bytes(self.task, ref) if at_hand and isinstance(ref.place, PackPlace) else ref
        from dovetail.client.stores import record_of

        found = record_of(self.task).output(self.name)
        if signed and (found is None or found.digest != ref.digest):
            raise CorruptDataError(
                f"artifact {self.pathspec} is not loaded: the index has another value than the task's signed record",
                hint="Make the index anew: dovetail metadata-rebuild",
            )
        found = ref if found is None else found
        return with_bytes(self.task, found) if at_hand else found

    # -- as a value -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"DataArtifact({self.pathspec!r})"

    def _repr_html_(self) -> str:
        from dovetail.client.html import artifact_html

        return artifact_html(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataArtifact) and (other.task, other.name) == (self.task, self.name)

    def __hash__(self) -> int:
        return hash((self.task, self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.task, self.name, self._entry, self._plain)


def _unpickled(task: Task, name: str, entry: Sequence[Any] | None, plain: dict[str, Any] | None) -> DataArtifact:
    artifact = DataArtifact.__new__(DataArtifact)
    artifact._set(task, name, entry, plain)
    return artifact
