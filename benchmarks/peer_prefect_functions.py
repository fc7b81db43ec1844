"""Prefect's runs of the cases of function flows. It replays nothing, so `replay10000` has no like there."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import peer_prefect
from environments import FLOWS, STATE, home, python, variables
from harness import Measured, measure
from peer_prefect import PEER, run_flow, server, with_database
from timing import Run, UnexpectedExitError, repeat, reps

__all__ = ["CASES", "SERVED_CASES"]

SETTLE_SECONDS = 180


def case_flow3called() -> list[Run]:
    return peer_prefect.case_hello3()


def _warm(folder: Path, what: str, count: int, **more: object) -> Measured:
    env = variables(PEER, folder, FAN_N=count, **more)
    return measure([python(PEER), FLOWS / "prefect_warm.py", what], env=env, cwd=STATE)


def case_flowwarm() -> list[Run]:
    folder = with_database("flowwarm")
    return repeat(reps(2, slow=True), lambda: _warm(folder, "runs", 10), warm=0)


def case_flowtest() -> list[Run]:
    """Each flow in a harness of its own, as a fixture of a test makes it."""
    folder = home(PEER, "flowtest", fresh=True)
    return repeat(1, lambda: _warm(folder, "tests", 2), warm=0)


def case_call1000() -> list[Run]:
    folder = with_database("call1000")
    return repeat(reps(2, slow=True), lambda: run_flow(folder, "calls", FAN_N=1000), warm=0)


def case_map1000() -> list[Run]:
    return peer_prefect.case_fan1000threads()


def case_map1000fork() -> list[Run]:
    return peer_prefect.case_fan1000()


def case_cached1000() -> list[Run]:
    return peer_prefect.case_resume1000()


def case_metadata1000() -> list[Run]:
    """With a server that keeps running: only then all tasks are on record at last."""
    folder = with_database("metadata1000")
    with server(folder) as url:
        before = _metadata(folder)
        repeat(1, lambda: run_flow(folder, "fan", FAN_N=1000, PREFECT_API_URL=url), warm=0)
        ended = time.monotonic()
        while (after := _metadata(folder))["tasks"] - before["tasks"] < 1000:
            if time.monotonic() - ended > SETTLE_SECONDS:
                raise UnexpectedExitError(f"{after['tasks'] - before['tasks']:.0f} of 1,000 tasks are on record")
            time.sleep(0.5)
        all_recorded = time.monotonic() - ended
        time.sleep(5)  # events follow the tasks
        after = _metadata(folder)
    return [
        {
            "metadata_rows_per_task": (after["rows"] - before["rows"]) / 1000,
            "metadata_bytes_per_task": (after["bytes"] - before["bytes"]) / 1000,
            "all_recorded_after_s": all_recorded,
        }
    ]


def _metadata(folder: Path) -> Run:
    """Task runs that have ended, rows of all tables and bytes of the database."""
    uri = f"file:{folder}/prefect.db?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        rows = sum(database.execute(f'select count(*) from "{table}"').fetchone()[0] for table in tables)
        (tasks,) = database.execute("select count(*) from task_run where state_type = 'COMPLETED'").fetchone()
        (size,) = database.execute(
            "select page_count * page_size from pragma_page_count(), pragma_page_size()"
        ).fetchone()
    return {"rows": rows, "tasks": tasks, "bytes": size}


def served_flowwarm() -> list[Run]:
    folder = with_database("flowwarm")
    with server(folder) as url:
        return repeat(reps(2, slow=True), lambda: _warm(folder, "runs", 10, PREFECT_API_URL=url), warm=0)


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
SERVED_CASES = {name.removeprefix("served_"): case for name, case in globals().items() if name.startswith("served_")}
