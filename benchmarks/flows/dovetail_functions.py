"""Function flows over FAN_N tasks that do nothing. FAN_ISOLATION, FAN_CACHE=1: of the tasks. FAN_KILL: id of the
driver, which is killed, and the body's process with it, as soon as the last task has returned."""

import os
import signal
import time

from dovetail import flow, task

COUNT = int(os.environ.get("FAN_N", "100"))
OPTIONS = {}
if "FAN_ISOLATION" in os.environ:
    OPTIONS["isolation"] = os.environ["FAN_ISOLATION"]
if os.environ.get("FAN_CACHE") == "1":
    OPTIONS["cache"] = "inputs+code+environment"


@task
def noop(x=None):
    return None


@task(**OPTIONS)
def work(i):
    return i


@flow
def hello():
    noop(noop(noop()))


@flow
def mapped():
    begin = time.perf_counter()
    assert len(work.map(range(COUNT)).result()) == COUNT
    end(begin)


@flow
def called():
    begin = time.perf_counter()
    for i in range(COUNT):
        assert work(i) == i
    end(begin)


def end(begin):
    taken = time.perf_counter() - begin
    print("MARK in_flow_s", taken)
    print("MARK ms_per_task", taken / COUNT * 1e3, flush=True)
    if "FAN_KILL" in os.environ:
        os.kill(int(os.environ["FAN_KILL"]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    hello()
