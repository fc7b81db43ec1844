"""Object files: how a value that is too large for its record lies in a data store.

A prelude of 64 bytes, a msgpack header `[serializer, header, [[length, offset, leaf digests], ...]]` anywhere behind
it, and the raw frames, those of 4 KiB and more aligned to 4 KiB so that they can be memory-mapped. A frame may instead
be a list of extents: pieces that are compressed, or that lie in another object which had the same leaves. The reader
trusts nothing: prelude and header have checksums, and the digests in the header must give the digest that names the
object.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dovetail.artifacts.identity import DIGEST_SIZE, LEAF_SIZE, Leaves, value_digest
from dovetail.artifacts.msgpacked import pack, unpack
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import CorruptDataError, StoreVersionError

__all__ = [
    "FORMAT_MAJOR",
    "PAGE",
    "PRELUDE_SIZE",
    "Codec",
    "Extent",
    "FrameAt",
    "Header",
    "check_header",
    "decode_header",
    "decode_prelude",
    "encode_header",
    "encode_prelude",
    "layout_object",
]

MAGIC: Final = b"\x8bDVO\r\n\x1a\n"
"""Not text, and broken visibly by a transfer that converts line ends or strips the eighth bit (as PNG's)."""
FORMAT_MAJOR: Final = 1
"""Raised when older readers must refuse the file."""
FORMAT_MINOR: Final = 0
"""Raised when older readers may read on."""
EXTENTS_FLAG: Final = 1
"""Incompatible flag: some frame is a list of extents."""
KNOWN_INCOMPAT_FLAGS: Final = EXTENTS_FLAG
PAGE: Final = 4096
LARGE: Final = 4 << 20
LARGE_ALIGNMENT: Final = 1 << 16
"""Of frames of at least `LARGE` bytes: leaves of these are where the page cache can keep many pages as one."""
SMALL_ALIGNMENT: Final = 64

# magic, major, minor, incompat flags, compat flags, header offset, header length, header crc, crc of all before
_PRELUDE = struct.Struct("<8sHHIIQQII")
PRELUDE_SIZE: Final = 64
_LEAF = struct.Struct(f"{DIGEST_SIZE}s")


class Codec:
    """How the bytes of an extent are kept."""

    RAW: Final = 0
    ZSTD: Final = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """A piece of a frame: whole leaves, but for the end of the frame."""

    owner: bytes
    """Digest of the object whose file holds it; empty: this one."""
    offset: int
    """Of its first byte in that file."""
    stored: int
    """Bytes there."""
    raw: int
    """Bytes of the frame that it stands for."""
    codec: int = Codec.RAW
    """One of `Codec`."""
    crc: int | None = None
    """CRC-32 of compressed bytes: some of their bits could change without changing what they stand for."""


@dataclass(frozen=True, slots=True)
class FrameAt:
    """A frame of an object file."""

    length: int
    """Bytes."""
    offset: int
    """Of its first byte in the file, where it lies there in one piece; else -1."""
    leaves: bytes
    """Digests of its leaves, joined."""
    extents: tuple[Extent, ...] = ()
    """Its pieces in order, where it is not in one piece."""

    @property
    def all_extents(self) -> tuple[Extent, ...]:
        """Its pieces; one that lies in one piece is a piece."""
        if self.offset < 0 or not self.length:
            return self.extents
        return (Extent(b"", self.offset, self.length, self.length),)

    def pieces(self) -> Iterator[tuple[int, int, bytes]]:
        """(begin, end, digest) of each leaf, in the frame."""
        for index in range(len(self.leaves) // DIGEST_SIZE):
            begin = index * LEAF_SIZE
            digest = self.leaves[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE]
            yield begin, min(begin + LEAF_SIZE, self.length), digest


@dataclass(frozen=True, slots=True)
class Header:
    """What an object file says of itself."""

    serializer: str
    """Id of the serializer."""
    header: bytes
    """The serializer's own header."""
    frames: tuple[FrameAt, ...]
    """The frames."""


def align(offset: int, length: int) -> int:
    """Where a frame of this length begins that may begin at `offset`."""
    to = LARGE_ALIGNMENT if length >= LARGE else PAGE if length >= PAGE else SMALL_ALIGNMENT
    return -(-offset // to) * to


def encode_header(header: Header) -> bytes:
    """The msgpack of a header."""
    return pack([header.serializer, header.header, [_frame_to_plain(frame) for frame in header.frames]])


def _frame_to_plain(frame: FrameAt) -> list[object]:
    if frame.offset >= 0:
        return [frame.length, frame.offset, frame.leaves]
    extents = [
        [e.owner or None, e.offset, e.stored, e.raw, e.codec, *(() if e.crc is None else (e.crc,))]
        for e in frame.extents
    ]
    return [frame.length, None, frame.leaves, extents]


def _frame_from_plain(plain: list[Any]) -> FrameAt:
    length, offset, leaves, *rest = plain  # unknown elements at the end are a later version's
    if offset is not None:
        return FrameAt(length, offset, leaves)
    extents = tuple(
        Extent(owner or b"", at, stored, raw, codec, more[0] if more else None)
        for owner, at, stored, raw, codec, *more in rest[0]
    )
    return FrameAt(length, -1, leaves, extents)


def encode_prelude(header_offset: int, header: bytes, *, extents: bool = False) -> bytes:
    """The first bytes of a file whose encoded header is at `header_offset`.

    Args:
        header_offset: Where the header is.
        header: The encoded header.
        extents: Whether some frame is a list of extents.
    """
    flags = EXTENTS_FLAG if extents else 0
    fields = (MAGIC, FORMAT_MAJOR, FORMAT_MINOR, flags, 0, header_offset, len(header), zlib.crc32(header), 0)
    head = _PRELUDE.pack(*fields)[:-4]
    return (head + zlib.crc32(head).to_bytes(4, "little")).ljust(PRELUDE_SIZE, b"\0")


def layout_object(
    serializer: str, header: bytes, frames: Sequence[memoryview | bytes], leaves: Sequence[Leaves]
) -> tuple[list[bytes | memoryview], list[int]]:
    """The buffers of an object file, and the offset of each frame in it."""
    # Offsets count in the header, whose size depends on them: begin with the largest that they can have.
    joined = [b"".join(digests) for _, digests in leaves]
    widest = Header(serializer, header, tuple(FrameAt(n, 2**63, d) for (n, _), d in zip(leaves, joined, strict=True)))
    at = PRELUDE_SIZE + len(encode_header(widest))
    placed: list[FrameAt] = []
    for (length, _), digests in zip(leaves, joined, strict=True):
        at = align(at, length)
        placed.append(FrameAt(length, at, digests))
        at += length
    encoded = encode_header(Header(serializer, header, tuple(placed)))
    buffers: list[bytes | memoryview] = [encode_prelude(PRELUDE_SIZE, encoded), encoded]
    at = PRELUDE_SIZE + len(encoded)
    for where, frame in zip(placed, frames, strict=True):
        if where.offset > at:
            buffers.append(bytes(where.offset - at))
        if where.length:
            buffers.append(frame)
        at = where.offset + where.length
    return buffers, [where.offset for where in placed]


def decode_prelude(prelude: bytes | memoryview, what: str) -> tuple[int, int, int]:
    """(offset, length, CRC-32) of the header.

    Raises:
        StoreVersionError: A newer Dovetail wrote the file.
        CorruptDataError: It is not an object file.
    """
    if len(prelude) < PRELUDE_SIZE or bytes(prelude[:8]) != MAGIC:
        raise CorruptDataError(f"{what} is not an object file of Dovetail")
    _, major, minor, incompat, _, offset, length, header_crc, crc = _PRELUDE.unpack(prelude[: _PRELUDE.size])
    if zlib.crc32(prelude[: _PRELUDE.size - 4]) != crc:
        raise CorruptDataError(f"{what} has a damaged prelude")
    if major > FORMAT_MAJOR or incompat & ~KNOWN_INCOMPAT_FLAGS:
        raise StoreVersionError(
            f"{what} has format {major}.{minor} (flags {incompat:#x}), and this Dovetail reads format {FORMAT_MAJOR}",
            hint="Upgrade dovetail to read it.",
        )
    return offset, length, header_crc


def decode_header(encoded: bytes | memoryview, crc: int, what: str) -> Header:
    """The header of a file.

    Raises:
        CorruptDataError: It does not match its checksum, or is no header.
    """
    if zlib.crc32(encoded) != crc:
        raise CorruptDataError(f"{what} has a damaged header")
    try:
        serializer, header, frames, *_ = unpack(encoded)  # what follows is a later version's
        return Header(serializer, header, tuple(map(_frame_from_plain, frames)))
    except Exception as error:
        raise CorruptDataError(f"{what} has an unknown header: {error}") from error


def check_header(header: Header, digest: bytes, size: int, what: str) -> None:
    """Check that a header is that of the value with a digest and lies within a file of `size` bytes.

    Raises:
        CorruptDataError: It is another's.
    """
    leaves: list[Leaves] = []
    for frame in header.frames:
        count = -(-frame.length // LEAF_SIZE)
        if len(frame.leaves) != count * DIGEST_SIZE or not _fits(frame, size):
            raise CorruptDataError(f"{what} is cut short or has frames that don't fit it")
        leaves.append((frame.length, [leaf for (leaf,) in _LEAF.iter_unpack(frame.leaves)]))
    if value_digest(header.serializer, header.header, leaves) != digest:
        raise CorruptDataError(f"{what} does not match its digest")


def _fits(frame: FrameAt, size: int) -> bool:
    """Whether a frame lies within a file, and its extents give its length."""
    extents = frame.all_extents
    return (
        sum(extent.raw for extent in extents) == frame.length
        and all(e.owner or 0 <= e.offset <= e.offset + e.stored <= size for e in extents)
        and all(e.raw % LEAF_SIZE == 0 for e in extents[:-1])
        and all(e.codec == Codec.ZSTD or (e.codec == Codec.RAW and e.stored == e.raw) for e in extents)
    )
