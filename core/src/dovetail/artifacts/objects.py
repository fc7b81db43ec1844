"""Reads objects of a data store: their frames as private memory, mapped where the store has local files."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, cast

from blake3 import blake3

from dovetail.artifacts.identity import LEAF_SIZE
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.objectfile import (
    PRELUDE_SIZE,
    Codec,
    Extent,
    FrameAt,
    Header,
    check_header,
    decode_header,
    decode_prelude,
)
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStoreCapability, SupportsLocalPath
from dovetail.interfaces.errors import CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["MAP_FROM", "SAVE_WHOLE_UP_TO", "Saved", "StoredObject"]

SAVE_WHOLE_UP_TO: Final = 1 << 20
"""Values of at most so many bytes are neither compared nor compressed nor split."""
MAP_FROM: Final = 1 << 20
"""Frames of at least this many bytes are memory-mapped where the store has local files."""
_HEAD: Final = 1 << 16
"""Bytes that are read first: prelude and header of most objects, and all of a small one."""
_RANGE: Final = 8 << 20
"""Bytes that are asked for at once."""
_SAMPLES: Final = 8
"""Leaves of a mapped frame that are looked at, where not all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A value that is an object now."""

    digest: bytes
    """Its identity."""
    size: int
    """Bytes of its frames."""
    keys: tuple[str, ...]
    """What was written or reused for it."""
    header: Header | None
    """Of the object, where it was written here."""


class StoredObject:
    """An object, its header checked.

    Args:
        store: Where it is.
        digest: Its name.
        what: What errors call it.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: It is damaged, or another's.
        StoreVersionError: A newer Dovetail wrote it.
    """

    def __init__(self, store: DataStore, digest: bytes, what: str) -> None:
        self._store = store
        self._digest = digest
        self._what = what
        self._is_local = bool(store.capabilities & DataStoreCapability.LOCAL_PATH)
        self._key = object_key(digest)
        with store.get(self._key, byte_range=(0, _HEAD)) as found:
            self.size = found.info.size
            """Bytes of the file."""
            self._head = found.stream.read(min(_HEAD, found.length))
        offset, length, crc = decode_prelude(self._head[:PRELUDE_SIZE], what)
        self.header = decode_header(self._raw(self._key, offset, length), crc, what)
        """What it says of itself."""
        check_header(self.header, digest, self.size, what)

    def frame(self, number: int, *, verify: str = "always", own: bool = False) -> memoryview:
        """A frame, private and writable.

        Args:
            number: Which one.
            verify: How much of a mapped one is hashed: `always` all, `sample` a few pieces, `never` nothing. One that
                is read is always hashed.
            own: Read it into memory that no file stands behind: nobody can change it once it is hashed.

        Raises:
            NotFoundError: An object that holds a part of it is gone.
            CorruptDataError: It does not match its digests.
        """
        at = self.header.frames[number]
        mapped = self._map(at) if self._is_local and at.length >= MAP_FROM and not own else None
        view = self._read(at) if mapped is None else mapped
        self._check(number, view, "always" if mapped is None else verify)
        return view

    def part(self, number: int, begin: int, end: int) -> memoryview:
        """A range of a frame, hashed with the leaves around it; only these are read.

        Raises:
            NotFoundError: An object that holds a part of it is gone.
            CorruptDataError: It does not match its digests.
        """
        at = self.header.frames[number]
        first = begin // LEAF_SIZE * LEAF_SIZE
        behind = min(-(-end // LEAF_SIZE) * LEAF_SIZE, at.length)
        view = memoryview(bytearray(max(0, behind - first)))
        position = 0
        for extent in at.all_extents:
            low, high = max(first, position), min(behind, position + extent.raw)
            if low < high:
                target = view[low - first : high - first]
                if extent.codec == Codec.RAW:
                    self._fill(Extent(extent.owner, extent.offset + low - position, high - low, high - low), target)
                else:
                    whole = memoryview(bytearray(extent.raw))
                    self._fill(extent, whole)
                    target[:] = whole[low - position : high - position]
            position += extent.raw
        for start in range(first, behind, LEAF_SIZE):
            self._check_leaf(number, view[start - first : start - first + LEAF_SIZE], start)
        return view[begin - first : end - first]

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _raw(self, key: str, offset: int, length: int) -> bytes:
        if key == self._key and offset + length <= len(self._head):
            return self._head[offset : offset + length]
        return self._store.get(key, byte_range=(offset, offset + length)).read()

    def _map(self, at: FrameAt) -> memoryview | None:
        """A frame as mapped memory; None where it can't be."""
        from dovetail.artifacts.mapping import Piece, can_map, map_pieces

        if any(extent.codec != Codec.RAW for extent in at.all_extents):
            return None
        pieces: list[Piece] = []
        files: dict[bytes, tuple[int, int]] = {}
        with ExitStack() as stack:
            for extent in at.all_extents:
                if extent.owner not in files:
                    files[extent.owner] = self._open(extent.owner, stack)
                descriptor, size = files[extent.owner]
                if extent.offset + extent.stored > size:  # touching it would kill the process
                    raise CorruptDataError(f"{self._what} is cut short: {self._file_of(extent.owner)} has {size} bytes")
                pieces.append(Piece(descriptor, extent.offset, extent.stored))
            if not can_map(pieces):
                return None
            try:
                return map_pieces(pieces)
            except OSError:  # too many mappings, or no address space
                return None

    def _open(self, owner: bytes, stack: ExitStack) -> tuple[int, int]:
        """(descriptor, size) of the file of an object."""
        path = cast(SupportsLocalPath, self._store).local_path(self._file_of(owner))
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError as error:
            raise NotFoundError(f"{self._file_of(owner)} is not in {self._store.url}") from error
        stack.callback(os.close, descriptor)
        return descriptor, os.fstat(descriptor).st_size

    def _file_of(self, owner: bytes) -> str:
        return object_key(owner) if owner else self._key

    def _read(self, at: FrameAt) -> memoryview:
        view = memoryview(bytearray(at.length))
        pieces: list[tuple[Extent, memoryview]] = []
        position = 0
        for extent in at.all_extents:
            step = _RANGE if extent.codec == Codec.RAW else extent.raw
            for begin in range(0, extent.raw, step):
                length = min(step, extent.raw - begin)
                stored = length if extent.codec == Codec.RAW else extent.stored
                piece = Extent(extent.owner, extent.offset + begin, stored, length, extent.codec)
                pieces.append((piece, view[position + begin : position + begin + length]))
            position += extent.raw
        from dovetail.artifacts.parallel import for_each

        for_each(pieces, lambda piece: self._fill(*piece))
        return view

    def _fill(self, extent: Extent, target: memoryview) -> None:
        """Read what an extent stands for."""
        key = self._file_of(extent.owner)
        if extent.codec == Codec.RAW:
            if key == self._key and extent.offset + extent.stored <= len(self._head):
                target[:] = self._head[extent.offset : extent.offset + extent.stored]
                return
            found = self._store.get(key, byte_range=(extent.offset, extent.offset + extent.stored))
            if found.length != len(target) or found.readinto(target) != len(target):
                raise CorruptDataError(f"{self._what} is cut short: {key} ends within it")
            return
        from dovetail.artifacts.compression import decompress

        try:
            target[:] = decompress(self._raw(key, extent.offset, extent.stored), extent.raw)
        except ValueError as error:
            raise CorruptDataError(
                f"{self._what} is corrupt: bytes {extent.offset} to {extent.offset + extent.stored} of {key} can't be "
                f"decompressed: {error}"
            ) from error

    # -- checks ---------------------------------------------------------------------------------------------------

    def _check(self, number: int, view: memoryview, verify: str) -> None:
        begins = range(0, view.nbytes, LEAF_SIZE)
        if verify == "never" or not begins:
            return
        if verify == "sample" and len(begins) > _SAMPLES:
            chosen = {begins[int.from_bytes(os.urandom(4), "little") % len(begins)] for _ in range(_SAMPLES)}
            for begin in (*chosen, begins[-1]):
                self._check_leaf(number, view[begin : begin + LEAF_SIZE], begin)
            return

        from dovetail.artifacts.parallel import for_each

        def check(batch: range) -> None:
            for begin in batch:
                self._check_leaf(number, view[begin : begin + LEAF_SIZE], begin)

        for_each([begins[at : at + 64] for at in range(0, len(begins), 64)], check)

    def _check_leaf(self, number: int, piece: memoryview, begin: int) -> None:
        index = begin // LEAF_SIZE
        expected = self.header.frames[number].leaves[index * 32 : index * 32 + 32]
        if blake3(piece).digest() != expected:
            raise CorruptDataError(
                f"{self._what} is corrupt: bytes {begin} to {begin + len(piece)} of frame {number} do not match their "
                "digest"
            )
