"""A job's folder, which client and workers share, and the task that runs an index of it on a worker.

job.json    the job, without secrets; made by exactly one process
N.begun     who has index N, and whether it runs or ended before it could; made by exactly one process
N.end       how index N ended; made by exactly one process
N.cancel    index N is to end
N.stdout    what it writes, and N.stderr
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from dovetail.interfaces.compute import JobState
from dovetail.interfaces.context import SecretRef
from dovetail.plugins.opening import SecretLookup
from dovetail.plugins.registry import registry

__all__ = ["WAITING", "WORKER_GONE", "claim", "end", "found", "made", "run", "task_states"]

WAITING = frozenset({"released", "waiting", "no-worker", "queued"})  # of tasks that no worker has
WORKER_GONE = "the worker that ran it is gone"


def run(place: str, home: str, nice: int, poll: float, number: int) -> None:
    """See an index through: the task."""
    folder, execution = Path(place), uuid.uuid4().hex
    if not claim(folder, number, JobState.RUNNING, execution=execution):
        # Dask starts a task again when its worker is gone. What has begun is never begun twice.
        end(folder, number, JobState.LOST, WORKER_GONE, platform_fault=True)
        return
    try:
        end(folder, number, execution=execution, **_run(folder, number, home, nice, poll))
    except Exception as error:  # no such program, a secret that can't be had
        end(folder, number, JobState.FAILED, f"can't be started: {error}", execution=execution)


def _run(folder: Path, number: int, home: str, nice: int, poll: float) -> dict[str, Any]:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with (folder / f"{number}.stdout").open("wb") as stdout, (folder / f"{number}.stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*(["nice", "-n", str(nice)] if nice else []), *job["argv"]],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **job["env"], **_secrets(job["secrets"], home), "DOVETAIL_JOB_INDEX": str(number)},
            start_new_session=True,
        )
    deadline = time.monotonic() + (job["timeout"] or float("inf"))
    told: dict[str, Any] = {}
    while not told and process.poll() is None:
        if (folder / f"{number}.cancel").exists():
            told = {"state": JobState.CANCELLED, "reason": "cancelled"}
        elif time.monotonic() > deadline:
            told = {"state": JobState.FAILED, "reason": f"timed out after {job['timeout']} s"}
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(poll)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with what it has left in its group
    code = process.wait()
    reason = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
    ended = {"state": JobState.FAILED if code else JobState.SUCCEEDED, "reason": reason if code else ""}
    return {**ended, **told, "exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}


def _secrets(given: dict[str, list[str]], home: str) -> dict[str, str]:
    """The values of secrets, looked up here, where the job runs."""
    if not given:
        return {}
    lookup = SecretLookup(registry(), Path(home))
    return {name: lookup(SecretRef(provider=provider, id=id)) for name, (provider, id) in given.items()}


def claim(folder: Path, number: int, state: JobState, reason: str = "", **facts: Any) -> bool:
    """Take an index that nobody has; whether it was taken."""
    return made(folder / f"{number}.begun", {"state": state, "reason": reason, **facts})


def end(folder: Path, number: int, state: JobState, reason: str = "", **facts: Any) -> None:
    """Say how an index ended, unless that is said."""
    if found(folder, number)["state"] == JobState.RUNNING:
        made(folder / f"{number}.end", {"state": state, "reason": reason, **facts})


def found(folder: Path, number: int) -> dict[str, Any]:
    """The present state of an index, with its facts."""
    for name in (f"{number}.end", f"{number}.begun"):
        with suppress(FileNotFoundError):
            facts: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            return {**facts, "state": JobState(facts["state"])}
    return {"state": JobState.PENDING}


def made(file: Path, facts: dict[str, Any]) -> bool:
    """Write a file at once and whole, unless it is there."""
    part = file.with_name(f"{uuid.uuid4().hex}.part")
    part.write_text(json.dumps(facts), encoding="utf-8")
    try:
        os.link(part, file)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def task_states(keys: list[str], dask_scheduler: Any = None) -> dict[str, str]:
    """What the scheduler says of the tasks that it knows, or why they can't run; runs there."""
    tasks = [(key, dask_scheduler.tasks[key]) for key in keys if key in dask_scheduler.tasks]
    return {key: task.exception_text or str(task.state) for key, task in tasks}
