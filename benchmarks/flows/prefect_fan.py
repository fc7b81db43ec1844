"""FAN_N tasks mapped in one flow. FAN_RUNNER=thread|process, FAN_WORKERS, FAN_CACHE=1 (results kept), FAN_SLEEP."""

import os
import time

from prefect import flow, task
from prefect.cache_policies import INPUTS, NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

COUNT = int(os.environ.get("FAN_N", "100"))
WORKERS = int(os.environ.get("FAN_WORKERS", "16"))
CACHE = os.environ.get("FAN_CACHE") == "1"
SLEEP = float(os.environ.get("FAN_SLEEP", "0"))
RUNNER = ProcessPoolTaskRunner if os.environ.get("FAN_RUNNER") == "process" else ThreadPoolTaskRunner


@task(cache_policy=INPUTS if CACHE else NO_CACHE, persist_result=CACHE)
def work(i):
    if SLEEP:
        time.sleep(SLEEP)
    return i


@flow(task_runner=RUNNER(max_workers=WORKERS))
def fan():
    begin = time.perf_counter()
    assert len(work.map(list(range(COUNT))).result()) == COUNT
    print("MARK in_flow_s", time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    fan()
