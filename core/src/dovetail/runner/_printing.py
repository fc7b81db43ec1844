"""What the body of a flow prints in the process that calls it: shown as ever, and recorded too."""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable
from typing import Any

from dovetail.authoring.calling import caller

__all__ = ["Printed", "printing"]

_STREAMS = ("stdout", "stderr")


class Printed:
    """Takes what one attempt prints, by whole lines. Thread-safe.

    Args:
        send: Takes (0 for stdout or 1 for stderr, bytes).
    """

    def __init__(self, send: Callable[[int, bytes], None]) -> None:
        self._send = send
        self._lock = _thread.allocate_lock()
        self._rest = [b"", b""]

    def write(self, stream: int, text: str) -> None:
        """Take what was printed."""
        with self._lock:
            data = self._rest[stream] + text.encode("utf-8", "backslashreplace")
            end = data.rfind(b"\n") + 1
            self._rest[stream] = data[end:]
            if end:
                self._send(stream, data[:end])

    def finish(self) -> None:
        """Take what has no end of line."""
        with self._lock:
            for stream, rest in enumerate(self._rest):
                if rest:
                    self._send(stream, rest)
            self._rest = [b"", b""]


class Printing:
    """Watches the standard streams of this process while bodies run in it. Thread-safe.

    The streams stay what they are, since handlers of `logging` and test runners hold them: only their `write` is
    covered. What is written to a descriptor, by C code or another process, is shown and not recorded.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._bodies = 0
        self._covered: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        """A body begins."""
        with self._lock:
            self._bodies += 1
            if self._bodies == 1:
                for number, name in enumerate(_STREAMS):
                    self._cover(getattr(sys, name), number)

    def end(self) -> None:
        """A body has ended."""
        with self._lock:
            self._bodies -= 1
            if self._bodies == 0:
                for stream, _ in self._covered:
                    stream.__dict__.pop("write", None)
                self._covered.clear()

    def _cover(self, stream: Any, number: int) -> None:
        if stream is None or any(one is stream for one, _ in self._covered):
            return
        write = getattr(stream, "write", None)
        try:
            if "write" in stream.__dict__:  # somebody else's cover, which may be lifted before ours
                return
            stream.write = _recorded(write, number)
        except AttributeError:  # it has no attributes of its own
            return
        self._covered.append((stream, write))

    def show(self, name: str, text: str) -> None:
        """Print what is recorded elsewhere on `stdout` or `stderr`."""
        target = getattr(sys, name)
        write = next((write for one, write in self._covered if one is target), None)
        try:
            (write or target.write)(text)
            target.flush()
        except (OSError, ValueError, AttributeError):  # closed, or there is none
            return


def _recorded(write: Any, number: int) -> Any:
    def write_recorded(text: str) -> Any:
        done = write(text)
        printed: Printed | None = getattr(caller.get(), "printed", None)
        if printed is not None and isinstance(text, str):
            printed.write(number, text)
        return done

    return write_recorded


printing = Printing()
"""That of this process."""
