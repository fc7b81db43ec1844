"""Sets of digests of any size: 256 parts by first byte in a temporary file, of which one is in memory at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from dovetail.artifacts.unnamed import write_file

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BUCKETS", "Buckets"]

BUCKETS = 256
_FLUSH = 16 << 10
"""Bytes of a bucket that wait in memory, and are written as one piece: 4 MiB in all."""
_RECENT = 1 << 15
"""Entries that are known to be there already: many runs refer to the same few objects."""


class Buckets:
    """Entries of a fixed width that begin with a digest, by its first byte. Adding is for one thread.

    The file has no name, so that nothing stays of a process that is killed.

    Args:
        width: Bytes of an entry.
    """

    def __init__(self, width: int = 32) -> None:
        self.width = width
        self._file = TemporaryFile(prefix="dovetail-buckets-")  # noqa: SIM115 -- closed by `close`
        self._end = 0
        self._lock = threading.Lock()
        self._waiting = [bytearray() for _ in range(BUCKETS)]
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]
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
            with self._lock:
                self._file.seek(self._end)
                write_file(self._file, waiting)
            self._pieces[number].append((self._end, len(waiting)))
            self._end += len(waiting)
            waiting.clear()

    def flush(self) -> None:
        """Write what waits: `read` then gives everything, in any thread."""
        for number in range(BUCKETS):
            self._flush(number)

    def read(self, number: int) -> Iterator[bytes]:
        """Entries of a bucket as they were added, after `flush`; some of them more than once."""
        width = self.width
        for begin, length in self._pieces[number]:
            with self._lock:
                self._file.seek(begin)
                piece = self._file.read(length)
            for at in range(0, length, width):
                yield piece[at : at + width]

    def is_empty(self, number: int) -> bool:
        """Whether nothing was added to a bucket."""
        return not self._waiting[number] and not self._pieces[number]

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
