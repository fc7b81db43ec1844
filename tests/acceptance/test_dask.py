"""A compute backend over a real Dask cluster, written from the template alone, passes the kit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from template.rendering import build, command, installed_beside, render

PLUGIN = Path(__file__).parent / "dovetail-dask"
LINES = 300


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    """Where a scheduler listens, once it does."""
    while True:
        assert process.poll() is None, "the scheduler has ended"
        try:
            address = json.loads(file.read_text(encoding="utf-8"))["address"]
        except (FileNotFoundError, ValueError):
            time.sleep(0.05)
        else:
            return str(address)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A scheduler and a worker that have the plugin; the variables with which a process finds all of it."""
    folder = tmp_path_factory.mktemp("cluster")
    found = installed_beside(folder / "site", build(_copy(folder / "plugin")))
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    env |= {**found, "TOKEN": "value-of-TOKEN"}
    file = folder / "scheduler.json"
    common = ("--host", "127.0.0.1", "--no-dashboard")
    scheduler = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        *common,
        "--port",
        "0",
        "--scheduler-file",
        file,
    ]
    started = []
    try:
        with (folder / "log").open("wb") as log:
            started.append(subprocess.Popen(scheduler, env=env, stdout=log, stderr=log))
            address = _address(file, started[0])
            options = (*common, "--nthreads", "8", "--no-nanny", "--local-directory", folder)
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *options]
            started.append(subprocess.Popen(worker, env=env, stdout=log, stderr=log))
        yield {**found, "DASK_SCHEDULER_ADDRESS": address}
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _copy(folder: Path) -> Path:
    """The plugin's files that are kept, away from the checkout."""
    listed = command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PLUGIN)
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((PLUGIN / name).read_bytes())
    return folder


def test_it_passes_the_kit(cluster: Mapping[str, str], tmp_path: Path) -> None:
    report = tmp_path / "conformance.json"
    project = _copy(tmp_path / "plugin")
    words = ("-q", "-p", "no:cacheprovider", "--dovetail-report", report)
    command(sys.executable, "-m", "pytest", *words, cwd=project, **cluster)
    told = json.loads(report.read_text(encoding="utf-8"))
    suites = {suite["interface"]: suite for suite in told["suites"]}
    assert set(suites) == {"plugin", "compute"}
    for suite in suites.values():
        assert suite["plugin"]["name"] == "dovetail-dask"
        assert {test["outcome"] for test in suite["tests"]} <= {"passed", "skipped"}
        assert "failed" not in suite["guarantees"].values()
    skipped = {test["flag"] for test in suites["compute"]["tests"] if test["outcome"] == "skipped"}
    assert skipped == {"GPU", "DIRECT", "!REATTACH"}, "expected nothing skipped but what it does not declare"


def test_it_is_little_more_than_the_template(tmp_path: Path) -> None:
    fresh = render(tmp_path / "fresh", ["compute"], name="dask")
    compare = ("git", "diff", "--no-index", "--numstat", "--no-renames", fresh, _copy(tmp_path / "plugin"))
    listed = command(*compare, cwd=tmp_path, expect=1)
    added = {line.split("\t")[2]: int(line.split("\t")[0]) for line in listed.splitlines()}
    assert sum(added.values()) <= LINES, f"expected at most {LINES} lines over the render, came {added}"
