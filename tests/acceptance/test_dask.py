"""A compute backend over a real Dask cluster, written from the template alone, passes the kit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from acceptance.outside import check_lines, check_report, project
from template.rendering import build, command, installed_beside

OPENED = """
import json, sys
from pathlib import Path
from dovetail.interfaces.compute import Job, JobHandle, JobState
from dovetail.plugins import open_backend

def events(backend):
    watch = backend.watch("g")
    while True:
        for event in watch.read():
            yield event

backend = open_backend("compute", {"backend": "dask", "settings": {"poll": 0.05, "grace": float(sys.argv[1])}},
                       home=Path("home").absolute())
"""
SUBMIT = """
[handle] = backend.submit([Job(key="k", group="g", argv=(sys.executable, "-c", sys.argv[2]))])
"""
FOLLOW = """
for event in events(backend):
    if event.state not in (JobState.PENDING, JobState.RUNNING):
        break
print(json.dumps([event.state, event.reason, event.platform_fault]))
backend.close()
"""


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
def site(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The variables with which a process finds the plugin."""
    folder = tmp_path_factory.mktemp("plugin")
    return installed_beside(folder / "site", build(project("dovetail-dask", folder / "plugin")))


@pytest.fixture
def cluster(site: Mapping[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """A scheduler and workers that have the plugin; the variables with which a process finds all of it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    env |= {**site, "TOKEN": "value-of-TOKEN"}
    file = tmp_path / "scheduler.json"
    common = ("--host", "127.0.0.1", "--no-dashboard")
    command = (sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0", "--scheduler-file", file)
    started = []
    try:
        with (tmp_path / "cluster.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
            address = _address(file, started[0])
            options = (*common, "--nthreads", "8", "--no-nanny", "--local-directory", tmp_path)
            for _ in range(getattr(request, "param", 1)):
                worker = (sys.executable, "-m", "distributed.cli.dask_worker", address, *options)
                started.append(subprocess.Popen(worker, env=env, stdout=log, stderr=log))
        yield {**site, "DASK_SCHEDULER_ADDRESS": address}
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def test_it_passes_the_kit(cluster: Mapping[str, str], tmp_path: Path) -> None:
    suites = {suite["interface"]: suite for suite in check_report("dovetail-dask", tmp_path, cluster)}
    skipped = {test["flag"] for test in suites["compute"]["tests"] if test["outcome"] == "skipped"}
    assert skipped == {"GPU", "DIRECT", "!REATTACH"}, "expected nothing skipped but what it does not declare"


def test_another_process_goes_on_with_a_job(cluster: Mapping[str, str], tmp_path: Path) -> None:
    tell = "from dataclasses import asdict; print(json.dumps(asdict(handle))); backend.close()"
    code = "import time; print('here', flush=True); time.sleep(1000)"
    handle = command(sys.executable, "-c", OPENED + SUBMIT + tell, "10", code, cwd=tmp_path, **cluster)
    go_on = """
handle = JobHandle(**json.loads(sys.argv[2]))
while not (found := b"".join(chunk.data for chunk in backend.logs(handle, 0))):
    pass
print(found.decode(), end="")
backend.cancel(handle)
"""
    told = command(sys.executable, "-c", OPENED + go_on + FOLLOW, "10", handle, cwd=tmp_path, **cluster)
    assert told.splitlines() == ["here", '["cancelled", "cancelled", false]']


@pytest.mark.parametrize(
    ("cluster", "grace"),
    [(1, "0.5"), (2, "1000")],
    indirect=["cluster"],
    ids=["no-worker-is-left", "another-worker-is-left"],
)
def test_a_job_whose_worker_dies_is_lost_and_runs_once(cluster: Mapping[str, str], grace: str, tmp_path: Path) -> None:
    code = "import os, signal; open('ran', 'a').write('x'); os.kill(os.getppid(), signal.SIGKILL)"
    code = code.replace("'ran'", repr(str(tmp_path / "ran")))
    told = command(sys.executable, "-c", OPENED + SUBMIT + FOLLOW, grace, code, cwd=tmp_path, **cluster)
    assert json.loads(told) == ["lost", "the worker that ran it is gone", True]
    assert (tmp_path / "ran").read_text(encoding="utf-8") == "x"


def test_a_scheduler_that_is_silent_is_told(site: Mapping[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"DOVETAIL__COMPUTE__DASK__TIMEOUT": "0.2", "DOVETAIL__COMPUTE__DASK__RETRIES": "1"}
        check = (sys.executable, "-m", "dovetail", "plugins", "doctor", "dask", "--online", "--json")
        told = command(*check, cwd=tmp_path, **site, **settings, DASK_SCHEDULER_ADDRESS=address)
    [problem] = [problem for row in json.loads(told) for problem in row["problems"]]
    assert f"{address} gave no answer in 0.2 s (2 tries in" in problem["message"]
    assert "DASK_SCHEDULER_ADDRESS" in problem["fix"]


def test_few_lines_were_written(tmp_path: Path) -> None:
    check_lines("dovetail-dask", ["compute"], tmp_path)
