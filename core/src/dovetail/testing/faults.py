"""Backends that misbehave as services do, around one that works: for tests of plugins and of flows.

Each is of the interface and has the abilities of what it is put around. The same seed gives the same faults, as long as
calls come in the same order.
"""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from dovetail.interfaces.datastore import DataStore, GetResult
from dovetail.interfaces.errors import BackendTimeoutError, ThrottledError
from dovetail.testing._proxy import Chance, proxied

__all__ = ["FlakyStore", "SlowStore", "ThrottledBackend"]


if TYPE_CHECKING:
    _Backend = Any  # of the interface of what it is put around, which only the call tells
else:
    _Backend = object


class _Faulty(_Backend):  # type: ignore[misc]
    """What the three share."""

    _inner: Any

    if not TYPE_CHECKING:  # arguments are those of __init__

        def __new__(cls, inner, *args, **kwargs):
            return proxied(cls, inner)  # of a class below this one, so that __init__ follows by itself

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r})"


class FlakyStore(_Faulty):
    """A data store over a bad network: calls time out, before they did anything or after they did it all, and readers
    break off in the middle.

    Args:
        inner: The store that works.
        seed: Which calls fail.
        rate: How many of them, from 0 to 1.
        faults: How they fail: `before` the store has heard of it, `after` it was done (so that nobody knows), and
            `reading`: the bytes of a result break off.
    """

    def __init__(
        self,
        inner: DataStore,
        *,
        seed: int = 0,
        rate: float = 0.2,
        faults: tuple[str, ...] = ("before", "after", "reading"),
    ) -> None:
        self._inner = inner
        self._chance = Chance(seed)
        self._rate = rate
        self._before, self._after = "before" in faults, "after" in faults
        self._reading = "reading" in faults
        self.failures = 0
        """How many calls have failed."""

    def _fails(self, asked: bool) -> bool:
        if asked and self._chance.draw() < self._rate:
            self.failures += 1
            return True
        return False

    def _call(self, name: str, call: Callable[[], Any]) -> Any:
        if self._fails(self._before):
            raise BackendTimeoutError(f"{name}: no connection to the store")
        result = call()
        if self._fails(self._after):
            if isinstance(result, GetResult):
                result.close()
            raise BackendTimeoutError(f"{name}: the answer of the store was lost")
        if name == "scan":
            return self._broken_off(result)
        if isinstance(result, GetResult) and self._fails(self._reading):
            return _broken(result)
        return result

    def _broken_off(self, infos: Iterator[Any]) -> Iterator[Any]:
        for info in infos:
            if self._fails(self._reading):
                raise BackendTimeoutError("scan: the connection to the store was lost")
            yield info


def _broken(result: GetResult) -> GetResult:
    """The first half of a result, then a fault."""
    with result:
        half = result.stream.read(result.length // 2)
    stream: Any = io.BufferedReader(_HalfStream(half))
    return GetResult(result.info, stream, result.length)


class _HalfStream(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._data: IO[bytes] = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(len(buffer))
        if not data:
            raise BackendTimeoutError("get: the connection to the store was lost")
        buffer[: len(data)] = data
        return len(data)


class SlowStore(_Faulty):
    """A data store that is far away: every call takes its time, and reading and writing too.

    Args:
        inner: The store that works.
        delay: Seconds that each call takes, at least.
        jitter: Seconds that it may take in addition.
        seed: How long each takes.
        sleep: How to wait.
    """

    def __init__(
        self,
        inner: DataStore,
        *,
        delay: float = 0.01,
        jitter: float = 0.0,
        seed: int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._delay, self._jitter = delay, jitter
        self._chance = Chance(seed)
        self._sleep = sleep

    def _call(self, name: str, call: Callable[[], Any]) -> Any:
        self._sleep(self._delay + self._jitter * self._chance.draw())
        return call()


class ThrottledBackend(_Faulty):
    """A backend of any kind whose service takes only so many calls in a time, and refuses the rest.

    Args:
        inner: The backend that works.
        calls: How many calls it takes in each `per`.
        per: Seconds.
        rate: Refuse this share of the others too, from 0 to 1.
        seed: Which of them.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        inner: Any,
        *,
        calls: int = 100,
        per: float = 1.0,
        rate: float = 0.0,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._calls, self._per, self._rate = calls, per, rate
        self._chance = Chance(seed)
        self._clock = clock
        self._taken: deque[float] = deque()
        self._lock = threading.Lock()
        self.refused = 0
        """How many calls were refused."""

    def _call(self, name: str, call: Callable[[], Any]) -> Any:
        with self._lock:
            now = self._clock()
            while self._taken and self._taken[0] <= now - self._per:
                self._taken.popleft()
            full = len(self._taken) >= self._calls
            if full or (self._rate and self._chance.draw() < self._rate):
                self.refused += 1
                raise ThrottledError(f"{name}: more than {self._calls} calls in {self._per:g} s")
            self._taken.append(now)
        return call()
