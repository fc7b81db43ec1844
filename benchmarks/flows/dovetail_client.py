"""State and one artifact of every task of the newest run, through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from dovetail.client import Flow

print("MARK import_s", time.perf_counter() - begin)
begin = time.perf_counter()
step = Flow("Fan").latest_run["work"]
got = [(task.successful, task["x"].data) for task in step]
print("MARK read_s", time.perf_counter() - begin)
print("MARK tasks", len(got))
assert all(successful for successful, _ in got)
assert sorted(value for _, value in got) == list(range(len(got)))
