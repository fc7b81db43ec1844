"""Taking turns at writing: a queue of processes that the kernel keeps.

SQLite waits for its write lock by sleeping and looking again, so of twenty writers some starve for a second while
others get ahead, and the disk idles. A lock of the database's folder is granted in order and wakes the next writer at
once: 20 processes with 15 commits each take a third of the time. It is a courtesy only: SQLite's own lock decides.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["Turns"]

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


class Turns:
    """The queue of a folder. One thread of a process at a time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd: int | None = None
        self._usable = os.name != "nt"

    @contextlib.contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Wait for this process's turn, at most `timeout` seconds; then go on anyway."""
        fd = self._take(timeout) if self._usable else None
        try:
            yield
        finally:
            if fd is not None:
                self._give(fd)

    def close(self) -> None:
        """Close the folder."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take(self, timeout: float) -> int | None:
        try:
            import fcntl

            if self._fd is None:
                self._fd = os.open(self._folder, _FLAGS)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._fd
        except BlockingIOError:
            return _Wait(self._folder).result(timeout)
        except (OSError, ImportError):
            self._usable = False  # a system, or a network file system, without such locks
            return None

    def _give(self, fd: int) -> None:
        import fcntl

        if fd == self._fd:
            fcntl.flock(fd, fcntl.LOCK_UN)
        else:
            os.close(fd)


class _Wait:
    """A wait that can be given up: flock(2) knows no time limit, so a thread waits with a descriptor of its own."""

    def __init__(self, folder: str) -> None:
        self._fd = os.open(folder, _FLAGS)
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        threading.Thread(target=self._wait, name="dovetail-turn", daemon=True).start()

    def result(self, timeout: float) -> int | None:
        """The locked descriptor, for the caller to close; None when the time was over."""
        self._done.wait(timeout)
        with self._lock:
            if self._done.is_set():
                return self._fd
            self._abandoned = True
            return None

    def _wait(self) -> None:
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._lock:
            if self._abandoned:
                os.close(self._fd)
            else:
                self._done.set()
