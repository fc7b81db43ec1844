"""Reads objects of a data store: their frames as private memory, mapped where the store has local files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple, cast

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

__all__ = ["MAP_FROM", "SAVE_WHOLE_UP_TO", "WRITE_TRIES", "Saved", "StoredObject"]

SAVE_WHOLE_UP_TO: Final = 1 << 20
"""Values of at most so many bytes are neither compared nor compressed nor split."""
WRITE_TRIES: Final = 100
"""Rounds against collectors that are about to delete what is in a writer's way; one is enough but for chance."""
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


class _Part(NamedTuple):
    """A part of what an extent stands for."""

    extent: Extent
    """The extent."""
    begin: int
    """First byte, in the extent's content."""
    end: int
    """Behind the last one."""


def _pieces_of(at: FrameAt, first: int, behind: int) -> list[_Part]:
    """The parts of a frame's extents that make up a range of it."""
    found: list[_Part] = []
    position = 0
    for extent in at.all_extents:
        low, high = max(first, position), min(behind, position + extent.raw)
        if low < high:
            found.append(_Part(extent, low - position, high - position))
        position += extent.raw
    return found


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
        return self._view(number, 0, self.header.frames[number].length, verify, may_map=not own)

    def part(self, number: int, begin: int, end: int, *, verify: str = "always") -> memoryview:
        """A range of a frame, private and writable; only the leaves around it are read.

        Args:
            number: Which frame.
            begin: First byte.
            end: Behind the last one.
            verify: As of `frame`. With `always` it is read, not mapped: a disk that fails raises an error.

        Raises:
            NotFoundError: An object that holds a part of it is gone.
            CorruptDataError: It does not match its digests.
        """
        first = begin // LEAF_SIZE * LEAF_SIZE
        behind = min(-(-end // LEAF_SIZE) * LEAF_SIZE, self.header.frames[number].length)
        if begin >= min(end, behind):
            return memoryview(bytearray())
        view = self._view(number, first, behind, verify, may_map=verify != "always")
        return view[begin - first : end - first]

    def _view(self, number: int, first: int, behind: int, verify: str, *, may_map: bool = True) -> memoryview:
        """Leaves of a frame as memory, checked."""
        pieces = _pieces_of(self.header.frames[number], first, behind)
        is_large = may_map and self._is_local and behind - first >= MAP_FROM
        mapped = self._map(pieces) if is_large else None
        view = self._read(pieces, behind - first) if mapped is None else mapped
        self._check(number, view, first, "always" if mapped is None else verify)
        return view

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _raw(self, key: str, offset: int, length: int) -> bytes:
        if key == self._key and offset + length <= len(self._head):
            return self._head[offset : offset + length]
        return self._store.get(key, byte_range=(offset, offset + length)).read()

    def _map(self, wanted: Sequence[_Part]) -> memoryview | None:
        """Parts of extents as mapped memory; None where they can't be."""
        from dovetail.artifacts.mapping import Piece, can_map, map_pieces

        if any(part.extent.codec != Codec.RAW for part in wanted):
            return None
        pieces: list[Piece] = []
        files: dict[bytes, tuple[int, int]] = {}
        with ExitStack() as stack:
            for extent, begin, end in wanted:
                if extent.owner not in files:
                    files[extent.owner] = self._open(extent.owner, stack)
                descriptor, size = files[extent.owner]
                if extent.offset + extent.stored > size:  # touching it would kill the process
                    raise CorruptDataError(f"{self._what} is cut short: {self._file_of(extent.owner)} has {size} bytes")
                pieces.append(Piece(descriptor, extent.offset + begin, end - begin))
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

    def _read(self, wanted: Sequence[_Part], length: int) -> memoryview:
        """Parts of extents, one behind the other."""
        view = memoryview(bytearray(length))
        pieces: list[tuple[_Part, memoryview]] = []
        position = 0
        for extent, first, behind in wanted:
            step = _RANGE if extent.codec == Codec.RAW else behind - first
            for begin in range(first, behind, step):
                end = min(begin + step, behind)
                pieces.append((_Part(extent, begin, end), view[position : position + end - begin]))
                position += end - begin
        from dovetail.artifacts.parallel import for_each

        for_each(pieces, lambda piece: self._fill(*piece))
        return view

    def _fill(self, part: _Part, target: memoryview) -> None:
        """Read a part of what an extent stands for."""
        extent, begin, end = part
        key = self._file_of(extent.owner)
        if extent.codec == Codec.RAW:
            at, behind = extent.offset + begin, extent.offset + end
            if key == self._key and behind <= len(self._head):
                target[:] = self._head[at:behind]
                return
            with self._store.get(key, byte_range=(at, behind)) as found:
                if found.length != len(target) or found.readinto(target) != len(target):
                    raise CorruptDataError(f"{self._what} is cut short: {key} ends within it")
            return
        from dovetail.artifacts.compression import decompress

        try:
            target[:] = memoryview(decompress(self._raw(key, extent.offset, extent.stored), extent.raw))[begin:end]
        except ValueError as error:
            raise CorruptDataError(
                f"{self._what} is corrupt: bytes {extent.offset} to {extent.offset + extent.stored} of {key} can't be "
                f"decompressed: {error}"
            ) from error

    # -- checks ---------------------------------------------------------------------------------------------------

    def _check(self, number: int, view: memoryview, first: int, verify: str) -> None:
        """Check leaves of a frame, the first of which begins at `first`."""
        begins = range(0, view.nbytes, LEAF_SIZE)
        if verify == "never" or not begins:
            return
        if verify == "sample" and len(begins) > _SAMPLES:
            chosen = {begins[int.from_bytes(os.urandom(4), "little") % len(begins)] for _ in range(_SAMPLES)}
            for begin in (*chosen, begins[-1]):
                self._check_leaf(number, view[begin : begin + LEAF_SIZE], first + begin)
            return

        from dovetail.artifacts.parallel import for_each

        def check(batch: range) -> None:
            for begin in batch:
                self._check_leaf(number, view[begin : begin + LEAF_SIZE], first + begin)

        for_each([begins[at : at + 64] for at in range(0, len(begins), 64)], check)

    def _check_leaf(self, number: int, piece: memoryview, begin: int) -> None:
        index = begin // LEAF_SIZE
        expected = self.header.frames[number].leaves[index * 32 : index * 32 + 32]
        if blake3(piece).digest() != expected:
            raise CorruptDataError(
                f"{self._what} is corrupt: bytes {begin} to {begin + len(piece)} of frame {number} do not match their "
                "digest"
            )
