"""Making files and their names survive a power cut."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

__all__ = ["FolderSyncer", "sync_files"]

_OPEN_FOLDERS = 64
_MANY, _THREADS = 8, 8
"""From how many files on as many threads sync them: 200 small ones take a third of the time."""


def sync_file(fd: int) -> None:
    """Have the disk write the file's bytes and size, its own cache included."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
        return
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync(2) leaves the bytes in the drive's cache there
    else:
        os.fsync(fd)


def sync_files(files: Iterable[Callable[[], int]]) -> None:
    """Sync files; many of them side by side, since the file system then commits them together.

    Args:
        files: Each opens a file; its descriptor is closed here.
    """
    pending = list(files)
    if len(pending) < _MANY:
        for opener in pending:
            _sync_one(opener)
        return
    import threading

    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not failures:
                _sync_one(pending.pop())
        except IndexError:
            return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name="dovetail-sync", daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _sync_one(opener: Callable[[], int]) -> None:
    fd = opener()
    try:
        sync_file(fd)
    finally:
        os.close(fd)


class FolderSyncer:
    """Makes names durable: a file's name is in its folder, and that folder's name in the one above.

    A folder is synced for each batch of files; those above it once, since their names do not change again, up to the
    first one whose name is durable already. The folders are held open, so that one that was removed and made anew is
    told by its link count.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: OrderedDict[str, int] = OrderedDict()
        self._named: set[str] = set()  # of those, the ones whose names are durable
        self._lock = allocate_lock()

    def sync(self, paths: Iterable[str]) -> None:
        """Make the names of these files durable."""
        if os.name == "nt":
            return  # folders can't be opened there; NTFS journals names
        folders = sorted({os.path.dirname(path) for path in paths})
        with self._lock:
            above: dict[str, None] = {}
            for folder in folders:
                os.fsync(self._descriptor(folder, above))
            for folder in above:
                if folder not in folders:
                    os.fsync(self._descriptor(folder, {}))
            self._named.update(folder for folder in above if folder in self._open)

    def close(self) -> None:
        """Close the folders that are held open."""
        with self._lock:
            for fd in self._open.values():
                os.close(fd)
            self._open.clear()
            self._named.clear()

    def _descriptor(self, folder: str, above: dict[str, None]) -> int:
        fd = self._open.get(folder)
        if fd is not None:
            if os.fstat(fd).st_nlink:
                self._open.move_to_end(folder)
                return fd
            self._close(folder)
        fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._open[folder] = fd
        for ancestor in self._ancestors(folder):
            above[ancestor] = None
            if ancestor in self._named and os.fstat(self._open[ancestor]).st_nlink:
                break
        if len(self._open) > _OPEN_FOLDERS:
            self._close(next(iter(self._open)))
        return fd

    def _close(self, folder: str) -> None:
        self._named.discard(folder)
        os.close(self._open.pop(folder))

    def _ancestors(self, folder: str) -> Iterator[str]:
        while len(folder) > len(self._root):
            folder = os.path.dirname(folder)
            yield folder
        yield os.path.dirname(self._root)
