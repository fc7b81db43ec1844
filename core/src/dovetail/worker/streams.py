"""What tasks that follow one another in a process write to its standard streams, told apart exactly.

They share two pipes. After each of them its worker writes a mark into both, before it sends the result: whatever
stands before a mark was written before that task ended, also by C code or a subprocess. The mark holds a random
number that the worker's driver chose, so that no output looks like one.
"""

from __future__ import annotations

__all__ = ["MARK_LENGTH", "NONCE_LENGTH", "MarkReader", "mark"]

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
        seq: The assignment that the first bytes belong to; 0: none, the process imports the flow first.
    """

    __slots__ = ("_nonce", "_rest", "seq")

    def __init__(self, nonce: bytes | None, seq: int = 1) -> None:
        self._nonce = nonce
        self._rest = b""
        self.seq = seq
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
