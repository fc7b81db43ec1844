"""`VirtualClock`: time that passes only where a run waits for it."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from dovetail.interfaces.clock import Clock

__all__ = ["VirtualClock"]

_PATIENCE = 0.001
"""Seconds without an event after which all that runs is taken to wait."""


class VirtualClock(Clock):
    """Waiting costs no time: pauses before retries, `recorded.sleep` and deadlines move this clock instead.

    What a task does by itself, such as `time.sleep` or `datetime.now`, goes by the machine's clock. Thread-safe.

    Args:
        start: The time at the beginning: seconds since the epoch or a datetime; None: now.
    """

    def __init__(self, start: float | datetime | None = None) -> None:
        if isinstance(start, datetime):
            start = start.timestamp()
        self._start = time.time() if start is None else start
        self._passed = 0.0
        self._lock = threading.Lock()

    @property
    def passed(self) -> float:
        """Seconds that have passed."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._passed += max(0.0, seconds)

    def time(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        import asyncio

        self.advance(seconds)
        await asyncio.sleep(0)  # others get their turn

    def real_due(self, due: float | None) -> float | None:
        return None if due is None else time.monotonic() + (_PATIENCE if due > self._passed else 0.0)

    def skip_to(self, due: float) -> None:
        with self._lock:
            self._passed = max(self._passed, due)
