"""A flow of 3 tasks called FAN_N times in one process: `prefect_warm.py runs|tests`, as it is, or each in a test
harness of its own. Prints MARK lines: the median call, and the first."""

import contextlib
import os
import statistics
import sys
import time

from prefect_hello import hello

COUNT = int(os.environ.get("FAN_N", "10"))


def harness():
    if sys.argv[1] == "runs":
        return contextlib.nullcontext()
    from prefect.testing.utilities import prefect_test_harness

    return prefect_test_harness()


taken = []
for _ in range(COUNT + 1):
    begin = time.perf_counter()
    with harness():
        hello()
    taken.append((time.perf_counter() - begin) * 1e3)
print("MARK first_ms", taken[0])
print("MARK call_ms", statistics.median(taken[1:] or taken))
