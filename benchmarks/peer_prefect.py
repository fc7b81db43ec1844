"""Prefect's runs of the cases, with the ephemeral SQLite server of a fresh install; `served`, with one kept running."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from environments import FLOWS, STATE, home, program, python, variables
from harness import Measured, descendants, disk, measure
from timing import Run, imported_modules, over_bare, repeat, reps, started_at_once

__all__ = ["CASES", "PEER", "SERVED_CASES", "run_flow", "server", "with_database"]

PEER = "prefect"


def run_flow(
    folder: Path, name: str, *, timeout: float = 900, pss_every: float | None = None, **more: object
) -> Measured:
    return measure(
        [python(PEER), FLOWS / f"prefect_{name}.py"],
        env=variables(PEER, folder, **more),
        cwd=STATE,
        timeout=timeout,
        pss_every=pss_every,
    )


def with_database(name: str) -> Path:
    """A fresh home in which a first run has made the database."""
    folder = home(PEER, name, fresh=True)
    run_flow(folder, "hello")
    return folder


def _recorded(folder: Path) -> Run:
    """Task runs on record for the newest flow run."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/prefect.db?mode=ro", uri=True, timeout=30)) as database:
        (count,) = database.execute(
            "select count(*) from task_run where flow_run_id = "
            "(select id from flow_run order by start_time desc limit 1)"
        ).fetchone()
    return {"recorded": float(count)}


def _rate(width: int, folder: Path, measured: Measured) -> Run:
    return {
        "tasks_per_s": width / measured.numbers["wall"],
        "cpu_ms_per_task": measured.numbers["cpu"] / width * 1e3,
        **_recorded(folder),
    }


def case_import() -> list[Run]:
    statement, env = "from prefect import flow, task", variables(PEER, home(PEER, "import"))
    modules = imported_modules(python(PEER), statement, env)
    runs = over_bare(python(PEER), [python(PEER), "-c", statement], env, reps(5))
    return [{**run, "modules": modules} for run in runs]


def case_help() -> list[Run]:
    return over_bare(python(PEER), [program(PEER, PEER), "--help"], variables(PEER, home(PEER, "help")), reps(5))


def case_hello3() -> list[Run]:
    folder = with_database("hello3")
    return repeat(reps(3, slow=True), lambda: run_flow(folder, "hello"), warm=0)


def case_chain100() -> list[Run]:
    folder = with_database("chain100")
    return repeat(reps(2, slow=True), lambda: run_flow(folder, "chain"), warm=0, numbers=lambda _: _recorded(folder))


def case_fan1000() -> list[Run]:
    """In processes, as the others: its pool keeps two of them."""
    folder = with_database("fan1000processes")
    return repeat(
        1,
        lambda: run_flow(folder, "fan", FAN_N=1000, FAN_RUNNER="process", FAN_WORKERS=2),
        warm=0,
        numbers=lambda run: _rate(1000, folder, run),
    )


def case_fan1000threads() -> list[Run]:
    folder = with_database("fan1000")
    return repeat(
        reps(2, slow=True),
        lambda: run_flow(folder, "fan", FAN_N=1000),
        warm=0,
        numbers=lambda run: _rate(1000, folder, run),
    )


def case_fan10000() -> list[Run]:
    folder = with_database("fan10000")
    return repeat(
        1,
        lambda: run_flow(folder, "fan", FAN_N=10_000, timeout=1200),
        warm=0,
        numbers=lambda run: _rate(10_000, folder, run),
    )


def case_pss100() -> list[Run]:
    folder = with_database("pss100")
    return repeat(
        reps(2, slow=True), lambda: run_flow(folder, "fan", FAN_N=100, FAN_SLEEP=0.25, pss_every=0.25), warm=0
    )


def _kept_results() -> Path:
    """State of a run of 1,000 tasks whose results are kept; made when it is not there yet."""
    folder = home(PEER, "cached1000")
    if not (folder / "storage").exists():
        repeat(1, lambda: run_flow(folder, "fan", FAN_N=1000, FAN_CACHE=1), warm=0)
    return folder


def case_files1000() -> list[Run]:
    folder = _kept_results()
    kept = disk(folder)
    return [{"files": kept["files"], "allocated_mb": kept["allocated"] / 1e6, "mb": kept["bytes"] / 1e6}]


def case_client1000() -> list[Run]:
    folder = _kept_results()
    return repeat(reps(2, slow=True), lambda: run_flow(folder, "client"), warm=0)


def case_resume1000() -> list[Run]:
    """It has no resume; a second run that takes every result from the cache comes nearest."""
    folder = _kept_results()
    return repeat(reps(2, slow=True), lambda: run_flow(folder, "fan", FAN_N=1000, FAN_CACHE=1), warm=0)


def case_twenty() -> list[Run]:
    folder = with_database("twenty")
    command = [python(PEER), FLOWS / "prefect_hello.py"]
    return repeat(1, lambda: started_at_once(20, command, variables(PEER, folder)), warm=0)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server on a free port of this machine, and its address."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    process = subprocess.Popen(
        [program(PEER, PEER), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **variables(PEER, folder)},
        cwd=STATE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2).read()
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        left = descendants(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for one in [process.pid, *left]:
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        process.wait()


def served_hello3() -> list[Run]:
    folder = with_database("served")
    with server(folder) as url:
        return repeat(reps(5), lambda: run_flow(folder, "hello", PREFECT_API_URL=url))


def served_twenty() -> list[Run]:
    folder = with_database("served")
    with server(folder) as url:
        env = variables(PEER, folder, PREFECT_API_URL=url)
        return repeat(1, lambda: started_at_once(20, [python(PEER), FLOWS / "prefect_hello.py"], env), warm=0)


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
SERVED_CASES = {name.removeprefix("served_"): case for name, case in globals().items() if name.startswith("served_")}
