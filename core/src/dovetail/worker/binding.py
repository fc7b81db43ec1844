"""What `self` reads in a task: its scope, foreach items and joined inputs, each read noted with its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from dovetail.artifacts.reads import (
    ERROR_READ,
    NAMES_READ,
    STACK_READ,
    STEP_READ,
    error_digest,
    index_digest,
    names_digest,
    stack_digest,
    step_digest,
)
from dovetail.artifacts.scopes import ScopeReader
from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.paths import step_of
from dovetail.interfaces.tasks import ErrorReport
from dovetail.worker.assignments import Joined, Layer, Sequenced, Task

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore

__all__ = ["JoinedBinding", "JoinedBindings", "TaskBinding", "find"]

Frames = list[tuple[Sequenced, int]]


def find(layer: Layer | None, name: str) -> ArtifactRef | None:
    """What `name` is in a scope: the nearest layer wins."""
    needle = name.encode()
    while layer is not None:
        if needle in layer.data:  # the name stands there as it is, so most layers are passed over undecoded
            reader: ScopeReader | None = layer.reader
            if reader is None:
                reader = ScopeReader([layer.data])
                if layer.is_shared:
                    layer.reader = reader
            ref = reader.get(name)
            if ref is not None:
                return ref
        layer = layer.parent
    return None


def names_in(layer: Layer | None) -> list[str]:
    """Every name of a scope."""
    layers: list[bytes] = []
    while layer is not None:
        layers.append(layer.data)
        layer = layer.parent
    return ScopeReader(layers[::-1]).names()


class _Items:
    """Items of foreach sequences, each sequence opened once."""

    def __init__(self, artifacts: Callable[[], ArtifactStore]) -> None:
        self._artifacts = artifacts

    def reader(self, sequence: Sequenced) -> Any:
        reader = sequence.reader
        if reader is None:
            reader = sequence.reader = self._artifacts().open_sequence(
                sequence.ref, name=sequence.var or f"the items of {sequence.step}"
            )
        return reader

    def load(self, sequence: Sequenced, index: int) -> Any:
        return self.reader(sequence)[index]

    def digest(self, sequence: Sequenced, index: int) -> bytes:
        digest: bytes = self.reader(sequence).item_ref(index).digest
        return digest


class _Frames(Sequence["tuple[int, int, Callable[[], Any]]"]):
    """Foreach levels as authoring asks for them."""

    def __init__(self, frames: Frames, items: _Items) -> None:
        self._frames = frames
        self._items = items

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, at: int) -> tuple[int, int, Callable[[], Any]]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[int, int, Callable[[], Any]]]: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        sequence, index = self._frames[at]
        return index, sequence.length, lambda: self._items.load(sequence, index)


class TaskBinding:
    """What one attempt reads.

    Args:
        task: The attempt.
        artifacts: Opens the stores when a value is first needed.
    """

    __slots__ = ("_artifacts", "_items", "joined_reads", "reads", "refs", "task")

    def __init__(self, task: Task, artifacts: Callable[[], ArtifactStore]) -> None:
        self.task = task
        self._artifacts = artifacts
        self._items = _Items(artifacts)
        self.reads: dict[str, Any] = {}
        """Name → digest of what was read, None where it was absent."""
        self.refs: dict[str, ArtifactRef] = {}
        """What was loaded."""
        self.joined_reads: dict[str, list[bytes | None]] = {}
        """Of a join: name → digest of each input's, in order; `b""` where it was not read."""

    def load(self, name: str) -> Any:
        """See `dovetail.authoring.contract.Binding`."""
        frames = self.task.frames
        if name == "input" and frames:
            sequence, index = frames[-1]
            self.reads["input"] = self._items.digest(sequence, index)
            return self._items.load(sequence, index)
        if name == "index" and frames:
            index = frames[-1][1]
            self.reads["index"] = index_digest(index)
            return index
        ref = find(self.task.scope, name)
        if ref is None:
            self.reads[name] = None
            raise KeyError(name)
        self.reads[name] = ref.digest
        self.refs[name] = ref
        return self._artifacts().load(ref, name=name)

    def digest(self, name: str) -> bytes | None:
        """See `dovetail.authoring.contract.Binding`."""
        ref = find(self.task.scope, name)
        found = self.reads[name] = None if ref is None else ref.digest
        return found

    def has(self, name: str) -> bool:
        """See `dovetail.authoring.contract.Binding`."""
        return find(self.task.scope, name) is not None

    def names(self) -> list[str]:
        """See `dovetail.authoring.contract.Binding`."""
        return names_in(self.task.scope)

    @property
    def frames(self) -> Sequence[tuple[int, int, Callable[[], Any]]]:
        """See `dovetail.authoring.contract.Binding`. Counts as a read of all sequences and indexes."""
        frames = self.task.frames
        self.reads[STACK_READ] = stack_digest((sequence.ref.digest, index) for sequence, index in frames)
        return _Frames(frames, self._items)

    def inputs(self) -> JoinedBindings | None:
        """Of a join: what its inputs read."""
        joined = self.task.joined
        return None if joined is None else JoinedBindings(joined, self, self._artifacts, self._items)

    def all_reads(self) -> dict[str, Any]:
        """Reads as a commit record keeps them."""
        if self.task.joined is None:
            return self.reads
        return {**self.reads, "": self.joined_reads}


