"""Dovetail's runs of the cases of function flows."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from functools import partial
from pathlib import Path

from environments import FLOWS, STATE, home, program, python, variables
from harness import Measured, measure
from timing import Run, UnexpectedExitError, repeat, reps

__all__ = ["CASES"]

US = "dovetail"
KILLED = -9
THREADS: dict[str, str] = {}
FORKED = {"FAN_ISOLATION": "fork"}
INLINE = {"FAN_ISOLATION": "inline"}
CACHED = {"FAN_CACHE": "1"}


def _run(folder: Path, flow: str, width: int = 0, more: dict[str, str] | None = None) -> Measured:
    command: list[str | Path] = [program(US, US), "run", f"{FLOWS / 'dovetail_functions.py'}:{flow}"]
    return _watched(folder, command, width, more)


def _watched(folder: Path, command: list[str | Path], width: int, more: dict[str, str] | None) -> Measured:
    env = {**variables(US, folder), "FAN_N": str(width), **(more or {})}
    return measure(command, env=env, cwd=STATE, timeout=300, watch_every=0.02)


def _killed(folder: Path, flow: str, width: int, more: dict[str, str]) -> None:
    """A run whose driver and body are killed by `kill -9` as soon as the last of its tasks has returned."""
    command: list[str | Path] = [program(US, US), "run", f"{FLOWS / 'dovetail_functions.py'}:{flow}"]
    # The shell becomes the driver, so its id is known beforehand.
    shell: list[str | Path] = ["sh", "-c", 'FAN_KILL=$$ exec "$0" "$@"', *command]
    repeat(1, lambda: _watched(folder, shell, width, more), warm=0, exit=KILLED)


def _resumed(folder: Path, width: int, more: dict[str, str]) -> Measured:
    return _watched(folder, [program(US, US), "resume"], width, more)


def _replayed(measured: Measured) -> Run:
    """How many calls were on record when the run was killed."""
    found = re.search(r"([\d,]+) of them done before", measured.output)
    return {"recorded": float(found[1].replace(",", "")) if found else 0.0}


def _durable(folder: Path, flow: str, width: int, more: dict[str, str]) -> Run:
    """What a further run leaves that is killed when the last of its tasks has returned; nothing may be missing."""
    _killed(folder, flow, width, more)
    found = _replayed(_resumed(folder, width, more))
    if found["recorded"] != width:
        raise UnexpectedExitError(f"{found['recorded']:.0f} of {width} calls are on record after a kill")
    return found


def _mapped(name: str, width: int, more: dict[str, str], *, flow: str = "mapped", usual: int = 5) -> list[Run]:
    folder = home(US, name, fresh=True)
    runs = repeat(reps(usual), lambda: _run(folder, flow, width, more))
    found = _durable(folder, flow, width, more)
    return [{**run, **found} for run in runs]


def _metadata(folder: Path) -> Run:
    """Rows of all tables of the metadata, and its bytes."""
    rows = 0
    with contextlib.closing(sqlite3.connect(f"file:{folder}/metadata.db?mode=ro", uri=True)) as database:
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            rows += database.execute(f'select count(*) from "{table}"').fetchone()[0]
    return {"rows": rows, "bytes": sum(path.stat().st_size for path in folder.glob("metadata.db*"))}


def _grown(before: Run, after: Run, width: int) -> Run:
    return {
        "metadata_rows_per_task": (after["rows"] - before["rows"]) / width,
        "metadata_bytes_per_task": (after["bytes"] - before["bytes"]) / width,
    }


def case_flow3() -> list[Run]:
    folder = home(US, "flow3", fresh=True)
    return repeat(reps(10), lambda: _run(folder, "hello"))


def case_flow3called() -> list[Run]:
    folder = home(US, "flow3called", fresh=True)
    return repeat(reps(10), lambda: _watched(folder, [python(US), FLOWS / "dovetail_functions.py"], 0, None))


def _warm(name: str, what: str) -> list[Run]:
    folder = home(US, name, fresh=True)
    return repeat(reps(5), lambda: _watched(folder, [python(US), FLOWS / "dovetail_warm.py", what], 50, None))


def case_flowwarm() -> list[Run]:
    return _warm("flowwarm", "runs")


def case_flowtest() -> list[Run]:
    return _warm("flowtest", "tests")


def case_call1000() -> list[Run]:
    return _mapped("call1000", 1000, THREADS, flow="called")


def case_map1000() -> list[Run]:
    return _mapped("map1000", 1000, THREADS)


def case_map1000fork() -> list[Run]:
    return _mapped("map1000fork", 1000, FORKED)


def case_map100000() -> list[Run]:
    width, runs = 100_000, []
    for _ in range(reps(3)):
        folder = home(US, "map100000", fresh=True)
        repeat(1, partial(_run, folder, "hello"), warm=0)
        before = _metadata(folder)
        (run,) = repeat(1, partial(_run, folder, "mapped", width, INLINE), warm=0)
        runs.append({**run, "tasks_per_s": width / run["wall"], **_grown(before, _metadata(folder), width)})
    return runs


def case_cached1000() -> list[Run]:
    folder = home(US, "cached1000", fresh=True)
    return repeat(reps(5), lambda: _run(folder, "mapped", 1000, CACHED))


def case_metadata1000() -> list[Run]:
    folder = home(US, "metadata1000", fresh=True)
    repeat(1, lambda: _run(folder, "hello"), warm=0)
    before = _metadata(folder)
    repeat(1, lambda: _run(folder, "mapped", 1000, THREADS), warm=0)
    return [_grown(before, _metadata(folder), 1000)]


def case_replay10000() -> list[Run]:
    width, runs = 10_000, []
    for _ in range(reps(5)):
        folder = home(US, "replay10000", fresh=True)
        _killed(folder, "called", width, INLINE)
        runs += repeat(1, partial(_resumed, folder, width, INLINE), warm=0, numbers=_replayed)
        if runs[-1]["recorded"] != width:
            raise UnexpectedExitError(f"{runs[-1]['recorded']:.0f} of {width} calls were on record")
    return runs


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
