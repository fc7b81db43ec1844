"""Flows that can't be forked run all the same, every time, and say why their tasks are processes of their own.

DOVETAIL_FALLBACKS sets how often each of them runs (soak: 50).
"""

from __future__ import annotations

import pytest
from amounts import amount
from flowproject import FlowProject

TIMES = amount("FALLBACKS", 1)

FLOW = """
class Hazard(FlowSpec):
    @step
    def start(self):
        self.first = work()
        self.next(self.each, foreach=[1, 2])

    @step
    def each(self):
        self.value = work() * self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.values = [inputs[0].first, *(one.value for one in inputs)]
        self.next(self.end)

    @step
    def end(self):
        self.again = work()
"""
BOOSTING = """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

def work():
    x = np.random.default_rng(0).random((300, 4))
    return HistGradientBoostingClassifier(max_iter=3).fit(x, x[:, 0] > 0.5).n_iter_

work()
"""
THREAD = """
import queue, threading

asked, answered = queue.Queue(), queue.Queue()

def serve():
    while True:
        answered.put(asked.get() + 2)

threading.Thread(target=serve, name="server", daemon=True).start()

def work():
    asked.put(1)
    return answered.get()
"""
POLARS = """
import polars as pl

def work():
    frame = pl.DataFrame({"a": [1, 2, 3] * 1000})
    return len(frame.lazy().group_by("a").agg(pl.len()).collect())

work()
"""
GRPC = """
from concurrent.futures import ThreadPoolExecutor

import grpc

def answer(asked, context):
    return asked + b"!"

handlers = {"ask": grpc.unary_unary_rpc_method_handler(answer)}
server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Echo", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")

def work():
    return len(channel.unary_unary("/Echo/ask")(b"ab", timeout=60))

work()
"""


@pytest.mark.parametrize("turn", range(TIMES))
@pytest.mark.parametrize(
    ("prelude", "reason"),
    [
        pytest.param(BOOSTING, "OpenMP", id="boosting"),
        pytest.param(THREAD, "thread 'server' was started at import", id="thread"),
        pytest.param(POLARS, "polars", id="polars"),
        pytest.param(GRPC, "gRPC", id="grpc"),
    ],
)
def test_it_succeeds_and_says_why(project: FlowProject, prelude: str, reason: str, turn: int) -> None:
    project.write(prelude + FLOW)
    said = project.ok("run", "flow.py")
    assert "tasks run in fresh processes (spawn): " in said.err
    assert reason in said.err
    data = project.data(said.run)
    assert (data.values, data.again) == ([3, 3, 6], 3)
    ran = {task.path: (task.metadata["isolation"], task.attempt) for task in project.run(said.run).tasks()}
    assert ran == dict.fromkeys(["start", "each[0]", "each[1]", "join", "end"], ("spawn", 1))
