"""Sequences: the items of a foreach, written once as they are drawn, read one at a time.

A sequence is a value with the serializer id `sequence`. Its header is `msgpack([number of items, [serializer, ...]])`.
Frame 0 is the index, 64 bytes an item; frame 1 holds the packed values of the items one after the other. An item whose
packed value is larger than `RECORD_LIMIT` is an object of its own in the store of the sequence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast, overload

from blake3 import blake3

from dovetail.artifacts.identity import LEAF_SIZE, Leaves, digest_of, frame_leaves, simple_digest, value_digest
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.msgpacked import pack, unpack_checked
from dovetail.artifacts.objectfile import (
    PAGE,
    PRELUDE_SIZE,
    FrameAt,
    Header,
    align,
    check_header,
    decode_header,
    decode_prelude,
    encode_header,
    encode_prelude,
)
from dovetail.artifacts.packing import JSON_ID, pack_value, unpack_value
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.artifacts.serializers.registry import SEQUENCE_ID
from dovetail.interfaces.artifacts import (
    RECORD_LIMIT,
    ArtifactRef,
    InlinePlace,
    ObjectPlace,
    PackPlace,
    RecordPlace,
)
from dovetail.interfaces.datastore import DataStoreCapability, SupportsStage
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError, UnpicklableError

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.interfaces.datastore import Buffer, DataStore, Staged

__all__ = ["ENTRY_SIZE", "SequenceReader", "WrittenSequence", "write_sequence"]

# offset in frame 1, size, packed length, number of the serializer, flags, digest
_ENTRY = struct.Struct("<QQIHH32s8x")
ENTRY_SIZE: Final = _ENTRY.size
_PER_LEAF: Final = LEAF_SIZE // ENTRY_SIZE
_IS_OBJECT: Final = 1

STREAM_FROM = 1 << 20
"""Bytes of packed items that are held in memory before the sequence goes to the store piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSequence:
    """A sequence that was written."""

    digest: bytes
    """Its identity."""
    size: int
    """Bytes of its frames."""
    length: int
    """Number of items."""
    packed: bytes | None
    """Its packed value where that is at most `RECORD_LIMIT` bytes; None: it is an object."""
    objects: tuple[str, ...]
    """Keys of objects that were written or reused: large items, and the sequence itself."""
    serializer: str = SEQUENCE_ID
    """Its serializer id."""


class _LeafHasher:
    """Leaf digests of a frame that is written piece by piece."""

    def __init__(self) -> None:
        self.length = 0
        self._digests: list[bytes] = []
        self._rest = bytearray()

    def update(self, data: bytes | bytearray) -> None:
        self.length += len(data)
        self._rest += data
        if len(self._rest) >= LEAF_SIZE:
            whole = len(self._rest) // LEAF_SIZE * LEAF_SIZE
            with memoryview(self._rest) as view:
                self._digests += frame_leaves(view[:whole])[1]
            del self._rest[:whole]

    def leaves(self) -> Leaves:
        return self.length, self._digests + list(frame_leaves(bytes(self._rest))[1])


def _temporary_file(stack: ExitStack) -> IO[bytes]:
    """A file that can be opened a second time by its name, on every system, and goes with the stack."""
    from tempfile import TemporaryDirectory

    folder = stack.enter_context(TemporaryDirectory(prefix="dovetail-"))
    return stack.enter_context(Path(folder, "frame").open("w+b"))


