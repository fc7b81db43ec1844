"""Checks one object file to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from blake3 import blake3

from dovetail.artifacts.identity import LEAF_SIZE
from dovetail.artifacts.layout import edge_key, object_digest, object_key
from dovetail.artifacts.objectfile import PRELUDE_SIZE, FrameAt, check_header, decode_header, decode_prelude
from dovetail.artifacts.objects import StoredObject
from dovetail.artifacts.whole_object import open_object
from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["check_object"]

_PIECE = 128 * LEAF_SIZE
"""Bytes that are read at once from a store without files: 8 MiB."""


class _Content:
    """An object's bytes: mapped where the store has files, else read by range."""

    def __init__(self, store: DataStore, key: str) -> None:
        self._store, self._key = store, key
        self._view: memoryview | None = None
        if store.capabilities & DataStoreCapability.LOCAL_PATH:
            self._view = open_object(store, key)
            self.size = self._view.nbytes
        else:
            self.size = store.head(key).size

    def read(self, begin: int, end: int) -> memoryview:
        if self._view is not None:
            return self._view[begin:end]
        return memoryview(self._store.get(self._key, byte_range=(begin, end)).read())


def check_object(store: DataStore, key: str) -> int:
    """Check every byte of an object; how many there are.

    Raises:
        NotFoundError: There is no such key.
        CorruptDataError: A bit is not as it was written, or a part is missing.
        StoreVersionError: A newer Dovetail wrote it.
    """
    content = _Content(store, key)
    offset, length, crc = decode_prelude(content.read(0, PRELUDE_SIZE), key)
    if offset + length > content.size:
        raise CorruptDataError(f"{key} is cut short")
    header = decode_header(content.read(offset, offset + length), crc, key)
    check_header(header, object_digest(key), content.size, key)
    used = [(0, PRELUDE_SIZE), (offset, offset + length)]
    for number, frame in enumerate(header.frames):
        used += [(one.offset, one.offset + one.stored) for one in frame.all_extents if not one.owner]
        if frame.offset < 0:
            _check_extents(store, content, key, number, frame)
        else:
            _check_frame(content, key, number, frame)
    _check_gaps(content, used, key)
    return content.size


def _check_frame(content: _Content, key: str, number: int, frame: FrameAt) -> None:
    """Hash a frame that lies in the file in one piece."""
    leaves = memoryview(frame.leaves)
    for begin in range(0, frame.length, _PIECE):
        end = min(begin + _PIECE, frame.length)
        piece = content.read(frame.offset + begin, frame.offset + end)
        for at in range(begin, end, LEAF_SIZE):
            leaf = blake3(piece[at - begin : at - begin + LEAF_SIZE]).digest()
            where = at // LEAF_SIZE * 32
            if leaf != leaves[where : where + 32]:
                raise CorruptDataError(
                    f"{key} is corrupt: bytes {at} to {min(at + LEAF_SIZE, end)} of frame {number} "
                    "do not match their digest"
                )


def _check_extents(store: DataStore, content: _Content, key: str, number: int, frame: FrameAt) -> None:
    """Hash a frame that is compressed, or lies in several objects, and look whether these are known to be needed."""
    for extent in frame.extents:
        if extent.crc is not None and not extent.owner:
            end = extent.offset + extent.stored
            if crc32(content.read(extent.offset, end)) != extent.crc:
                raise CorruptDataError(f"{key} is corrupt: bytes {extent.offset} to {end} do not match their checksum")
    for owner in {extent.owner for extent in frame.extents if extent.owner}:
        try:
            store.head(edge_key(object_digest(key), owner))
        except NotFoundError as error:
            raise CorruptDataError(
                f"{key} has bytes in {object_key(owner)} and no edge to it: a collector could take that away"
            ) from error
    found = StoredObject(store, object_digest(key), key)
    for begin in range(0, frame.length, _PIECE):
        try:
            found.part(number, begin, min(begin + _PIECE, frame.length))
        except NotFoundError as error:
            raise CorruptDataError(f"{key} is not whole: {error.message}") from error


def _check_gaps(content: _Content, used: list[tuple[int, int]], key: str) -> None:
    """What lies between header and frames must be zeros, and nothing may follow."""
    at = 0
    for begin, end in sorted(used):
        if begin > at and bytes(content.read(at, begin)).strip(b"\0"):
            raise CorruptDataError(f"{key} is corrupt: bytes {at} to {begin} must be zeros")
        at = max(at, end)
    if bytes(content.read(PRELUDE_SIZE - 20, PRELUDE_SIZE)).strip(b"\0"):
        raise CorruptDataError(f"{key} is corrupt: its prelude has unknown bytes")
    if content.size != at:
        raise CorruptDataError(f"{key} is corrupt: it has {content.size - at} bytes too many")
