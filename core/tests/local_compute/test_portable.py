"""The way of systems without fork, epoll and process groups, forced."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.tasks import Isolation
from dovetail.interfaces.workers import Assignment, Ended, Exited, Failed, Started

Drive = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("portable")

FLOW = """
    import os, sys, time
    from dovetail import FlowSpec, step

    print("importing")

    class Portable(FlowSpec):
        large = "x" * 100_000

        @step
        def start(self):
            self.pid = os.getpid()
            self.size = len(self.large)
            print("out", self.size)
            print("err", file=sys.stderr)
            self.next(self.end)

        @step
        def exits(self):
            print("before", flush=True)
            os._exit(7)

        @step
        def stuck(self):
            print("stuck", os.getpid())
            time.sleep(1000)

        @step
        def closes(self):
            print("before")
            sys.stdout.flush()
            os.close(1)
            self.next(self.end)

        @step
        def end(self):
            print("end")
"""


@pytest.mark.parametrize(
    ("isolation", "tasks"),
    [(Isolation.AUTO, 1), (Isolation.AUTO, 0), (Isolation.THREAD, 0), (Isolation.INLINE, 0)],
)
def test_an_attempt(drive: Drive, isolation: Isolation, tasks: int) -> None:
    driver = drive(FLOW)
    assert driver.begin().fork_hazards
    ended = driver.run("start", isolation=isolation, tasks=tasks)
    assert ended.outcome.error is None
    assert driver.values(ended.outcome)["size"] == 100_000
    assert driver.output("start", "stdout") == "out 100000\n"
    assert driver.output("start", "stderr") == "err\n"
    assert "importing" in driver.output("")


def test_output_of_a_reused_process_is_told_apart(drive: Drive) -> None:
    driver = drive(FLOW)
    driver.begin()
    worker = driver.group.start(Isolation.AUTO, tasks=30)
    calls = [driver.call("start" if i % 2 else "end", path=f"x#{i}") for i in range(2, 32)]
    driver.group.assign(worker, [Assignment(call, 1, True) for call in calls])
    driver.wait_for(Exited, worker)
    for call in calls:
        assert driver.output(call.path, "stdout") == ("out 100000\n" if call.step == "start" else "end\n")
        ended = next(i for i, e in enumerate(driver.events) if isinstance(e, Ended) and e.path == call.path)
        assert all(getattr(e, "path", "") != call.path for e in driver.events[ended + 1 :])


def test_a_step_that_closes_its_output_still_ends(drive: Drive) -> None:
    driver = drive(FLOW)
    driver.begin()
    worker = driver.group.start(Isolation.AUTO, tasks=2)
    for path in ("closes#2", "closes#3"):
        driver.assign("closes", worker=worker, path=path)
    driver.wait_for(Exited, worker)
    ends = [e for e in driver.events if isinstance(e, Ended)]
    assert [e.path for e in ends] == ["closes#2", "closes#3"]
    assert driver.output("closes#2") == "before\n"


def test_the_process_that_described_runs_the_first_worker(drive: Drive) -> None:
    driver = drive(FLOW.replace("100_000", "1"))
    describer = driver.group._importer.pid
    driver.begin()
    for _ in range(2):
        driver.outcome("end")
    first, second = [e.pid for e in driver.events if isinstance(e, Started)]
    assert first == describer != second


def test_deaths(drive: Drive) -> None:
    driver = drive(FLOW)
    driver.begin()
    ended = driver.run("exits")
    assert (ended.outcome, ended.exit.code) == (None, 7)
    assert driver.output("exits") == "before\n"
    worker = driver.assign("stuck")
    driver.wait_for_output("stuck")
    driver.group.kill(worker, grace=5.0)
    assert driver.wait_for(Ended, worker).outcome is None
    assert driver.wait_for(Started, worker).isolation is Isolation.SPAWN


def test_a_flow_that_cannot_be_imported(drive: Drive) -> None:
    assert drive("import not_there\n").wait_for(Failed).error.type == "ModuleNotFoundError"
    assert drive("import os\nos._exit(3)\n").wait_for(Failed).error.kind == "start"


def test_nothing_but_posix_free_modules_is_imported(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(textwrap.dedent(FLOW))
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name in {"fcntl", "resource", "pwd", "grp", "termios", "_posixshmem"}:
                    raise ImportError(f"{name} is not on this system")

        sys.meta_path.insert(0, Refuse())
        sys.path.insert(0, sys.argv[1])
        from conftest import Driver

        driver = Driver(Path(sys.argv[2]), Path(sys.argv[2], "flow.py").read_text())
        driver.begin()
        print(driver.run("start").outcome.error, driver.run("start", tasks=0).outcome.error)
        driver.group.close()
        """
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.stdout == "None None\n", done.stderr
