"""Temporary files of a local store, and what killed processes left of them."""

from __future__ import annotations

import contextlib
import os
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`

__all__ = ["ASIDE_AGE", "GONE", "LOCK", "NEAR", "TemporaryFiles"]

FOLDER = "%tmp"
LOCK = "%lock"
"""A file at the top that is locked where names have no better way to be changed one at a time."""
NEAR = "%t"
"""Begins the name of a temporary file beside its target."""
GONE = "%g"
"""Begins the name, with 8 hex digits behind it, of an object that is being deleted."""
ASIDE_AGE = 60.0
"""Seconds after which an object that was put aside is put back: whoever deleted it must have been killed."""
MAX_AGE = 24 * 3600.0
"""Seconds after which a temporary file belongs to nobody: each write makes it young again."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class TemporaryFiles:
    """Makes files in a folder of the store that is no part of its keys. Thread-safe."""

    def __init__(self, root: str) -> None:
        self._folder = f"{root}/{FOLDER}"
        self._sweep = True
        self._lock = allocate_lock()

    @property
    def is_used(self) -> bool:
        """Whether something was written in this store before."""
        return os.path.isdir(self._folder)

    def create_folder(self) -> str:
        """A new, empty folder."""
        path = self._path()
        try:
            os.mkdir(path)
        except FileNotFoundError:
            os.makedirs(path)
        return path

    def create(self) -> tuple[int, str]:
        """A new file that becomes read-only once its descriptor is closed: the descriptor and the path."""
        path = self._path()
        try:
            fd = os.open(path, _FLAGS, 0o444)
        except FileNotFoundError:
            os.makedirs(self._folder, exist_ok=True)
            fd = os.open(path, _FLAGS, 0o444)
        if self._sweep:
            with self._lock:
                sweep, self._sweep = self._sweep, False
            if sweep:
                self._remove_old(os.fstat(fd).st_mtime - MAX_AGE)
        return fd, path

    def _path(self) -> str:
        return f"{self._folder}/{os.urandom(10).hex()}"

    def _remove_old(self, before: float) -> None:
        with contextlib.suppress(OSError), os.scandir(self._folder) as listing:
            for item in listing:
                with contextlib.suppress(OSError):
                    if item.stat(follow_symlinks=False).st_mtime >= before:
                        continue
                    if not item.is_dir(follow_symlinks=False):
                        os.unlink(item.path)
                        continue
                    for name in os.listdir(item.path):  # see `dovetail.local._room`
                        os.unlink(f"{item.path}/{name}")
                    os.rmdir(item.path)
