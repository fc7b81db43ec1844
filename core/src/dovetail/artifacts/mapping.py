"""Pieces of files side by side in memory, private to this process: one array from several files, without a copy."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

__all__ = ["Piece", "can_map", "map_pieces"]

_MAP_FIXED: Final = 0x10
_PROT: Final = 0x3  # read and write: what is written to stays in this process
_FAILED: Final = ctypes.c_void_p(-1).value
_HUGE: Final = 2 << 20
"""The size of a large page, where there are any."""
_LINUX: Final = sys.platform.startswith("linux")


class Piece(NamedTuple):
    """A range of a file."""

    fd: int
    """Open for reading; may be closed once it is mapped."""
    offset: int
    """A multiple of the page size."""
    length: int
    """A multiple of the page size, but for the last piece."""


def can_map(pieces: Sequence[Piece]) -> bool:
    """Whether pieces can be put side by side here."""
    page = mmap.ALLOCATIONGRANULARITY
    return _LINUX and all(
        piece.offset % page == 0 and (piece.length % page == 0 or piece is pieces[-1]) for piece in pieces
    )


def map_pieces(pieces: Sequence[Piece]) -> memoryview:
    """Private, writable memory with the pieces in order. Only pages that are touched are read.

    Raises:
        OSError: The kernel refuses, for instance since the process has too many mappings.
    """
    length = sum(piece.length for piece in pieces)
    # The reservation owns the range: whatever is mapped over parts of it goes when it does.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    region = mmap.mmap(-1, length + _HUGE, flags=flags)
    handle = ctypes.c_char.from_buffer(region)
    start = ctypes.addressof(handle)
    del handle  # else the region could never be closed
    # A large page of the page cache is mapped as one only where address and offset fall on it alike.
    skipped = (pieces[0].offset - start) % _HUGE
    at = start + skipped
    for piece in pieces:
        found = _libc().mmap(at, piece.length, _PROT, mmap.MAP_PRIVATE | _MAP_FIXED, piece.fd, piece.offset)
        if found == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        at += piece.length
    return memoryview(region)[skipped : skipped + length]


_loaded: Any = None


def _libc() -> Any:
    global _loaded
    if _loaded is None:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
        ]  # fmt: skip
        _loaded = library
    return _loaded