class _Spill:
    """An object file with the items in it, growing behind the prelude: staged in the store, or a temporary file."""

    def __init__(self, store: DataStore, stack: ExitStack) -> None:
        self._store = store
        self._staged: Staged | None = None
        self._file: IO[bytes] | None = None
        self._at = 0
        if store.capabilities & DataStoreCapability.STAGE:
            self._staged = stack.enter_context(cast(SupportsStage, store).stage())
        else:
            self._file = _temporary_file(stack)
        self.write(bytes(PAGE))

    def write(self, data: Buffer) -> int:
        """Add at the end; the offset of the first byte."""
        at = self._at
        if self._staged is not None:
            self._staged.write(data)
        else:
            assert self._file is not None
            self._file.write(data)
        self._at += len(data)
        return at

    def pad(self, length: int) -> int:
        """Fill up to where a frame of this length may begin."""
        to = align(self._at, length)
        if to > self._at:
            self.write(bytes(to - self._at))
        return to

    def commit(self, key: str, prelude: bytes) -> None:
        """Write the prelude and give the object its name."""
        if self._staged is not None:
            self._staged.write_at(0, prelude)
            self._staged.commit(key)
            return
        assert self._file is not None
        self._file.seek(0)
        self._file.write(prelude)
        self._file.flush()
        self._store.put(key, Path(self._file.name))


class _Writer:
    def __init__(self, artifacts: ArtifactStore, stack: ExitStack) -> None:
        self._artifacts = artifacts
        self._stack = stack
        self._serializers: dict[str, int] = {}
        self._objects: dict[str, None] = {}
        self._count = 0
        self._offset = 0
        self._data = bytearray()
        self._index: bytearray = bytearray()
        self._index_file: IO[bytes] | None = None
        self._data_hasher = _LeafHasher()
        self._index_hasher = _LeafHasher()
        self._spill: _Spill | None = None

    def add(self, item: object) -> None:
        frame = json_frame(item)
        if frame is not None and len(frame) <= RECORD_LIMIT:
            self._add_packed(simple_digest(JSON_ID, frame), len(frame), JSON_ID, frame)
            return
        try:
            serialized = self._artifacts.serializers.serialize(item)
        except UnpicklableError as error:
            raise UnpicklableError(
                f"item {self._count} of the foreach: {error.message}", hint=error.hint
            ) from error.__cause__
        views = [memoryview(frame).cast("B") for frame in serialized.frames]
        size = sum(view.nbytes for view in views)
        if size <= RECORD_LIMIT:
            packed = pack_value(serialized.serializer, serialized.header, views)
            if len(packed) <= RECORD_LIMIT:
                self._add_packed(digest_of(serialized), size, serialized.serializer, packed)
                return
        leaves = [frame_leaves(view) for view in views]
        digest = value_digest(serialized.serializer, serialized.header, leaves)
        key = self._artifacts.save_frames(serialized.serializer, serialized.header, views, leaves, digest)
        self._objects[key] = None
        self._add_entry(_ENTRY.pack(0, size, 0, self._number(serialized.serializer), _IS_OBJECT, digest))

    def finish(self) -> WrittenSequence:
        header = pack([self._count, list(self._serializers)])
        if self._spill is not None:
            return self._finish_spill(header)
        frames = [bytes(self._index), bytes(self._data)]
        leaves = [frame_leaves(frame) for frame in frames]
        digest = value_digest(SEQUENCE_ID, header, leaves)
        packed = pack_value(SEQUENCE_ID, header, frames)
        if len(packed) > RECORD_LIMIT:
            key = self._artifacts.save_frames(SEQUENCE_ID, header, frames, leaves, digest)
            self._objects[key] = None
        return WrittenSequence(
            digest=digest,
            size=sum(map(len, frames)),
            length=self._count,
            packed=packed if len(packed) <= RECORD_LIMIT else None,
            objects=tuple(self._objects),
        )

    def _number(self, serializer: str) -> int:
        return self._serializers.setdefault(serializer, len(self._serializers))

    def _add_packed(self, digest: bytes, size: int, serializer: str, packed: bytes) -> None:
        number = self._number(serializer)
        self._add_entry(_ENTRY.pack(self._offset, size, len(packed), number, 0, digest))
        self._offset += len(packed)
        self._data += packed

    def _add_entry(self, entry: bytes) -> None:
        self._count += 1
        self._index += entry
        if len(self._data) + len(self._index) >= STREAM_FROM:
            self._flush()

    def _flush(self) -> None:
        if self._spill is None:
            self._spill = _Spill(self._artifacts.store(self._artifacts.default), self._stack)
            self._index_file = _temporary_file(self._stack)
        assert self._index_file is not None
        self._data_hasher.update(self._data)
        self._index_hasher.update(self._index)
        if self._data:
            self._spill.write(bytes(self._data))
        self._index_file.write(self._index)
        self._data.clear()
        self._index.clear()

    def _finish_spill(self, header: bytes) -> WrittenSequence:
        self._flush()
        spill, index_file = self._spill, self._index_file
        assert spill is not None
        assert index_file is not None
        leaves = [self._index_hasher.leaves(), self._data_hasher.leaves()]
        digest = value_digest(SEQUENCE_ID, header, leaves)
        index_at = spill.pad(PAGE)
        index_file.seek(0)
        while piece := index_file.read(STREAM_FROM):
            spill.write(piece)
        frames = tuple(
            FrameAt(length, at, b"".join(digests))
            for (length, digests), at in zip(leaves, (index_at, PAGE), strict=True)
        )
        encoded = encode_header(Header(SEQUENCE_ID, header, frames))
        header_at = spill.write(encoded)
        key = object_key(digest)
        size = header_at + len(encoded)
        if not self._artifacts.reuse(key, size):
            try:
                spill.commit(key, encode_prelude(header_at, encoded))
            except AlreadyExistsError:
                self._artifacts.reuse(key, size)
        self._objects[key] = None
        return WrittenSequence(
            digest=digest,
            size=sum(length for length, _ in leaves),
            length=self._count,
            packed=None,
            objects=tuple(self._objects),
        )


