"""Frames: what record and log segments are made of.

A frame is a header of 16 bytes (magic, u32 length of meta, u32 length of data, u32 CRC-32 of meta and data; all
little-endian), then meta, then data. Meta is a flag byte (1: zlib, 2: signed), the 40 bytes of a signature where it has
one, and msgpack. Frames follow each other without gaps. The first one that is torn or corrupt ends the segment, as the
tail of a write-ahead log does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final, NamedTuple

from dovetail.artifacts.msgpacked import pack, unpack

__all__ = ["HEADER_SIZE", "LOG_MAGIC", "RECORD_MAGIC", "Frame", "encode_frame", "read_frames"]

RECORD_MAGIC: Final = b"DVF1"
LOG_MAGIC: Final = b"DVL1"
_HEADER = struct.Struct("<4sIII")
HEADER_SIZE: Final = _HEADER.size
_ZLIB, _SIGNED = 1, 2
_SIGNATURE_SIZE = 40
_COMPRESS_FROM = 1024
_SAMPLE_FROM: Final = 256 * 1024
_SAMPLE: Final = 32 * 1024
"""Of meta larger than the former, so many bytes tell whether it is compressed."""
_CHUNK = 1 << 18


class Frame(NamedTuple):
    """A frame that was read whole and whose checksum matches."""

    offset: int
    """Of its first byte in the segment."""
    end: int
    """Of the byte behind it."""
    meta: bytes
    """Decompressed msgpack."""
    data_at: int
    """Offset of the data in the segment."""
    data: bytes
    """The data, where it was asked for."""
    signature: bytes = b""
    """The signature of meta, where it has one."""

    def items(self) -> Any:
        """Meta, decoded."""
        return unpack(self.meta)


def encode_frame(
    magic: bytes,
    items: Any,
    data: Sequence[bytes | memoryview],
    sign: Callable[[bytes], bytes] | None = None,
) -> tuple[list[bytes | memoryview], int]:
    """The buffers of a frame, and the offset of its data in it.

    Args:
        magic: What it begins with.
        items: What its meta holds.
        data: Its data.
        sign: Makes the signature of its meta.
    """
    packed = pack(items)
    flags, signature, rest = 0, b"", packed
    if sign is not None:
        flags, signature = _SIGNED, sign(packed)
    if len(packed) >= _COMPRESS_FROM and _pays(packed):
        small = zlib.compress(packed, 1)
        if len(small) < len(packed) * 9 // 10:
            flags, rest = flags | _ZLIB, small
    meta = bytes((flags,)) + signature + rest
    crc = zlib.crc32(meta)
    size = 0
    for piece in data:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
    header = _HEADER.pack(magic, len(meta), size, crc)
    return [header + meta, *data], HEADER_SIZE + len(meta)


def _pays(packed: bytes) -> bool:
    """Whether compressing is worth its time: not where thousands of values of one task are, mostly digests."""
    return len(packed) <= _SAMPLE_FROM or len(zlib.compress(packed[:_SAMPLE], 1)) < _SAMPLE // 2


class _Source:
    """Reads exact numbers of bytes from a stream that may give fewer at a time."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length
        self._buffer = b""
        self._at = 0

    def take(self, count: int) -> bytes | None:
        """The next `count` bytes, or None when there are not so many."""
        have = len(self._buffer) - self._at
        if have < count:
            if have + self._left < count:
                return None
            pieces = [self._buffer[self._at :]]
            want = min(max(count - have, _CHUNK), self._left)
            while want > 0:
                piece = self._stream.read(want)
                if not piece:
                    break
                pieces.append(piece)
                want -= len(piece)
                self._left -= len(piece)
            self._buffer, self._at = b"".join(pieces), 0
            if len(self._buffer) < count:
                self._left = 0
                return None
        self._at += count
        return self._buffer[self._at - count : self._at]


def read_frames(stream: IO[bytes], length: int, magic: bytes, *, keep_data: bool, offset: int = 0) -> Iterator[Frame]:
    """Frames from a stream, until it ends or one is torn or corrupt.

    Memory stays within the largest frame's meta (and data, where kept).

    Args:
        stream: At the first byte of a frame.
        length: Bytes of the stream.
        magic: What each frame must begin with.
        keep_data: Whether frames shall hold their data; it is checked anyway.
        offset: Where the stream begins in the segment.
    """
    source = _Source(stream, length)
    limit = offset + length
    while (header := source.take(HEADER_SIZE)) is not None:
        found, meta_size, data_size, crc = _HEADER.unpack(header)
        end = offset + HEADER_SIZE + meta_size + data_size
        if found != magic or meta_size == 0 or end > limit:
            return
        meta = source.take(meta_size)
        if meta is None:
            return
        actual = zlib.crc32(meta)
        kept: list[bytes] = []
        left = data_size
        while left > 0:
            piece = source.take(min(left, _CHUNK))
            if piece is None:
                return
            actual = zlib.crc32(piece, actual)
            left -= len(piece)
            if keep_data:
                kept.append(piece)
        if actual != crc:
            return
        # Behind a checksum that matches, an unknown flag is a newer writer's, which the store's format forbids.
        flags, signature, at = meta[0], b"", 1
        if flags & _SIGNED:
            at += _SIGNATURE_SIZE
            signature = meta[1:at]
        packed = zlib.decompress(meta[at:]) if flags & _ZLIB else meta[at:]
        yield Frame(offset, end, packed, offset + HEADER_SIZE + meta_size, b"".join(kept), signature)
        offset = end
