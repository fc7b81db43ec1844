"""What a group tells of attempts, in every isolation."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.tasks import Isolation, JoinInput
from dovetail.interfaces.workers import Assignment, Ended, Exited, Failed, Output, Started

Drive = Callable[..., Any]

HELLO = """
    from dovetail import FlowSpec, current, step
    import os, sys

    print("importing")

    class Hello(FlowSpec):
        word = "hi"

        @step
        def start(self):
            self.message = self.word + " there"
            self.pid = os.getpid()
            print("out", current.pathspec)
            print("err", file=sys.stderr)
            os.write(1, b"raw\\n")
            self.next(self.work, foreach=range(20))

        @step
        def work(self):
            print("item", self.input)
            print("to err", self.input, file=sys.stderr)
            self.x = self.input * 2
            self.pid = os.getpid()
            self.next(self.join)

        @step
        def join(self, inputs):
            self.xs = [i.x for i in inputs]
            self.indexes = [i.index for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        raise SystemExit("the block under __main__ ran")
"""

WAYS = [
    pytest.param(Isolation.AUTO, 1, "fork", id="fork"),
    pytest.param(Isolation.FORK, 0, "fork", id="fork-reused"),
    pytest.param(Isolation.SPAWN, 1, "spawn", id="spawn"),
    pytest.param(Isolation.SPAWN, 3, "spawn", id="spawn-reused"),
    pytest.param(Isolation.THREAD, 0, "thread", id="thread"),
    pytest.param(Isolation.INLINE, 0, "inline", id="inline"),
]


@pytest.mark.parametrize(("isolation", "tasks", "real"), WAYS)
def test_an_attempt_ends_with_its_outputs(drive: Drive, isolation: Isolation, tasks: int, real: str) -> None:
    driver = drive(HELLO)
    flow = driver.begin()
    assert (flow.name, flow.module, flow.fork_hazards) == ("Hello", "flow", ())
    ended = driver.run("start", isolation=isolation, tasks=tasks)
    assert ended.outcome.error is None
    assert driver.values(ended.outcome)["message"] == "hi there"
    started = driver.wait_for(Started)
    assert started.isolation == real
    assert driver.values(ended.outcome)["pid"] == started.pid
    assert driver.output("start", "stderr") == "err\n"
    written = driver.output("start", "stdout")
    if isolation is Isolation.THREAD:
        assert written == "out Hello/run1/start\n"
        driver.until(lambda events: "raw" in driver.output(""))
    else:
        assert written == "out Hello/run1/start\nraw\n"
    assert "importing" in driver.output("", "stdout")


@pytest.mark.parametrize(("isolation", "tasks", "real"), WAYS)
def test_output_comes_before_the_end(drive: Drive, isolation: Isolation, tasks: int, real: str) -> None:
    driver = drive(HELLO)
    driver.begin()
    driver.run("start", isolation=isolation, tasks=tasks)
    kinds = [type(e) for e in driver.events if getattr(e, "path", "start") == "start"]
    assert kinds.index(Ended) > max(i for i, kind in enumerate(kinds) if kind is Output)
    assert kinds[-1] is Exited


def test_a_process_of_its_own_has_an_exit_and_usage(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    ended = driver.run("start")
    assert (ended.exit.code, ended.exit.signal) == (0, None)
    assert ended.usage.cpu > 0
    assert ended.usage.memory > 1_000_000
    assert ended.outcome.usage is None


def test_a_reused_process_gives_differences(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    ended = driver.run("start", tasks=0)
    assert ended.exit is None
    assert ended.usage is None
    assert ended.outcome.usage.cpu >= 0


def test_a_thread_gives_only_cpu(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    usage = driver.run("start", isolation=Isolation.THREAD, tasks=0).outcome.usage
    assert usage.cpu >= 0
    assert usage.memory is None


@pytest.mark.parametrize("tasks", [1, 0], ids=["forked", "reused"])
def test_a_foreach_and_its_join(drive: Drive, tasks: int) -> None:
    driver = drive(HELLO)
    driver.begin()
    start = driver.outcome("start")
    scope = driver.commit(start)
    assert (start.next.targets, start.next.length) == (("work",), 20)
    frames = driver.frames(start, scope)
    calls = [driver.call("work", path=f"work[{i}]", scope=scope, frames=frame) for i, frame in enumerate(frames)]
    if tasks == 1:
        for call in calls:
            driver.group.assign(driver.group.start(Isolation.AUTO, tasks=1), [Assignment(call, 1, True)])
    else:
        for half in (calls[::2], calls[1::2]):
            worker = driver.group.start(Isolation.AUTO, tasks=0)
            driver.group.assign(worker, [Assignment(call, 1, True) for call in half])
    driver.wait_for(Ended, count=1 + len(calls))
    outcomes = {e.path: e.outcome for e in driver.events if isinstance(e, Ended)}
    assert all(outcome.error is None for outcome in outcomes.values())
    assert len({driver.values(outcomes[call.path])["pid"] for call in calls}) == (20 if tasks == 1 else 2)
    for i, call in enumerate(calls):
        assert driver.output(call.path, "stdout") == f"item {i}\n"
        assert driver.output(call.path, "stderr") == f"to err {i}\n"
    joined = [
        JoinInput(path=call.path, scope=driver.commit(outcomes[call.path], scope), frames=call.inputs.frames)
        for call in calls
    ]
    values = driver.values(driver.outcome("join", joined=joined))
    assert values == {"xs": [2 * i for i in range(20)], "indexes": list(range(20))}


def test_a_worker_of_n_tasks_ends_after_them(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    worker = driver.group.start(Isolation.AUTO, tasks=2)
    driver.group.assign(worker, [Assignment(driver.call("start", path=f"start#{i}"), 1, True) for i in range(2, 4)])
    assert driver.wait_for(Exited, worker).unstarted == ()
    assert sum(isinstance(e, Ended) for e in driver.events) == 2


def test_finish_lets_the_queue_run_empty(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    worker = driver.group.start(Isolation.AUTO, tasks=0)
    driver.group.assign(worker, [Assignment(driver.call("start", path=f"start#{i}"), 1, True) for i in range(2, 12)])
    driver.group.finish(worker)
    driver.wait_for(Exited, worker)
    assert sum(isinstance(e, Ended) for e in driver.events) == 10


def test_threads_run_at_the_same_time(drive: Drive) -> None:
    driver = drive(
        """
        import threading
        from dovetail import FlowSpec, current, step

        meeting = threading.Barrier(4)

        class Threads(FlowSpec):
            @step
            def start(self):
                print("first", current.task_id)
                meeting.wait(30)
                print("second", current.task_id, end="")
                self.me = current.task_id
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    driver.begin()
    worker = driver.group.start(Isolation.THREAD, tasks=0)
    driver.group.assign(worker, [Assignment(driver.call("start", path=f"start#{i}"), 1, True) for i in range(2, 6)])
    driver.wait_for(Ended, worker, count=4)
    for event in list(driver.events):
        if isinstance(event, Ended):
            assert driver.values(event.outcome)["me"] == event.path
            assert driver.output(event.path) == f"first {event.path}\nsecond {event.path}"


def test_a_flow_in_a_package(drive: Drive, tmp_path: Path) -> None:
    package = tmp_path / "root" / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sibling.py").write_text("")
    driver = drive(
        """
        import sys
        from dovetail import FlowSpec, step
        from . import sibling

        class Packaged(FlowSpec):
            @step
            def start(self):
                self.names = [__name__, sys.modules["__main__"].__name__, sibling.__name__, Packaged.__module__]
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
        name=str(package / "one.py"),
    )
    assert driver.begin().module == "pkg.one"
    assert driver.values(driver.outcome("start"))["names"] == ["pkg.one", "pkg.one", "pkg.sibling", "pkg.one"]


@pytest.mark.parametrize(
    ("source", "type_name", "words"),
    [
        ("def broken(:\n", "SyntaxError", "flow.py"),
        ("import not_there_at_all\n", "ModuleNotFoundError", "not_there_at_all"),
        ("x = 1\n", "dovetail.interfaces.errors.UsageError", "no flow"),
        ("import sys\nsys.exit(3)\n", "SystemExit", "sys.exit(3)"),
        ("import os\nos._exit(3)\n", "", "exited with code 3"),
        ("import os\nos.kill(os.getpid(), 9)\n", "", "killed by SIGKILL"),
    ],
    ids=["syntax", "import", "none", "sys-exit", "os-exit", "killed"],
)
def test_a_flow_that_cannot_be_imported(drive: Drive, source: str, type_name: str, words: str) -> None:
    driver = drive(source)
    error = driver.wait_for(Failed).error
    assert (error.type, error.kind) == (type_name, "start")
    assert words in error.message + error.traceback
    assert "dovetail/worker" not in error.traceback


def test_constants_that_are_large_are_stored_by_the_first_worker(drive: Drive) -> None:
    driver = drive(
        """
        import threading
        from dovetail import FlowSpec, step

        class Constants(FlowSpec):
            small = 3
            large = "x" * 100_000
            table = {"a": list(range(1000))}
            lock = threading.Lock()

            @step
            def start(self):
                self.sizes = [self.small, len(self.large), len(self.table["a"])]
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    flow = driver.begin()
    assert set(flow.constants) == {"small", "large", "table"}
    assert [flow.constants[name].get("object") for name in ("small", "large", "table")] == [None, "", ""]
    for _ in range(10):
        assert driver.values(driver.outcome("start")) == {"sizes": [3, 100_000, 1000]}
    told = {event.worker for event in driver.events if isinstance(event, Exited)}
    assert len(told) == 10, "of the worker that stored them, which nobody asked for, nothing is told"


def test_random_numbers_differ_between_siblings(drive: Drive) -> None:
    pytest.importorskip("numpy")
    driver = drive(
        """
        import random
        import numpy as np
        from dovetail import FlowSpec, step

        class Random(FlowSpec):
            @step
            def start(self):
                self.drawn = [random.random(), float(np.random.rand())]
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    driver.begin()
    drawn = [driver.values(driver.outcome("start"))["drawn"] for _ in range(4)]
    assert len({row[0] for row in drawn}) == 4
    assert len({row[1] for row in drawn}) == 4


def test_exit_hooks_and_threads_of_a_step_are_waited_for(drive: Drive) -> None:
    driver = drive(
        """
        import atexit, os, threading, time
        from dovetail import FlowSpec, step

        atexit.register(print, "registered at import")

        class Hooks(FlowSpec):
            @step
            def start(self):
                atexit.register(print, "registered in the step")
                threading.Thread(target=lambda: (time.sleep(0.1), print("from a thread"))).start()
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    driver.begin()
    ended = driver.run("start")
    assert ended.exit.code == 0
    assert driver.output("start") == "from a thread\nregistered in the step\n"


def test_environment_variables_of_a_step(drive: Drive) -> None:
    driver = drive(
        """
        import os
        from dovetail import FlowSpec, step

        class Variables(FlowSpec):
            @step
            def start(self):
                self.seen = os.environ.get("COLOUR")
                self.next(self.end)

            @step
            def end(self):
                self.seen = os.environ.get("COLOUR")
        """,
        launch={"env": {"COLOUR": "of the launch"}},
    )
    driver.begin(settings={"environment_variables": {"start": {"COLOUR": "of the step"}}})
    worker = driver.group.start(Isolation.AUTO, tasks=2)
    driver.assign("start", worker=worker)
    driver.assign("end", worker=worker)
    driver.wait_for(Exited, worker)
    seen = [driver.values(e.outcome)["seen"] for e in driver.events if isinstance(e, Ended)]
    assert seen == ["of the step", "of the launch"]


def test_close_ends_everything(drive: Drive) -> None:
    driver = drive(HELLO)
    driver.begin()
    driver.run("start")
    pid = driver.group._importer.pid
    driver.group.close()
    driver.group.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
