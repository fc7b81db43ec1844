"""Stops the process, fails, or lets others step in at any point where a data store's files are touched.

The one layer through which `dovetail.local` reads and changes files is the `os` module. Its functions are replaced here
by ones that count: each call that touches a file below a root is a boundary, and the n-th can be chosen.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["WRITES", "Boundaries", "kill"]

WRITES = ("write", "writev", "pwrite")
"""Functions that may be cut in half."""
_BY_FD = (*WRITES, "ftruncate", "fsync", "fdatasync")
_BY_PATH = ("link", "unlink", "rename", "replace", "rmdir", "mkdir", "utime", "chmod", "setxattr")
_LOOKS = ("stat", "lstat", "scandir")

Step = Callable[[str, Callable[[], Any], Callable[[], Any] | None], Any]
"""Called at the chosen boundary with the function's name, the call itself, and the same cut in half where it can be."""


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class Boundaries:
    """Counts the boundaries below some folders, of the threads that did not step aside.

    Args:
        roots: The folders.
        at: The number, from 0, of the one at which `step` is called; None: none.
        step: What to do there in place of the call; what it returns is the call's result.
        looks: Whether looking counts too, and not only changing.
    """

    def __init__(
        self, roots: Iterable[Path], *, at: int | None = None, step: Step | None = None, looks: bool = False
    ) -> None:
        self.count = 0
        """Boundaries that were passed."""
        self.names: list[str] = []
        """What each of them was."""
        self._roots = tuple(str(root) for root in roots)
        self._at, self._step = at, step
        self._names = (*_BY_FD, *_BY_PATH, "open", "copy_file_range", *(_LOOKS if looks else ()))
        self._looks = looks
        self._lock = threading.Lock()
        self._aside = threading.local()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What this thread does inside does not count."""
        before, self._aside.on = getattr(self._aside, "on", False), True
        try:
            yield
        finally:
            self._aside.on = before

    @contextmanager
    def watched(self) -> Iterator[Boundaries]:
        """Count inside."""
        real = {name: getattr(os, name) for name in self._names if hasattr(os, name)}
        try:
            for name, function in real.items():
                setattr(os, name, self._counting(name, function))
            yield self
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def _counting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._aside, "on", False) or not self._counts(name, args):
                return real(*args, **kwargs)
            with self._lock:
                number, self.count = self.count, self.count + 1
                self.names.append(name)
            if number != self._at or self._step is None:
                return real(*args, **kwargs)
            half = (lambda: _half(name, real, args)) if name in WRITES else None
            with self.aside():
                return self._step(name, lambda: real(*args, **kwargs), half)

        return call

    def _counts(self, name: str, args: tuple[Any, ...]) -> bool:
        if name == "open":
            if not self._looks and not args[1] & (os.O_CREAT | os.O_TRUNC):
                return False
            return str(args[0]).startswith(self._roots)
        if name in _BY_FD or name == "copy_file_range":
            fd = args[1] if name == "copy_file_range" else args[0]
            return os.readlink(f"/proc/self/fd/{fd}").startswith(self._roots)
        if name == "scandir" and not os.path.isdir(args[0] if args else "."):
            return False
        return isinstance(args[0], (str, os.PathLike)) and os.fspath(args[0]).startswith(self._roots)


def _half(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A write that stops in the middle."""
    fd, body, *rest = args
    if name == "writev":
        body = b"".join(bytes(piece) for piece in body)
        real, rest = os.write, []
    view = memoryview(body).cast("B")
    return real(fd, view[: len(view) // 2], *rest)
