"""Metaflow's runs of the cases, with its local data store and metadata."""

from __future__ import annotations

from pathlib import Path

from environments import FLOWS, STATE, home, program, python, variables
from harness import Measured, disk, measure
from small_values import COUNT, saved
from timing import Run, imported_modules, over_bare, repeat, reps, started_at_once

__all__ = ["CASES"]

PEER = "metaflow"


def case_import() -> list[Run]:
    env = variables(PEER, home(PEER, "import"))
    modules = imported_modules(python(PEER), "import metaflow", env)
    runs = over_bare(python(PEER), [python(PEER), "-c", "import metaflow"], env, reps(10))
    return [{**run, "modules": modules} for run in runs]


def case_help() -> list[Run]:
    return over_bare(python(PEER), [program(PEER, PEER), "--help"], variables(PEER, home(PEER, "help")), reps(10))


def case_hello3() -> list[Run]:
    env = variables(PEER, home(PEER, "hello3", fresh=True))
    return repeat(reps(5), lambda: measure([python(PEER), FLOWS / "metaflow_hello.py", "run"], env=env, cwd=STATE))


def case_chain100() -> list[Run]:
    folder = home(PEER, "chain100", fresh=True)
    flow = folder / "chain.py"
    flow.write_text(measure([python(PEER), FLOWS / "chain.py", PEER, "100"], cwd=STATE).output, encoding="utf-8")
    env = variables(PEER, folder)
    return repeat(reps(2, slow=True), lambda: measure([python(PEER), flow, "run"], env=env, cwd=STATE), warm=0)


def _fan(folder: Path, width: int, workers: int, *, pss_every: float | None = None, **more: object) -> Measured:
    options = ["--max-workers", str(workers), "--max-num-splits", "100000"]
    return measure(
        [python(PEER), FLOWS / "metaflow_fan.py", "run", *options],
        env=variables(PEER, folder, FAN_N=width, **more),
        cwd=STATE,
        timeout=2400,
        pss_every=pss_every,
    )


def _rate(width: int, measured: Measured) -> Run:
    return {"tasks_per_s": width / measured.numbers["wall"], "cpu_ms_per_task": measured.numbers["cpu"] / width * 1e3}


def case_fan1000() -> list[Run]:
    folder = home(PEER, "fan1000", fresh=True)
    return repeat(1, lambda: _fan(folder, 1000, 16), warm=0, numbers=lambda run: _rate(1000, run))


def case_fan1000pandas() -> list[Run]:
    # 100 wide: its rate does not depend on the width, its processor time does by the task.
    folder = home(PEER, "fan100pandas", fresh=True)
    return repeat(
        reps(1, slow=True),
        lambda: _fan(folder, 100, 16, FAN_IMPORT="numpy,pandas"),
        warm=0,
        numbers=lambda run: {**_rate(100, run), "width": 100},
    )


def case_pss100() -> list[Run]:
    folder = home(PEER, "pss100", fresh=True)
    return repeat(reps(2, slow=True), lambda: _fan(folder, 100, 16, FAN_SLEEP=0.25, pss_every=0.25), warm=0)


def _finished_fan() -> Path:
    """State of a run of 1,000 tasks; made when it is not there yet."""
    folder = home(PEER, "fan1000")
    if not list(folder.glob(".metaflow/Fan/[0-9]*")):
        repeat(1, lambda: _fan(folder, 1000, 16), warm=0)
    return folder


def case_files1000() -> list[Run]:
    folder = _finished_fan()
    runs = len(list(folder.glob(".metaflow/Fan/[0-9]*")))
    kept = disk(folder / ".metaflow")
    numbers = {"files": kept["files"], "allocated_mb": kept["allocated"] / 1e6, "mb": kept["bytes"] / 1e6}
    return [{name: value / runs for name, value in numbers.items()}]


def case_client1000() -> list[Run]:
    env = variables(PEER, _finished_fan())
    return repeat(reps(5), lambda: measure([python(PEER), FLOWS / "metaflow_client.py"], env=env, cwd=STATE))


def case_resume1000() -> list[Run]:
    env = variables(PEER, _finished_fan(), FAN_N=1000)
    command = [python(PEER), FLOWS / "metaflow_fan.py"]
    options = ["resume", "end", "--max-num-splits", "100000"]
    return repeat(reps(2, slow=True), lambda: measure([*command, *options], env=env, cwd=STATE), warm=0)


def case_twenty() -> list[Run]:
    def once() -> Measured:
        env = variables(PEER, home(PEER, "twenty", fresh=True))
        return started_at_once(20, [python(PEER), FLOWS / "metaflow_hello.py", "run"], env)

    return repeat(reps(2, slow=True), once, warm=0)


def small_save() -> list[Run]:
    folder = home(PEER, "small-save", fresh=True)

    def run(count: int) -> Measured:
        env = variables(PEER, folder, SMALL_N=count)
        return measure([python(PEER), FLOWS / "metaflow_small.py", "run"], env=env, cwd=STATE)

    return saved(run, folder, reps(3, slow=True))


def small_load() -> list[Run]:
    folder = home(PEER, "small-load", fresh=True)
    env = variables(PEER, folder, SMALL_N=COUNT)
    repeat(1, lambda: measure([python(PEER), FLOWS / "metaflow_small.py", "run"], env=env, cwd=STATE), warm=0)
    return repeat(
        reps(3, slow=True), lambda: measure([python(PEER), FLOWS / "metaflow_small_load.py"], env=env, cwd=STATE)
    )


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
CASES |= {"small-save": small_save, "small-load": small_load}
