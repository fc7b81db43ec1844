"""Reads sequences: one item at a time, by byte range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from blake3 import blake3

from dovetail.artifacts.checks import corrupt, describe, gone, matches
from dovetail.artifacts.identity import LEAF_SIZE, frame_leaves
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.msgpacked import unpack_checked
from dovetail.artifacts.objectfile import (
    PRELUDE_SIZE,
    FrameAt,
    check_header,
    decode_header,
    decode_prelude,
)
from dovetail.artifacts.packing import unpack_value
from dovetail.artifacts.sequence_format import ENTRY, ENTRY_SIZE, IS_OBJECT, ITEMS_PER_LEAF, SEQUENCE_ID
from dovetail.artifacts.whole_object import open_object
from dovetail.interfaces.artifacts import (
    ArtifactRef,
    InlinePlace,
    ObjectPlace,
    PackPlace,
    RecordPlace,
)
from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.interfaces.datastore import DataStore

__all__ = ["SequenceReader"]

_AHEAD = 16
"""Pieces of the index, 1 MiB in all."""


class _Frames:
    """The two frames of a sequence, read by range."""

    def __init__(self, artifacts: ArtifactStore, ref: ArtifactRef, name: str) -> None:
        place = ref.place
        self._view: memoryview | None = None
        self._store: DataStore | None = None
        self._key = ""
        if not isinstance(place, ObjectPlace):
            self.header, frames = unpack_value(ref.serializer, artifacts.fetch_packed(ref, name=name))
            self._memory: list[memoryview] | None = [memoryview(frame) for frame in frames]
            self.frames = [FrameAt(len(frame), 0, b"".join(frame_leaves(frame)[1])) for frame in frames]
            return
        self._memory = None
        self._store = store = artifacts.store(place.store)
        self._key = key = object_key(ref.digest)
        what = f"{describe(ref, name)}: {key} in {store.url}"
        try:
            if store.capabilities & DataStoreCapability.LOCAL_PATH:
                self._view = open_object(store, key)
                size = self._view.nbytes
            else:
                size = store.head(key).size
            offset, length, crc = decode_prelude(self._raw(0, PRELUDE_SIZE), what)
            header = decode_header(self._raw(offset, length), crc, what)
        except NotFoundError as error:
            raise gone(ref, name, f"{key} is not in {store.url}") from error
        check_header(header, ref.digest, size, what)
        if header.serializer != SEQUENCE_ID or len(header.frames) != 2:
            raise corrupt(ref, name, f"{key} in {store.url} is no sequence")
        self.header, self.frames = header.header, list(header.frames)

    def _raw(self, offset: int, length: int) -> bytes | memoryview:
        if self._view is not None:
            return self._view[offset : offset + length]
        assert self._store is not None
        return self._store.get(self._key, byte_range=(offset, offset + length)).read()

    def offset(self, number: int) -> int:
        """Offset of a frame in the object file."""
        return self.frames[number].offset

    def read(self, number: int, offset: int, length: int) -> bytes | memoryview:
        """A range of a frame, not verified."""
        if self._memory is not None:
            return self._memory[number][offset : offset + length]
        return self._raw(self.frames[number].offset + offset, length)


class SequenceReader(Sequence[Any]):
    """The items of a sequence. An item is read, verified and decoded when it is asked for, and not kept.

    The index is read by pieces of 64 KiB (1,024 items), each once. Thread-safe.

    Args:
        artifacts: Where it is.
        ref: The sequence.
        name: What errors call it.

    Raises:
        ArtifactGoneError: Its bytes are no longer in the store.
        CorruptDataError: It does not match its digest.
    """

    def __init__(self, artifacts: ArtifactStore, ref: ArtifactRef, *, name: str = "") -> None:
        self._artifacts = artifacts
        self._ref = ref
        self._name = name
        self._frames = _Frames(artifacts, ref, name)
        found = unpack_checked(self._frames.header, "the header of a sequence")
        self._length: int = found[0]
        self._serializers: list[str] = found[1]
        frames = self._frames.frames
        if len(frames) != 2 or frames[0].length != self._length * ENTRY_SIZE or any(at.offset < 0 for at in frames):
            raise CorruptDataError("a sequence has an index of the wrong size")
        self._leaves: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        offset, _, length, _, flags, _ = self._entry(index)
        ref = self.item_ref(index)
        name = f"{self._name or 'foreach'}[{index}]"
        if flags & IS_OBJECT:
            return self._artifacts.load(ref, name=name)
        packed = bytes(self._frames.read(1, offset, length))  # of a mapped file: nobody can change a copy
        if not matches(ref, packed):
            raise corrupt(ref, name, "its bytes do not match its digest")
        header, frames = unpack_value(ref.serializer, packed)
        owned = [memoryview(bytearray(frame)) for frame in frames]
        serializer = self._artifacts.reader_of(ref, name)
        return self._artifacts.decode(ref, serializer, lambda: serializer.load(header, owned), name)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._length))

    def item_ref(self, index: int) -> ArtifactRef:
        """The reference of an item; that of a small one that is at hand anyway holds it.

        Raises:
            IndexError: There is no such item.
        """
        offset, size, length, number, flags, digest = self._entry(index)
        place: InlinePlace | ObjectPlace | PackPlace
        outer = self._ref.place
        if flags & IS_OBJECT:
            assert isinstance(outer, (ObjectPlace, RecordPlace, PackPlace))
            place = ObjectPlace(store=outer.store)
        elif isinstance(outer, ObjectPlace):
            at = self._frames.offset(1) + offset
            place = PackPlace(store=outer.store, pack=self._ref.digest, offset=at, length=length)
        else:
            place = InlinePlace(data=bytes(self._frames.read(1, offset, length)))
        return ArtifactRef(digest=digest, size=size, serializer=self._serializers[number], place=place)

    def digest(self, index: int) -> bytes:
        """Identity of an item."""
        return self._entry(index)[5]

    def digests(self) -> list[bytes]:
        """Identity of every item, in order. Reads the whole index."""
        found: list[bytes] = []
        for number in range(-(-self._length // ITEMS_PER_LEAF)):
            found += [entry[5] for entry in ENTRY.iter_unpack(self._leaf(number))]
        return found

    def objects(self) -> Iterator[tuple[int, bytes]]:
        """(index, digest) of the items that are objects of their own. Reads the whole index and keeps nothing of it."""
        for number in range(-(-self._length // ITEMS_PER_LEAF)):
            for at, entry in enumerate(ENTRY.iter_unpack(self._read_leaf(number)), number * ITEMS_PER_LEAF):
                if entry[4] & IS_OBJECT:
                    yield at, entry[5]

    def read_ahead(self) -> None:
        """Read the beginning of the index, which those that are forked from this process then need not read."""
        for number in range(min(_AHEAD, -(-self._length // ITEMS_PER_LEAF))):
            self._leaf(number)

    def _entry(self, index: int) -> tuple[int, int, int, int, int, bytes]:
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(f"item {index} of a sequence of {self._length}")
        number, inside = divmod(at, ITEMS_PER_LEAF)
        entry: tuple[int, int, int, int, int, bytes] = ENTRY.unpack_from(self._leaf(number), inside * ENTRY_SIZE)
        return entry

    def _leaf(self, number: int) -> bytes:
        leaf = self._leaves.get(number)
        if leaf is None:
            leaf = self._leaves[number] = self._read_leaf(number)
        return leaf

    def _read_leaf(self, number: int) -> bytes:
        frame = self._frames.frames[0]
        begin = number * LEAF_SIZE
        leaf = bytes(self._frames.read(0, begin, min(LEAF_SIZE, frame.length - begin)))
        expected = frame.leaves[number * 32 : number * 32 + 32]
        if blake3(leaf).digest() != expected:
            raise corrupt(self._ref, self._name, f"piece {number} of its index does not match its digest")
        return leaf
