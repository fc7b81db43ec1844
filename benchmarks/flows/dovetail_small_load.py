"""All artifacts of the first task of the newest run, each through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from dovetail.client import Flow

print("MARK import_s", time.perf_counter() - begin)
begin = time.perf_counter()
task = Flow("Small").latest_run["start"].task
print("MARK open_s", time.perf_counter() - begin)
begin = time.perf_counter()
got = {artifact.name: artifact.data for artifact in task}
print("MARK read_s", time.perf_counter() - begin)
print("MARK values", len(got))
assert got["v2"] == {"i": 2, "half": 1.0}

# The same, all at once, by another client object.
task = Flow("Small").latest_run["start"].task
begin = time.perf_counter()
values = task.values()
print("MARK read_at_once_s", time.perf_counter() - begin)
assert values == got
