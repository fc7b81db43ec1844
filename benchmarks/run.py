"""Measure Dovetail side by side with Metaflow and Prefect: `make bench`.

`BENCH_CASES` narrows to some cases (`BENCH_CASES="import fan1000"`), `BENCH_SYSTEMS` to some systems
(`dovetail metaflow prefect prefect-served`), `BENCH_REPS` sets how often the quick ones are repeated. Figures are kept
in `results.json`, the newest of each case and system, and `RESULTS.md` is written from it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable

import ours
import ours_arrays
import ours_functions
import ours_stores
import ours_values
import peer_metaflow
import peer_prefect
import peer_prefect_functions
from cases import CASES
from environments import HERE, STATE, install
from harness import become_subreaper
from report import write_report
from timing import Run, UnexpectedExitError

RESULTS = HERE / "results.json"
SYSTEMS: dict[str, dict[str, Callable[[], list[Run]]]] = {
    "dovetail": {
        **ours.CASES,
        **ours_functions.CASES,
        **ours_arrays.CASES,
        **ours_values.CASES,
        **ours_stores.CASES,
    },
    "metaflow": peer_metaflow.CASES,
    "prefect": {**peer_prefect.CASES, **peer_prefect_functions.CASES},
    "prefect-served": {**peer_prefect.SERVED_CASES, **peer_prefect_functions.SERVED_CASES},
}


def main() -> int:
    """Measure what was asked for; 1 when a case of Dovetail fails."""
    known = list(dict.fromkeys([case.name for case in CASES] + [name for cases in SYSTEMS.values() for name in cases]))
    cases, systems = _asked("BENCH_CASES", known), _asked("BENCH_SYSTEMS", list(SYSTEMS))
    become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    STATE.mkdir(parents=True, exist_ok=True)
    lock = (STATE / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another benchmark is running in {STATE}; wait for it, or set BENCH_STATE")
    records = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    versions = {name: install(name) for name in dict.fromkeys(system.removesuffix("-served") for system in systems)}
    failed = 0
    for case in cases:
        for system in systems:
            if case not in SYSTEMS[system]:
                continue
            started = time.monotonic()
            try:
                runs = SYSTEMS[system][case]()
            except UnexpectedExitError as error:
                print(f"{case:14} {system:15} failed: {error}", flush=True)
                failed += system == "dovetail"
                continue
            records[f"{system} {case}"] = {
                "runs": [{name: float(f"{value:.5g}") for name, value in run.items()} for run in runs],
                "version": versions[system.removesuffix("-served")],
                "date": time.strftime("%Y-%m-%d %H:%M"),
            }
            print(f"{case:14} {system:15} {_brief(case, runs)}  [{time.monotonic() - started:.0f} s]", flush=True)
            RESULTS.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    write_report(records, HERE / "RESULTS.md")
    print(f"benchmarks/RESULTS.md is written{f'; {failed} cases of dovetail failed' if failed else ''}")
    return 1 if failed else 0


def _asked(variable: str, known: list[str]) -> list[str]:
    asked = os.environ.get(variable, "").replace(",", " ").split() or known
    if unknown := [name for name in asked if name not in known]:
        sys.exit(f"{variable}: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return asked


def _brief(case: str, runs: list[Run]) -> str:
    figure = next((known.figure for known in CASES if known.name == case), "wall")
    values = sorted(run[figure] for run in runs)
    return f"{figure} {values[len(values) // 2]:.4g} ({values[0]:.4g}-{values[-1]:.4g}) n={len(values)}"


if __name__ == "__main__":
    sys.exit(main())
