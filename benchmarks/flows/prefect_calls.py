"""FAN_N tasks called one after the other in one flow, each in the flow's own thread; prints MARK lines."""

import os
import time

from prefect import flow, task

COUNT = int(os.environ.get("FAN_N", "100"))


@task
def work(i):
    return i


@flow
def called():
    begin = time.perf_counter()
    for i in range(COUNT):
        assert work(i) == i
    taken = time.perf_counter() - begin
    print("MARK in_flow_s", taken)
    print("MARK ms_per_task", taken / COUNT * 1e3, flush=True)


if __name__ == "__main__":
    called()
