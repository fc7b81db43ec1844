"""State and one artifact of every task of the newest run, through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from metaflow import Flow, namespace

print("MARK import_s", time.perf_counter() - begin)
namespace(None)
begin = time.perf_counter()
step = Flow("Fan").latest_run["work"]
print("MARK open_s", time.perf_counter() - begin)
begin = time.perf_counter()
got = [(task.successful, task["x"].data) for task in step]
print("MARK read_s", time.perf_counter() - begin)
print("MARK tasks", len(got))
