"""Reads segments to the last byte: tells a torn tail, which a killed writer leaves, from damage."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING

from dovetail.artifacts.framing import HEADER_SIZE, Frame, read_frames
from dovetail.artifacts.layout import segment_fence
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Span", "read_whole"]

_HEADER = struct.Struct("<4sIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How much of a segment must be valid."""

    end: int | None = None
    """Offset up to which frames must be whole; None: nothing tells, since its driver may still append."""
    closed: bool = False
    """Whether its driver ended the run: no part of a frame may follow the last one."""
    single: bool = False
    """Whether it was written whole, as objects under `commits/` are."""

    @classmethod
    def of(cls, key: str, fences: Mapping[str, Mapping[str, int]], ended: Set[int]) -> Span:
        """That of a segment.

        Args:
            key: Its key.
            fences: Fence as in keys → the ends that it lists.
            ended: Fences whose drivers left an end.
        """
        own = segment_fence(key)
        later = sorted(fence for fence in fences if int(fence) > own)
        if later:
            return cls(end=fences[later[0]].get(key.rpartition("/")[2], 0))
        return cls(closed=own in ended)


def read_whole(store: DataStore, key: str, magic: bytes, span: Span, damage: list[str]) -> Iterator[Frame]:
    """Every valid frame of a segment, also those behind a damaged one; no data is kept.

    Args:
        store: Where it is.
        key: Its key; one that is gone has no frames.
        magic: What each frame begins with.
        span: How much of it must be valid.
        damage: Gets a line where a part is not that must be.
    """
    try:
        found = store.get(key)
    except NotFoundError:
        return
    last = 0
    length = found.length
    with found:
        for frame in read_frames(found.stream, length, magic, keep_data=False):
            last = frame.end
            yield frame
    if span.end is not None and last >= span.end:
        return  # what follows was never part of the run
    if last == length and span.end is None and (length or not span.single):
        return
    try:
        rest = store.get(key, byte_range=(last, length)).read()
    except NotFoundError:
        return
    later = list(_later(rest, last, magic))
    if span.end is not None or span.closed or span.single or later:
        damage.append(f"{key} is torn or corrupt from byte {last} of {span.end or length}")
    yield from later


def _later(rest: bytes, base: int, magic: bytes) -> Iterator[Frame]:
    """Valid frames anywhere in bytes."""
    at = rest.find(magic, 1)
    while at >= 0:
        end = at
        if at + HEADER_SIZE <= len(rest):
            _, meta, data, _ = _HEADER.unpack_from(rest, at)
            if at + HEADER_SIZE + meta + data <= len(rest):
                view = io.BytesIO(rest[at:])
                for frame in read_frames(view, len(rest) - at, magic, keep_data=False, offset=base + at):
                    end = frame.end - base
                    yield frame
        at = rest.find(magic, max(end, at + 1))
