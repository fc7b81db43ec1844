"""The clock by which a run waits: pauses before retries, recorded times, deadlines. A test may put its own here.

What guards against other processes (leases, time-outs of attempts) goes by the machine's clock alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock", "clock", "use_clock"]


class Clock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, from any beginning."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait in this thread."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait in this coroutine."""
        import asyncio

        await asyncio.sleep(seconds)

    def real_due(self, due: float | None) -> float | None:
        """By `time.monotonic`: when to look whether `due`, by this clock's `monotonic`, has come; None: never."""
        return due

    def skip_to(self, due: float) -> None:
        """Nothing has happened up to now: a clock that does not pass by itself goes to `due`, by `monotonic`."""


_present = Clock()


def clock() -> Clock:
    """The clock of this process."""
    return _present


@contextmanager
def use_clock(other: Clock) -> Iterator[None]:
    """Have this process go by another clock, all of its threads."""
    global _present
    before, _present = _present, other
    try:
        yield
    finally:
        _present = before
