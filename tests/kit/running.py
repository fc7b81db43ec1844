"""Runs the suites of a module of wrong backends, once for all tests and all workers of pytest-xdist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["failures"]

HERE = Path(__file__).parent
WAITING = ("computes", "providers")
"""Modules whose tests mostly wait, for jobs and for leases to run out: two at a time."""


def failures(module: str, shared: Path) -> Mapping[str, frozenset[str]]:
    """Name of a wrong backend → names of the tests of its suite that failed.

    Args:
        module: Below `kit.wrong`.
        shared: A folder that all workers of this test run see.
    """
    import fcntl

    report = shared / f"wrong-{module}.json"
    with (shared / f"wrong-{module}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            _run(module, report)
    found = {}
    for suite in json.loads(report.read_text(encoding="utf-8"))["suites"]:
        names = (test["test"].partition("[")[0] for test in suite["tests"] if test["outcome"] == "failed")
        found[suite["suite"].removeprefix("Test")] = frozenset(names)
    return found


def _run(module: str, report: Path) -> None:
    # Some sync to the disk what nobody needs: files in memory save minutes where disks are slow.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        _run_in(Path(folder), module, report)


def _run_in(folder: Path, module: str, report: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DOVETAIL"))}
    environment["PYTHONPATH"] = str(HERE.parent)
    environment["DOVETAIL_CONFORMANCE_EFFORT"] = "0"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=line", "-rN"),
        *("-p", "no:cacheprovider", "-p", "kit.declared_machines", "--basetemp", str(folder / "tests")),
        *(("-n", "2", "--dist", "loadscope") if module in WAITING else ("-p", "no:xdist")),
        *("-W", "ignore", "-o", "addopts=--import-mode=importlib", "-o", "timeout=60"),
        *("--dovetail-report", str(report), str(HERE / "wrong" / f"{module}.py")),
    ]
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 1, f"expected failing tests, came exit {done.returncode}\n{done.stdout}{done.stderr}"
