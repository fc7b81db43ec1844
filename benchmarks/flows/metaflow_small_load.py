"""All artifacts of the first task of the newest run, each through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from metaflow import Flow, namespace

print("MARK import_s", time.perf_counter() - begin)
namespace(None)
begin = time.perf_counter()
task = Flow("Small").latest_run["start"].task
print("MARK open_s", time.perf_counter() - begin)
begin = time.perf_counter()
got = {artifact.id: artifact.data for artifact in task}
print("MARK read_s", time.perf_counter() - begin)
print("MARK values", sum(name.startswith("v") and name[1:].isdigit() for name in got))
assert got["v2"] == {"i": 2, "half": 1.0}
