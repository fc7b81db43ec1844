"""Writes sequences: items as they are drawn, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from dovetail.artifacts.identity import LEAF_SIZE, Leaves, digest_of, frame_leaves, simple_digest, value_digest
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.msgpacked import pack
from dovetail.artifacts.objectfile import (
    PAGE,
    FrameAt,
    Header,
)
from dovetail.artifacts.packing import JSON_ID, pack_value
from dovetail.artifacts.sequence_format import ENTRY, IS_OBJECT, SEQUENCE_ID
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.artifacts.unnamed import UnnamedObject, temporary_file, write_file
from dovetail.interfaces.artifacts import (
    RECORD_LIMIT,
)
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import AlreadyExistsError, UnpicklableError

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore

__all__ = ["STREAM_FROM", "WrittenSequence", "write_sequence"]

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
        self._spill: UnnamedObject | None = None

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
        saved = self._artifacts.save_value(serialized)
        self._objects.update(dict.fromkeys(saved.keys))
        self._add_entry(ENTRY.pack(0, size, 0, self._number(serialized.serializer), IS_OBJECT, saved.digest))

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
        self._add_entry(ENTRY.pack(self._offset, size, len(packed), number, 0, digest))
        self._offset += len(packed)
        self._data += packed

    def _add_entry(self, entry: bytes) -> None:
        self._count += 1
        self._index += entry
        if len(self._data) + len(self._index) >= STREAM_FROM:
            self._flush()

    def _flush(self) -> None:
        if self._spill is None:
            self._spill = UnnamedObject(self._artifacts.store(self._artifacts.default), self._stack)
            self._index_file = temporary_file(self._stack)
        assert self._index_file is not None
        self._data_hasher.update(self._data)
        self._index_hasher.update(self._index)
        if self._data:
            self._spill.write(bytes(self._data))
        write_file(self._index_file, self._index)
        self._data.clear()
        self._index.clear()

    def _finish_spill(self, header: bytes) -> WrittenSequence:
        self._flush()
        spill, index_file = self._spill, self._index_file
        assert spill is not None
        assert index_file is not None
        leaves = [self._index_hasher.leaves(), self._data_hasher.leaves()]
        digest = value_digest(SEQUENCE_ID, header, leaves)
        index_at = position = spill.allocate(leaves[0][0], aligned=True)
        index_file.seek(0)
        while piece := index_file.read(STREAM_FROM):
            spill.write_at(position, piece)
            position += len(piece)
        frames = tuple(
            FrameAt(length, at, b"".join(digests))
            for (length, digests), at in zip(leaves, (index_at, PAGE), strict=True)
        )
        key = object_key(digest)
        if not self._artifacts.reuse(digest):
            try:
                spill.commit(key, Header(SEQUENCE_ID, header, frames))
            except AlreadyExistsError:
                self._artifacts.reuse(digest)
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
