"""Appending to files: one write(2) a call, which the kernel keeps when this process is killed."""

from __future__ import annotations

import contextlib
import os
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import cast

from dovetail.interfaces.datastore import Buffer
from dovetail.interfaces.errors import PreconditionError

__all__ = ["Appenders", "buffers_of", "write_all"]

_OPEN_FILES = 32
_BUFFERS = 512  # of one writev(2); POSIX guarantees 16, Linux and macOS take 1,024
_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def buffers_of(body: Buffer | Sequence[Buffer]) -> list[Buffer]:
    """The buffers of a body that is no file."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return [cast("Buffer", body)]
    return list(body)


def write_all(fd: int, buffers: Sequence[Buffer]) -> int:
    """Write all buffers at the descriptor's position; the number of bytes."""
    total = 0
    if len(buffers) == 1 or not hasattr(os, "writev"):
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            done = 0
            while done < len(view):
                done += os.write(fd, view[done:] if done else view)
            total += done
        return total
    pending = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if len(view)]
    while pending:
        written = os.writev(fd, pending[:_BUFFERS])
        total += written
        skip = 0
        while skip < len(pending) and written >= len(pending[skip]):
            written -= len(pending[skip])
            skip += 1
        del pending[:skip]
        if written:
            pending[0] = pending[0][written:]
    return total


class _Appender:
    __slots__ = ("fd", "lock")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lock = allocate_lock()


class Appenders:
    """Open files that are appended to, the latest used. Thread-safe; one writer a file."""

    def __init__(self, create: Callable[[str, int], int]) -> None:
        """Args:
        create: Opens a path with these flags plus O_CREAT and makes its folders where missing.
        """
        self._create = create
        self._open: OrderedDict[str, _Appender] = OrderedDict()
        self._lock = allocate_lock()

    def append(self, path: str, buffers: Sequence[Buffer]) -> int:
        """Write at the end; the file's size after it. When it fails the file is as before.

        Raises:
            PreconditionError: The file was written whole and can't grow.
        """
        while True:
            appender = self._appender(path)
            with appender.lock:
                fd = appender.fd
                if fd < 0:
                    continue  # closed between look-up and lock
                before = os.fstat(fd)
                if not before.st_nlink:  # deleted meanwhile, so begin a new one
                    self._forget(path, appender)
                    continue
                try:
                    written = write_all(fd, buffers)
                except BaseException:
                    # Half a batch would hide everything behind it. Nobody was told of these bytes, so cutting
                    # them off takes nothing away.
                    with contextlib.suppress(OSError):
                        os.ftruncate(fd, before.st_size)
                    raise
                if os.fstat(fd).st_nlink:
                    return before.st_size + written
                self._forget(path, appender)

    def descriptor(self, path: str) -> int | None:
        """A duplicate of the open file's descriptor, to be closed by the caller; None when it is not open."""
        with self._lock:
            appender = self._open.get(path)
            return None if appender is None or appender.fd < 0 else os.dup(appender.fd)

    def close(self, path: str | None = None) -> None:
        """Close one file, or all of them."""
        with self._lock:
            appenders = (
                list(self._open.values()) if path is None else [a for a in (self._open.get(path),) if a is not None]
            )
            if path is None:
                self._open.clear()
            else:
                self._open.pop(path, None)
        for appender in appenders:
            self._shut(appender)

    def _appender(self, path: str) -> _Appender:
        with self._lock:
            appender = self._open.get(path)
            if appender is not None:
                self._open.move_to_end(path)
                return appender
            fd = self._create(path, _FLAGS)
            if not os.fstat(fd).st_mode & 0o200:
                os.close(fd)
                raise PreconditionError(
                    f"{path} was written whole; nothing can be appended to it", hint="Append to a key of its own."
                )
            appender = self._open[path] = _Appender(fd)
            oldest = self._open.popitem(last=False)[1] if len(self._open) > _OPEN_FILES else None
        if oldest is not None:
            self._shut(oldest)
        return appender

    def _forget(self, path: str, appender: _Appender) -> None:
        with self._lock:
            if self._open.get(path) is appender:
                del self._open[path]
        os.close(appender.fd)
        appender.fd = -1

    @staticmethod
    def _shut(appender: _Appender) -> None:
        with appender.lock:
            if appender.fd >= 0:
                os.close(appender.fd)
                appender.fd = -1
