"""Sets of digests of any size: 256 temporary files by first byte, of which one is in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BUCKETS", "Buckets"]

BUCKETS = 256
_FLUSH = 16 << 10
"""Bytes of a bucket that wait in memory: 4 MiB in all."""
_RECENT = 1 << 15
"""Entries that are known to be there already: many runs refer to the same few objects."""
_READ = 1 << 10
"""Entries that are read at once."""


class Buckets:
    """Entries of a fixed width that begin with a digest, by its first byte. Adding is for one thread.

    Args:
        width: Bytes of an entry.
    """

    def __init__(self, width: int = 32) -> None:
        self.width = width
        self._folder = TemporaryDirectory(prefix="dovetail-buckets-")
        self._waiting = [bytearray() for _ in range(BUCKETS)]
        self._recent: set[bytes] = set()

    def add(self, entry: bytes) -> None:
        """Add an entry; one that was added a short while ago is not written again."""
        recent = self._recent
        if entry in recent:
            return
        if len(recent) >= _RECENT:
            recent.clear()
        recent.add(entry)
        number = entry[0]
        waiting = self._waiting[number]
        waiting += entry
        if len(waiting) >= _FLUSH:
            self._flush(number)

    def _flush(self, number: int) -> None:
        waiting = self._waiting[number]
        if waiting:
            with self._path(number).open("ab") as file:
                file.write(waiting)
            waiting.clear()

    def _path(self, number: int) -> Path:
        return Path(self._folder.name, f"{number:02x}")

    def flush(self) -> None:
        """Write what waits: `read` then gives everything, in any thread."""
        for number in range(BUCKETS):
            self._flush(number)

    def read(self, number: int) -> Iterator[bytes]:
        """Entries of a bucket as they were added, after `flush`; some of them more than once."""
        width = self.width
        try:
            file = self._path(number).open("rb")
        except FileNotFoundError:
            return
        with file:
            while piece := file.read(width * _READ):
                for at in range(0, len(piece), width):
                    yield piece[at : at + width]

    def is_empty(self, number: int) -> bool:
        """Whether nothing was added to a bucket."""
        return not self._waiting[number] and not os.path.exists(self._path(number))

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
