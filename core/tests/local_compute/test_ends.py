"""How attempts end that do not end by themselves, and what becomes of everything around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.tasks import Isolation
from dovetail.interfaces.workers import Assignment, Ended, Exited, Failed, Started

Drive = Callable[..., Any]

DEATHS = """
    import ctypes, os, signal, subprocess, sys, time
    from dovetail import FlowSpec, current, step

    class Deaths(FlowSpec):
        @step
        def start(self):
            print("begins", current.task_id)
            self.next(self.end)

        @step
        def segfault(self):
            print("before")
            ctypes.string_at(1)

        @step
        def exits(self):
            print("before", flush=True)
            os._exit(7)

        @step
        def sys_exits(self):
            sys.exit(3)

        @step
        def kills_itself(self):
            ballast = b"x" * 60_000_000
            os.kill(os.getpid(), signal.SIGKILL)

        @step
        def stuck(self):
            print("stuck", os.getpid())
            sys.stdout.write("no newline")
            sys.stdout.flush()
            ctypes.CDLL(None).pause()

        @step
        def stubborn(self):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("stubborn", os.getpid())
            while True:
                time.sleep(1000)

        @step
        def parent(self):
            child = subprocess.Popen(["sleep", "1000"])
            daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            print("family", child.pid, daemon.pid)
            time.sleep(1000)

        @step
        def leaves(self):
            self.pids = [
                subprocess.Popen(["sleep", "1000"]).pid,
                subprocess.Popen(["sleep", "1000"], start_new_session=True).pid,
            ]
            self.next(self.end)

        @step
        def end(self):
            pass
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until_dead(*pids: int) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.01)


@pytest.mark.parametrize("tasks", [1, 0], ids=["forked", "reused"])
@pytest.mark.parametrize(
    ("step", "code", "number"), [("segfault", None, signal.SIGSEGV), ("exits", 7, None)], ids=["segfault", "exit"]
)
def test_a_death_is_told_with_its_output(drive: Drive, step: str, code: int, number: int, tasks: int) -> None:
    driver = drive(DEATHS)
    driver.begin()
    ended = driver.run(step, tasks=tasks)
    assert ended.outcome is None
    assert (ended.exit.code, ended.exit.signal) == (code, number)
    assert not ended.exit.out_of_memory
    assert driver.output(step, "stdout") == "before\n"
    if step == "segfault":
        assert "Segmentation fault" in driver.output(step, "stderr")
        assert "in segfault" in driver.output(step, "stderr")
    assert (ended.usage is not None) == (tasks == 1)


