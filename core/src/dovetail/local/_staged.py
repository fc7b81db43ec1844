"""Objects that are written before their name is known."""

from __future__ import annotations

import os
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dovetail.interfaces.datastore import Buffer, ObjectInfo
from dovetail.interfaces.errors import AlreadyExistsError, DovetailError, UsageError
from dovetail.local._append import write_all
from dovetail.local._faults import fault
from dovetail.local._keys import encode_key

if TYPE_CHECKING:
    from dovetail.local._files import StoreFiles

__all__ = ["StagedFile"]


class StagedFile:
    """A file without a name. Threads may write at different offsets at once."""

    def __init__(self, files: StoreFiles, fd: int, path: str) -> None:
        self._files = files
        self._fd = fd
        self._path = path
        self._end = 0
        self._lock = allocate_lock()

    def write(self, body: Buffer) -> None:
        """Add bytes at the end."""
        view = memoryview(body).cast("B")
        with self._lock:
            offset, self._end = self._end, self._end + len(view)
        self._write(offset, view)

    def write_at(self, offset: int, body: Buffer) -> None:
        """Write bytes at an offset, which may lie past the end; what is skipped reads as zeros."""
        view = memoryview(body).cast("B")
        with self._lock:
            self._end = max(self._end, offset + len(view))
        self._write(offset, view)

    def commit(self, key: str, *, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        """Give the object its name, create-only and atomically.

        Raises:
            AlreadyExistsError: The key exists; the staged bytes are dropped.
        """
        path = f"{self._files.root}/{encode_key(key)}"
        fd = self._open()
        try:
            status = self._files.finish(fd, metadata)
            self._fd = -1
            os.close(fd)
            self._files.name(self._path, path, replace=False, metadata=metadata)
        except FileExistsError as error:
            self.drop()
            raise AlreadyExistsError(f"{key} exists already") from error
        except OSError as error:
            raise fault(error, path, doing="write", writing=True) from error
        return self._files.info(key, status, None, metadata=metadata or {})

    def drop(self) -> None:
        """Close and remove the file unless it was committed. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._path:
            self._files.drop(self._path)
            self._path = ""

    def _open(self) -> int:
        if self._fd < 0:
            raise UsageError("this staged object was committed or dropped", hint="Call stage() for another one.")
        return self._fd

    def _write(self, offset: int, view: memoryview) -> None:
        fd = self._open()
        try:
            if hasattr(os, "pwrite"):
                done = 0
                while done < len(view):
                    done += os.pwrite(fd, view[done:] if done else view, offset + done)
                return
            with self._lock:
                os.lseek(fd, offset, os.SEEK_SET)
                write_all(fd, (view,))
        except OSError as error:
            found: DovetailError = fault(error, self._files.root, doing="write", writing=True)
            raise found from error
