"""Dovetail's runs of the cases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from environments import FLOWS, STATE, home, program, python, variables
from harness import Measured, disk, measure
from timing import Run, UnexpectedExitError, imported_modules, over_bare, repeat, reps, started_at_once

__all__ = ["CASES"]

US = "dovetail"
REUSE = ("--with", "isolation:reuse=auto")


def _dovetail(folder: Path, *arguments: str | Path, env: dict[str, str] | None = None, **watch: float) -> Measured:
    return measure(
        [program(US, US), *arguments], env={**variables(US, folder), **(env or {})}, cwd=STATE, timeout=300, **watch
    )


def case_import() -> list[Run]:
    statement, env = "from dovetail import FlowSpec, step", variables(US, home(US, "import"))
    modules = imported_modules(python(US), statement, env)
    runs = over_bare(python(US), [python(US), "-c", statement], env, reps(20))
    return [{**run, "modules": modules} for run in runs]


def case_help() -> list[Run]:
    env = variables(US, home(US, "help"))
    return over_bare(python(US), [program(US, US), "--help"], env, reps(20))


def case_hello3() -> list[Run]:
    folder = home(US, "hello3", fresh=True)
    return repeat(reps(10), lambda: _dovetail(folder, "run", FLOWS / "dovetail_hello.py", watch_every=0.02))


def case_chain100() -> list[Run]:
    folder = home(US, "chain100", fresh=True)
    flow = folder / "chain.py"
    text = measure([python(US), FLOWS / "chain.py", US, "100"], cwd=STATE).output
    flow.write_text(text, encoding="utf-8")
    return repeat(reps(5), lambda: _dovetail(folder, "run", flow, watch_every=0.02))


def _fan(folder: Path, width: int, *options: str, env: dict[str, str] | None = None, **watch: float) -> Measured:
    return _dovetail(
        folder, "run", FLOWS / "dovetail_fan.py", *options, env={"FAN_N": str(width), **(env or {})}, **watch
    )


def _rate(width: int, measured: Measured) -> Run:
    """Per task, and whose processor time it is."""
    return {
        "tasks_per_s": width / measured.numbers["wall"],
        "cpu_ms_per_task": measured.numbers["cpu"] / width * 1e3,
    }


def case_fan1000() -> list[Run]:
    folder = home(US, "fan1000", fresh=True)
    return repeat(reps(5), lambda: _fan(folder, 1000, watch_every=0.02), numbers=lambda run: _rate(1000, run))


def case_fan1000pandas() -> list[Run]:
    folder, env = home(US, "fan1000pandas", fresh=True), {"FAN_IMPORT": "numpy,pandas"}
    return repeat(reps(3), lambda: _fan(folder, 1000, env=env, watch_every=0.02), numbers=lambda run: _rate(1000, run))


def case_fan10000() -> list[Run]:
    folder = home(US, "fan10000", fresh=True)
    return repeat(
        reps(5),
        lambda: _fan(folder, 10_000, *REUSE, watch_every=0.02),
        numbers=lambda run: _rate(10_000, run),
    )


def case_fan100000() -> list[Run]:
    width, runs = 100_000, []
    for _ in range(reps(3)):
        folder = home(US, "fan100000", fresh=True)
        (run,) = repeat(1, partial(_fan, folder, width, *REUSE, watch_every=0.02), warm=0)
        kept = disk(folder)
        run |= {
            "tasks_per_s": width / run["wall"],
            "metadata_bytes_per_task": sum(path.stat().st_size for path in folder.glob("metadata.db*")) / width,
            "all_bytes_per_task": kept["bytes"] / width,
            "files": kept["files"],
        }
        runs.append(run)
    return runs


def case_pss100() -> list[Run]:
    folder, env = home(US, "pss100", fresh=True), {"FAN_SLEEP": "0.25"}
    return repeat(reps(3), lambda: _fan(folder, 100, "--max-workers", "16", env=env, pss_every=0.05))


def case_files1000() -> list[Run]:
    folder = home(US, "files1000", fresh=True)
    return repeat(1, lambda: _fan(folder, 1000), warm=0, numbers=lambda _: _kept(folder))


def _kept(folder: Path) -> Run:
    kept = disk(folder)
    return {"files": kept["files"], "allocated_mb": kept["allocated"] / 1e6, "mb": kept["bytes"] / 1e6}


def _client(width: int, *options: str) -> list[Run]:
    folder = home(US, f"client{width}")
    if not (folder / "metadata.db").exists():
        repeat(1, lambda: _fan(folder, width, *options), warm=0)

    def read() -> Measured:
        measured = measure(
            [python(US), FLOWS / "dovetail_client.py"], env=variables(US, folder), cwd=STATE, timeout=300
        )
        if measured.exit == 0 and measured.marks()["tasks"] != width:
            raise UnexpectedExitError(f"{measured.marks()['tasks']:.0f} of {width} tasks are on record")
        return measured

    return repeat(reps(10 if width < 10_000 else 5), read)


def case_client1000() -> list[Run]:
    return _client(1000)


def case_client100000() -> list[Run]:
    return _client(100_000, *REUSE)


def case_resume1000() -> list[Run]:
    folder = home(US, "resume1000", fresh=True)
    ids = folder / "run"
    repeat(1, lambda: _fan(folder, 1000, "--run-id-file", str(ids)), warm=0)
    run = ids.read_text(encoding="utf-8").strip()
    return repeat(reps(5), lambda: _dovetail(folder, "resume", run, "--from", "end", env={"FAN_N": "1000"}), warm=1)


def case_twenty() -> list[Run]:
    def once() -> Measured:
        env = variables(US, home(US, "twenty", fresh=True))
        return started_at_once(20, [program(US, US), "run", FLOWS / "dovetail_hello.py"], env)

    return repeat(reps(5), once)


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
