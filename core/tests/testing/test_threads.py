"""Threads that call at the same time, in runs whose driver dies at random: no call is lost, so nothing waits for ever.

DOVETAIL_CRASHES sets how many runs (soak: 500), DOVETAIL_SEED the seed, which is printed.
"""

from __future__ import annotations

import faulthandler
import random
import sys
from collections.abc import Iterator

import pytest
from amounts import SEED, amount

from dovetail import flow, task
from dovetail.testing import CrashError, Harness

PATIENCE = 300.0
"""Seconds after which a run hangs."""


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Threads take turns far more often than usual; what hangs says where."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(before)


@task
def leaf(n: int) -> int:
    return n // 2


@task
def after(n: int) -> int:
    return n


@flow
def wide(n: int) -> int:
    leaves = [leaf.submit(i) for i in range(n)]
    return sum(future.result() for future in [after.submit(one) for one in leaves])


def test_submitted_tasks_end_whatever_happens() -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for _ in range(amount("CRASHES", 10)):
        harness = Harness()
        harness.crash_after = rng.randrange(42)
        try:
            found = harness.run(wide, 20)
        except CrashError:
            found = harness.resume()
        assert found.value == 90
        paths = [one.path for one in found.client.tasks()]
        assert len(paths) == len(set(paths)) == 41
