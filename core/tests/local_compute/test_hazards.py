"""Flows that can't be forked: the gate says why, and fresh interpreters run them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from dovetail.interfaces.tasks import Isolation
from dovetail.interfaces.workers import Ended, Exited, Started

Drive = Callable[..., Any]

FLOW = """
from dovetail import FlowSpec, step
{prelude}

class Hazard(FlowSpec):
    @step
    def start(self):
{body}
        self.next(self.end)

    @step
    def end(self):
        pass
"""
BOOSTING = """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

def fit():
    x = np.random.default_rng(0).random((300, 4))
    return HistGradientBoostingClassifier(max_iter=3).fit(x, x[:, 0] > 0.5).n_iter_
"""
POLARS = """
import polars as pl

def group():
    return len(pl.DataFrame({"a": [1, 2, 3]}).lazy().group_by("a").agg(pl.len()).collect())
"""


def source(prelude: str, body: str = "self.x = 1") -> str:
    """A flow with something at module level and in its step."""
    return FLOW.format(prelude=textwrap.dedent(prelude), body=textwrap.indent(textwrap.dedent(body), " " * 8))


def needs(*modules: str) -> Any:
    """Skip where a library is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.mark.parametrize(
    ("prelude", "body", "reason"),
    [
        pytest.param(
            """
            import threading, time
            threading.Thread(target=time.sleep, args=(1000,), name="ticker", daemon=True).start()
            """,
            "self.x = 1",
            "thread 'ticker' was started at import",
            id="thread",
        ),
        pytest.param(
            "import _thread, time\n_thread.start_new_thread(time.sleep, (1000,))",
            "self.x = 1",
            "a thread was started at import",
            id="bare-thread",
        ),
        pytest.param(BOOSTING + "fit()", "self.x = fit()", "OpenMP", id="boosting", marks=needs("sklearn")),
        pytest.param(POLARS + "group()", "self.x = group()", "polars", id="polars", marks=needs("polars")),
        pytest.param(
            "import grpc\nchannel = grpc.insecure_channel('127.0.0.1:1')",
            "self.x = 1",
            "gRPC",
            id="grpc",
            marks=needs("grpc"),
        ),
    ],
)
def test_a_hazard_at_import_falls_back_to_spawn(drive: Drive, prelude: str, body: str, reason: str) -> None:
    driver = drive(source(prelude, body))
    flow = driver.begin()
    assert any(reason in hazard for hazard in flow.fork_hazards), flow.fork_hazards
    assert driver.run("start").outcome.error is None
    assert {e.isolation for e in driver.events if isinstance(e, Started)} == {Isolation.SPAWN}
    assert "importing" not in driver.output("start")


@pytest.mark.parametrize(
    ("prelude", "body"),
    [
        pytest.param("import json, logging, socket, sqlite3", "self.x = 1", id="stdlib"),
        pytest.param(
            "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", "self.x = 1", id="thread-ended"
        ),
        pytest.param(
            "import numpy as np\na = np.random.rand(300, 300) @ np.random.rand(300, 300)",
            "self.x = float((a @ a).sum())",
            id="blas-used",
            marks=needs("numpy"),
        ),
        pytest.param(BOOSTING, "self.x = fit()", id="boosting-imported", marks=needs("sklearn")),
        pytest.param(POLARS, "self.x = group()", id="polars-imported", marks=needs("polars")),
    ],
)
def test_importing_alone_is_no_hazard(drive: Drive, prelude: str, body: str) -> None:
    driver = drive(source(prelude, body))
    assert driver.begin().fork_hazards == ()
    assert driver.run("start").outcome.error is None
    assert driver.wait_for(Started).isolation is Isolation.FORK


def test_forking_on_demand_is_refused(drive: Drive) -> None:
    driver = drive(source("import _thread, time\n_thread.start_new_thread(time.sleep, (1000,))"))
    driver.begin()
    worker = driver.group.start(Isolation.FORK, tasks=1)
    driver.assign("start", worker=worker)
    error = driver.wait_for(Ended, worker).outcome.error
    assert error.kind == "start"
    assert "a thread was started at import" in error.message
    assert driver.wait_for(Exited, worker).unstarted == ()


def test_a_spawned_worker_that_cannot_import_says_why(drive: Drive) -> None:
    driver = drive(source("import os\nif os.environ.get('BROKEN') == '1':\n    raise RuntimeError('not here')"))
    driver.begin()
    driver.group._importer._env["BROKEN"] = "1"
    ended = driver.run("start", isolation=Isolation.SPAWN)
    assert (ended.outcome.error.type, ended.outcome.error.kind) == ("RuntimeError", "start")
    assert "not here" in ended.outcome.error.traceback
