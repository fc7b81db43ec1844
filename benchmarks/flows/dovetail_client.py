"""State and one artifact of every task of the newest run, through the client; prints MARK lines."""

import time

begin = time.perf_counter()
from dovetail.client import Flow

print("MARK import_s", time.perf_counter() - begin)
begin = time.perf_counter()
step = Flow("Fan").latest_run["work"]
print("MARK open_s", time.perf_counter() - begin)
begin = time.perf_counter()
states = step.table(["state"])["state"]
values = step.values("x")
print("MARK read_s", time.perf_counter() - begin)
assert set(states) == {"succeeded"}
assert values == list(range(len(states)))
print("MARK tasks", len(values))

# The same, one object a task.
begin = time.perf_counter()
got = [(task.successful, task["x"].data) for task in step]
print("MARK read_by_task_s", time.perf_counter() - begin)
assert all(successful for successful, _ in got)
assert sorted(value for _, value in got) == values
