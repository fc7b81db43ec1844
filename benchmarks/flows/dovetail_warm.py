"""A flow of 3 inline tasks called FAN_N times in one process: `dovetail_warm.py runs|tests`, with a home, or by the
test harness in memory. Prints MARK lines: the median call, and the first, with what it imports and starts."""

import statistics
import sys
import time

from dovetail_functions import COUNT, hello


def test_run():
    from dovetail.testing import run

    run(hello)


once = {"runs": hello, "tests": test_run}[sys.argv[1]]
taken = []
for _ in range(COUNT + 1):
    begin = time.perf_counter()
    once()
    taken.append((time.perf_counter() - begin) * 1e3)
print("MARK first_ms", taken[0])
print("MARK call_ms", statistics.median(taken[1:]))
