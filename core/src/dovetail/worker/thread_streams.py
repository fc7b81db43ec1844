"""What tasks that run at the same time, as threads, write to the standard streams of their process.

They can't be told apart in a pipe, so `sys.stdout` and `sys.stderr` send what a thread writes as a message, with its
task. What C code writes goes to the pipe and belongs to no task.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Sink", "ThreadStream"]


class Sink(Protocol):
    """Where a task's output goes."""

    def send(self, stream: int, data: bytes) -> None:
        """Take bytes that the task wrote to stream 0 (stdout) or 1 (stderr)."""
        ...


class ThreadStream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` where tasks are threads.

    Args:
        number: 0 (stdout) or 1 (stderr).
        sink: Tells where the calling thread's output goes; None: it belongs to no task.
        fallback: The process's own stream, for threads that belong to no task.
    """

    def __init__(self, number: int, sink: Callable[[], Sink | None], fallback: Any) -> None:
        self._number = number
        self._sink = sink
        self._fallback = fallback
        self._held = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How what UTF-8 lacks is written."""
        return "backslashreplace"

    @property
    def buffer(self) -> Any:
        """The same for bytes."""
        return _ThreadBytes(self)

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """Never."""
        return False

    def fileno(self) -> int:
        """The process's own descriptor, which no task owns."""
        number: int = self._fallback.fileno()
        return number

    def write(self, text: str) -> int:
        """Take `text`; whole lines are sent, the rest waits for its end or a `flush`."""
        if self._sink() is None:
            self._fallback.write(text)
        else:
            self.write_bytes(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """The same for bytes."""
        sink = self._sink()
        if sink is None:
            self._fallback.buffer.write(data)
            return
        held: bytes = getattr(self._held, "data", b"") + data
        end = held.rfind(b"\n") + 1
        if end:
            sink.send(self._number, held[:end])
        self._held.data = held[end:]

    def flush(self) -> None:
        """Send what this thread wrote."""
        sink = self._sink()
        if sink is None:
            self._fallback.flush()
            return
        held: bytes = getattr(self._held, "data", b"")
        if held:
            self._held.data = b""
            sink.send(self._number, held)


class _ThreadBytes(io.RawIOBase):
    def __init__(self, stream: ThreadStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._stream.write_bytes(piece)
        return len(piece)

    def flush(self) -> None:
        self._stream.flush()