def test_sys_exit_is_an_error_of_the_step(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    ended = driver.run("sys_exits")
    assert (ended.outcome.error.kind, ended.outcome.error.type) == ("exit", "SystemExit")
    assert ended.exit.code == 3


def test_kill_9_from_outside(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.assign("stuck")
    driver.wait_for_output("no newline")
    os.kill(driver.started(worker).pid, signal.SIGKILL)
    ended = driver.wait_for(Ended, worker)
    assert (ended.outcome, ended.exit.signal) == (None, signal.SIGKILL)
    assert ended.usage.cpu > 0
    assert driver.output("stuck").endswith("no newline")
    assert driver.wait_for(Exited, worker).unstarted == ()
    assert driver.run("start").outcome.error is None


@pytest.mark.parametrize("isolation", [Isolation.FORK, Isolation.SPAWN])
@pytest.mark.parametrize("tasks", [1, 0], ids=["alone", "reused"])
def test_a_short_life_has_its_memory_told(drive: Drive, isolation: Isolation, tasks: int) -> None:
    """Also of a process that ended before anybody had looked at its size."""
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.group.start(isolation, tasks=tasks)
    driver.group._sampled = float("inf")
    driver.assign("kills_itself", worker=worker)
    ended = driver.wait_for(Ended, worker)
    assert ended.exit.signal == signal.SIGKILL
    assert ended.exit.last_memory > 60_000_000


def test_only_the_task_that_began_dies_with_a_reused_worker(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.group.start(Isolation.AUTO, tasks=0)
    steps = ["start", "exits", "start", "start"]
    calls = [driver.call(step, path=f"{step}#{i}") for i, step in enumerate(steps, 2)]
    driver.group.assign(worker, [Assignment(call, 1, True) for call in calls])
    assert driver.wait_for(Exited, worker).unstarted == ("start#4", "start#5")
    ends = [e for e in driver.events if isinstance(e, Ended)]
    assert [(e.path, e.outcome is None) for e in ends] == [("start#2", False), ("exits#3", True)]
    assert driver.output("exits#3", "stdout") == "before\n"


@pytest.mark.parametrize(
    ("step", "grace", "number"),
    [("stuck", 5.0, signal.SIGTERM), ("stubborn", 0.1, signal.SIGKILL), ("stuck", 0.0, signal.SIGKILL)],
    ids=["term", "term-ignored", "at-once"],
)
@pytest.mark.parametrize("isolation", [Isolation.FORK, Isolation.SPAWN])
def test_kill(drive: Drive, step: str, grace: float, number: int, isolation: Isolation) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.group.start(isolation, tasks=1)
    driver.assign(step, worker=worker)
    driver.wait_for_output(step)
    driver.group.kill(worker, grace=grace)
    assert driver.wait_for(Ended, worker).exit.signal == number
    assert driver.output(step).startswith(step)
    driver.group.kill(worker, grace=grace)  # gone already


@pytest.mark.parametrize("isolation", [Isolation.FORK, Isolation.SPAWN])
def test_kill_takes_what_the_task_started(drive: Drive, isolation: Isolation) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.group.start(isolation, tasks=1)
    driver.assign("parent", worker=worker)
    driver.wait_for_output("family")
    pids = [int(word) for word in driver.output("parent").split()[1:3]]
    driver.group.kill(worker, grace=1.0)
    driver.wait_for(Exited, worker)
    wait_until_dead(*pids)


def test_what_a_task_leaves_behind_is_ended(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    in_group, daemon = driver.values(driver.outcome("leaves"))["pids"]
    wait_until_dead(in_group)
    driver.group.close()
    wait_until_dead(daemon)


def test_a_worker_that_is_killed_before_it_begins_loses_nothing(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.group.start(Isolation.SPAWN, tasks=0)
    driver.group.assign(worker, [Assignment(driver.call("start"), 1, True)])
    driver.group.kill(worker, grace=0.0)
    assert driver.wait_for(Exited, worker).unstarted == ("start",)
    assert not any(isinstance(e, Ended) for e in driver.events)


def test_death_of_the_warm_parent(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    one = driver.assign("parent")
    many = driver.group.start(Isolation.AUTO, tasks=0)
    for path in ("stuck#2", "stuck#3"):
        driver.assign("stuck", worker=many, path=path)
    driver.wait_for_output("family")
    driver.wait_for_output("no newline")
    pids = [int(word) for word in driver.output("parent").split()[1:3]]
    workers = [driver.started(one).pid, driver.started(many).pid]
    os.kill(driver.group._importer.pid, signal.SIGKILL)
    assert driver.wait_for(Failed).error.kind == "lost"
    ends = {e.path: e for e in driver.events if isinstance(e, Ended)}
    assert set(ends) == {"parent", "stuck#2"}
    assert all(e.outcome is None and e.exit is None for e in ends.values())
    assert driver.wait_for(Exited, many).unstarted == ("stuck#3",)
    wait_until_dead(*workers, pids[0])
    driver.group.close()
    wait_until_dead(*pids)
    assert isinstance(driver.events[-1], Failed)


def test_a_result_that_was_sent_survives_the_warm_parent(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.assign("start")
    while driver.group.next_wake() is None or not driver.group._workers[worker].begun:
        driver.events += driver.group.read()
        if any(isinstance(e, Ended) for e in driver.events):
            return  # it was faster
    time.sleep(0.1)
    os.kill(driver.group._importer.pid, signal.SIGKILL)
    driver.wait_for(Failed)
    assert driver.wait_for(Ended, worker).outcome is not None


def test_everything_dies_with_the_driver(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(textwrap.dedent(DEATHS))
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            sys.path.insert(0, sys.argv[1])
            from conftest import Driver
            from dovetail.interfaces.tasks import Isolation

            driver = Driver(Path(sys.argv[2]), Path(sys.argv[2], "flow.py").read_text())
            driver.begin()
            driver.assign("parent")
            spawned = driver.group.start(Isolation.SPAWN, tasks=1)
            driver.assign("stuck", worker=spawned)
            driver.wait_for_output("family")
            driver.wait_for_output("no newline")
            pids = driver.output("parent").split()[1:2] + driver.output("stuck").split()[1:2]
            print(driver.group._importer.pid, *pids, *(driver.started(w).pid for w in (1, 2)), flush=True)
            driver.until(lambda events: False)
            """
        )
    )
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 5
        assert all(map(is_alive, pids))
        process.kill()
    wait_until_dead(*pids)


def test_workers_that_never_begin_do_not_go_round_for_ever(drive: Drive, tmp_path: Path) -> None:
    driver = drive(
        """
        import os
        from dovetail import FlowSpec, step

        os.register_at_fork(after_in_child=lambda: os._exit(9))

        class Stillborn(FlowSpec):
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    driver.begin()
    for _ in range(2):
        worker = driver.assign("start")
        assert driver.wait_for(Exited, worker).unstarted == ("start",)
    worker = driver.assign("start")
    ended = driver.wait_for(Ended, worker)
    assert (ended.outcome.error.kind, ended.exit.code) == ("start", 9)
    assert "exit code 9" in ended.outcome.error.message
    assert driver.wait_for(Exited, worker).unstarted == ()


def test_a_kernel_without_pidfds(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    driver = drive(DEATHS)
    driver.begin()
    for isolation in (Isolation.FORK, Isolation.SPAWN):
        assert driver.run("start", isolation=isolation).outcome.error is None
        assert driver.run("exits", isolation=isolation).exit.code == 7
    os.kill(driver.group._importer.pid, signal.SIGKILL)
    assert driver.wait_for(Failed).error.kind == "lost"


def _control_group(controller: str, setting: str, value: int) -> Path | None:
    """A new control group for a test, where this process may make one."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == controller:
            folder = Path(f"/sys/fs/cgroup/{controller}{path}") / f"dovetail-test-{os.getpid()}"
            try:
                folder.mkdir()
                (folder / setting).write_text(str(value))
            except OSError:
                return None
            return folder
    return None


def _drive_in(folder: Path, tmp_path: Path, flow: str, script: str) -> str:
    """What a driver inside of a control group prints."""
    (tmp_path / "flow.py").write_text(textwrap.dedent(flow))
    begin = """
        import os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from conftest import Driver
        from dovetail.interfaces.workers import Ended, Exited

        group = Path(sys.argv[3])
        (group / "cgroup.procs").write_text(str(os.getpid()))
        driver = Driver(Path(sys.argv[2]), Path(sys.argv[2], "flow.py").read_text())
        driver.begin()
    """
    code = textwrap.dedent(begin) + textwrap.dedent(script) + "\ndriver.group.close()\n"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout
    finally:
        folder.rmdir()


def test_a_machine_that_takes_no_more_processes(tmp_path: Path) -> None:
    folder = _control_group("pids", "pids.max", 100)
    if folder is None:
        pytest.skip("no control group for processes can be made here")
    script = """
        (group / "pids.max").write_text((group / "pids.current").read_text())
        for _ in range(2):
            worker = driver.assign("start")
            assert driver.wait_for(Exited, worker).unstarted == ("start",)
        error = driver.wait_for(Ended, driver.assign("start")).outcome.error
        print(error.kind, error.message)
        (group / "pids.max").write_text("100")
        assert driver.run("start").outcome.error is None
    """
    printed = _drive_in(folder, tmp_path, DEATHS, script)
    assert printed.startswith("start no process can be started: ")


HUNGRY = """
    import os
    from dovetail import FlowSpec, step

    class Hungry(FlowSpec):
        @step
        def start(self):
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20)))

        @step
        def killed(self):
            os.kill(os.getpid(), 9)

        @step
        def end(self):
            pass
"""


def test_out_of_memory_is_told_by_the_kernel(tmp_path: Path) -> None:
    folder = _control_group("memory", "memory.limit_in_bytes", 200 << 20)
    if folder is None:
        pytest.skip("no control group for memory can be made here")
    script = """
        for step in ("killed", "start", "killed"):
            exit = driver.run(step).exit
            print(exit.signal, exit.out_of_memory)
    """
    assert _drive_in(folder, tmp_path, HUNGRY, script) == "9 False\n9 True\n9 False\n"


def test_the_last_memory_is_sampled(drive: Drive) -> None:
    driver = drive(DEATHS)
    driver.begin()
    worker = driver.assign("stuck")
    driver.wait_for_output("no newline")
    driver.until(lambda events: driver.group._workers[worker].last_memory is not None)
    os.kill(driver.wait_for(Started, worker).pid, signal.SIGKILL)
    assert driver.wait_for(Ended, worker).exit.last_memory > 1_000_000
