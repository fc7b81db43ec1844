"""What tasks that share a process write to its standard streams, told apart exactly.

Tasks in a row share two pipes. After each of them its worker writes a mark into both, before it sends the result:
whatever stands before a mark was written before that task ended, also by C code or a subprocess. The mark holds a
random number that the worker's driver chose, so that no output looks like one.

Tasks at the same time, as threads, can't be told apart in a pipe: there `sys.stdout` and `sys.stderr` send what a
thread writes as a message, with its task. What C code writes goes to the pipe and belongs to no task.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["MARK_LENGTH", "NONCE_LENGTH", "MarkReader", "Sink", "ThreadStream", "mark"]

_SEQ_BYTES = 4
NONCE_LENGTH = 16
MARK_LENGTH = NONCE_LENGTH + _SEQ_BYTES


def mark(nonce: bytes, seq: int) -> bytes:
    """What stands in both pipes behind assignment `seq`."""
    return nonce + seq.to_bytes(_SEQ_BYTES, "little")


class MarkReader:
    """Splits what comes out of a pipe at the marks.

    Args:
        nonce: The worker's random number; None where nothing is marked, because the process has one task.
    """

    __slots__ = ("_nonce", "_rest", "seq")

    def __init__(self, nonce: bytes | None) -> None:
        self._nonce = nonce
        self._rest = b""
        self.seq = 1
        """The assignment that what comes next belongs to."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(assignment, what it wrote) of each piece in `data`; a mark that is cut waits for its rest."""
        nonce = self._nonce
        if nonce is None:
            return [(self.seq, data)] if data else []
        if self._rest:
            data = self._rest + data
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while (next_mark := data.find(nonce, at)) >= 0 and next_mark + MARK_LENGTH <= end:
            if next_mark > at:
                found.append((self.seq, data[at:next_mark]))
            at = next_mark + MARK_LENGTH
            self.seq = int.from_bytes(data[at - _SEQ_BYTES : at], "little") + 1
        keep = next_mark if next_mark >= 0 else end - self._begun(data, at)
        if keep > at:
            found.append((self.seq, data[at:keep]))
        self._rest = data[keep:]
        return found

    def _begun(self, data: bytes, at: int) -> int:
        """How many bytes at the end of `data` may be the beginning of a mark."""
        assert self._nonce is not None
        tail = data[max(at, len(data) - NONCE_LENGTH + 1) :]
        first = self._nonce[:1]
        start = tail.find(first)
        while start >= 0:
            if self._nonce.startswith(tail[start:]):
                return len(tail) - start
            start = tail.find(first, start + 1)
        return 0

    def flush(self) -> list[tuple[int, bytes]]:
        """What was held back, at the end of the pipe."""
        rest, self._rest = self._rest, b""
        return [(self.seq, rest)] if rest else []


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