class JoinedBindings(Sequence["JoinedBinding"]):
    """The inputs of a join, made as they are looked at."""

    def __init__(
        self, joined: list[Joined], task: TaskBinding, artifacts: Callable[[], ArtifactStore], items: _Items
    ) -> None:
        self._joined = joined
        self._task = task
        self._artifacts = artifacts
        self._items = items

    def __len__(self) -> int:
        return len(self._joined)

    @overload
    def __getitem__(self, at: int) -> JoinedBinding: ...
    @overload
    def __getitem__(self, at: slice) -> list[JoinedBinding]: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        position = at if at >= 0 else at + len(self._joined)
        return JoinedBinding(self._joined[at], position, self)

    def __iter__(self) -> Iterator[JoinedBinding]:
        return (JoinedBinding(one, position, self) for position, one in enumerate(self._joined))

    def note(self, name: str, position: int, digest: bytes | None) -> None:
        """Record a read of one input."""
        reads = self._task.joined_reads
        row = reads.get(name)
        if row is None:
            row = reads[name] = [b""] * len(self._joined)
        row[position] = digest

    def load_ref(self, ref: ArtifactRef, name: str) -> Any:
        """A value."""
        return self._artifacts().load(ref, name=name)

    def item(self, sequence: Sequenced, index: int) -> Any:
        """An item of a foreach."""
        return self._items.load(sequence, index)

    def item_digest(self, sequence: Sequenced, index: int) -> bytes:
        """Identity of an item of a foreach."""
        return self._items.digest(sequence, index)

    def frames_of(self, frames: Frames) -> _Frames:
        """Foreach levels as authoring asks for them."""
        return _Frames(frames, self._items)


class JoinedBinding:
    """What one predecessor of a join left."""

    __slots__ = ("_all", "_joined", "_position")

    def __init__(self, joined: Joined, position: int, everything: JoinedBindings) -> None:
        self._joined = joined
        self._position = position
        self._all = everything

    @property
    def step(self) -> str:
        """Name of the predecessor's step; counts as a read."""
        step = step_of(self._joined.path)
        self._all.note(STEP_READ, self._position, step_digest(step))
        return step

    @property
    def error(self) -> ErrorReport | None:
        """Why it failed, or None; counts as a read."""
        plain = self._joined.error
        if plain is None:
            self._all.note(ERROR_READ, self._position, None)
            return None
        self._all.note(ERROR_READ, self._position, error_digest(plain))
        return ErrorReport.from_plain(plain)

    def load(self, name: str) -> Any:
        """See `dovetail.authoring.contract.Binding`."""
        frames = self._joined.frames
        if name == "input" and frames:
            self._all.note("input", self._position, self._all.item_digest(*frames[-1]))
            return self._all.item(*frames[-1])
        if name == "index" and frames:
            index = frames[-1][1]
            self._all.note("index", self._position, index_digest(index))
            return index
        ref = self.ref(name)
        if ref is None:
            raise KeyError(name)
        return self._all.load_ref(ref, f"{name} of {self._joined.path}")

    def ref(self, name: str) -> ArtifactRef | None:
        """What `name` is there; counts as a read."""
        ref = find(self._joined.scope, name)
        self._all.note(name, self._position, None if ref is None else ref.digest)
        return ref

    def digest(self, name: str) -> bytes | None:
        """See `dovetail.authoring.contract.Binding`."""
        ref = self.ref(name)
        return None if ref is None else ref.digest

    def has(self, name: str) -> bool:
        """See `dovetail.authoring.contract.Binding`."""
        return self.ref(name) is not None

    def names(self) -> list[str]:
        """See `dovetail.authoring.contract.Binding`; counts as a read of which names there are."""
        names = names_in(self._joined.scope)
        self._all.note(NAMES_READ, self._position, names_digest(names))
        return names

    @property
    def frames(self) -> Sequence[tuple[int, int, Callable[[], Any]]]:
        """See `dovetail.authoring.contract.Binding`. Counts as a read of all sequences and indexes."""
        frames = self._joined.frames
        digest = stack_digest((sequence.ref.digest, index) for sequence, index in frames)
        self._all.note(STACK_READ, self._position, digest)
        return self._all.frames_of(frames)
