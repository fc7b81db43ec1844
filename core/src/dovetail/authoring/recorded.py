"""Time, randomness and waiting that a run records, so that its body decides the same when it runs again.

When a run goes on after a crash, the body of its flow runs again from the top. What it took from the clock or from
a random generator then comes out otherwise, unless it was taken from here:

```python
from dovetail import flow, recorded


@flow
def nightly():
    if recorded.now().hour < 6:
        recorded.sleep(60)
    return recorded.uuid(), recorded.random()
```

Each call is a task of the run, named `now`, `random`, `uuid` or `sleep`. Outside of a run these are the plain ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.authoring.task_function import task as _task
from dovetail.interfaces.clock import clock

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["asleep", "now", "random", "sleep", "uuid"]


@_task(name="now", isolation="inline")
def _now() -> float:
    return clock().time()


@_task(name="random", isolation="inline")
def _random() -> float:
    from random import SystemRandom

    return SystemRandom().random()


@_task(name="uuid", isolation="inline")
def _uuid() -> str:
    from uuid import uuid4

    return str(uuid4())


@_task(name="sleep", isolation="inline")
def _until(seconds: float) -> float:
    """Begins to sleep: the end is recorded before, so that what is left counts when the run goes on."""
    return clock().time() + seconds


def now() -> datetime:
    """The present time, UTC."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(_now(), timezone.utc)


def random() -> float:
    """A random number from 0 to below 1."""
    return _random()


def uuid() -> str:
    """A random UUID, as text."""
    return _uuid()


def sleep(seconds: float) -> None:
    """Wait. A run that goes on while it slept waits only for what is left.

    Args:
        seconds: How long.
    """
    clock().sleep(max(0.0, _until(seconds) - clock().time()))


async def asleep(seconds: float) -> None:
    """As `sleep`, in a coroutine.

    Args:
        seconds: How long.
    """
    await clock().asleep(max(0.0, _until(seconds) - clock().time()))