def write_sequence(artifacts: ArtifactStore, items: Iterable[Any]) -> WrittenSequence:
    """Write the items as they are drawn. Memory stays within `STREAM_FROM` and the largest item.

    Raises:
        UnpicklableError: An item can't be stored; says which.
        StoreFullError: No room.
        StoreReadOnlyError: The store can't be written.
    """
    with ExitStack() as stack:
        writer = _Writer(artifacts, stack)
        for item in items:
            writer.add(item)
        return writer.finish()


class _Frames:
    """The two frames of a sequence, read by range."""

    def __init__(self, artifacts: ArtifactStore, ref: ArtifactRef, name: str) -> None:
        from dovetail.artifacts.store import corrupt, describe, gone, open_object

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
        if len(self._frames.frames) != 2 or self._frames.frames[0].length != self._length * ENTRY_SIZE:
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
        ref = self.item_ref(index)
        return self._artifacts.load(ref, name=f"{self._name or 'foreach'}[{index}]")

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
        if flags & _IS_OBJECT:
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
        for number in range(-(-self._length // _PER_LEAF)):
            found += [entry[5] for entry in _ENTRY.iter_unpack(self._leaf(number))]
        return found

    def _entry(self, index: int) -> tuple[int, int, int, int, int, bytes]:
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(f"item {index} of a sequence of {self._length}")
        number, inside = divmod(at, _PER_LEAF)
        entry: tuple[int, int, int, int, int, bytes] = _ENTRY.unpack_from(self._leaf(number), inside * ENTRY_SIZE)
        return entry

    def _leaf(self, number: int) -> bytes:
        leaf = self._leaves.get(number)
        if leaf is None:
            frame = self._frames.frames[0]
            begin = number * LEAF_SIZE
            leaf = bytes(self._frames.read(0, begin, min(LEAF_SIZE, frame.length - begin)))
            expected = frame.leaves[number * 32 : number * 32 + 32]
            if blake3(leaf).digest() != expected:
                from dovetail.artifacts.store import corrupt

                raise corrupt(self._ref, self._name, f"piece {number} of its index does not match its digest")
            self._leaves[number] = leaf
        return leaf
