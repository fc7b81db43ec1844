"""A compute backend whose indexes are tasks of a dask.distributed cluster."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import dask
from distributed import Client, Security, fire_and_forget
from distributed.comm.core import connect
from dovetail.interfaces.compute import (
    ComputeBackend,
    ComputeCapability,
    Job,
    JobEvent,
    JobHandle,
    JobState,
    JobWatch,
    LogChunk,
)
from dovetail.interfaces.errors import BackendTimeoutError, NotFoundError, SettingsError
from dovetail.interfaces.problems import Problem

from dovetail_dask.jobs import WAITING, WORKER_GONE, claim, end, found, made, run, task_states
from dovetail_dask.settings import DaskComputeSettings

if TYPE_CHECKING:
    from dovetail.interfaces.context import PluginContext
    from typing_extensions import Self

__all__ = ["DaskCompute"]

HINT = (
    "Set DASK_SCHEDULER_ADDRESS or the instance's target, as tcp://host:8786; its setting timeout is the time to wait."
)
_STREAMS = ("stdout", "stderr")


class DaskCompute(ComputeBackend):
    """Indexes are tasks that start a process on a worker; a folder that all share has their states and output.

    The scheduler keeps tasks when the client goes, so any other client can go on with a job.
    """

    capabilities: ClassVar[ComputeCapability] = (
        ComputeCapability.ARRAY | ComputeCapability.LIVE_LOGS | ComputeCapability.REATTACH
    )

    def __init__(self, address: str, settings: DaskComputeSettings, ctx: PluginContext) -> None:
        self._instance = ctx.instance
        self._home = str(ctx.home)
        self._address = address
        self._lock = threading.Lock()
        self.settings = settings
        self.root = Path(settings.folder or ctx.home / ctx.instance).absolute()
        self._client = _connected(address, settings.timeout)

    @classmethod
    def open(cls, target: str, settings: DaskComputeSettings | None, ctx: PluginContext) -> Self:
        """Connect to the scheduler at `target`, or to the one that Dask's own settings name."""
        address = target or dask.config.get("scheduler-address", None)
        if not address:
            raise SettingsError(f"{ctx.instance} names no Dask scheduler", hint=HINT)
        return cls(address, settings or DaskComputeSettings(), ctx)

    def close(self) -> None:
        self._client.close()

    def __repr__(self) -> str:
        return f"DaskCompute({self._instance!r})"

    def validate(self, job: Job) -> list[Problem]:
        problems = []
        if not job.argv:
            problems.append(Problem(code="no-program", message="there is no program to run"))
        if job.size < 1:
            problems.append(Problem(code="job-size", message=f"a job has at least one index, not {job.size}"))
        if job.image is not None:
            problems.append(Problem(code="no-images", message=f"there are no containers to run {job.image}"))
        if job.resources.gpu:
            problems.append(Problem(code="no-gpus", message=f"no GPUs are assigned; {job.resources.gpu} are asked for"))
        return problems

    def submit(self, jobs: Sequence[Job]) -> list[JobHandle]:
        return [self._submit(job) for job in jobs]

    def _submit(self, job: Job) -> JobHandle:
        handle = JobHandle(backend=self._instance, id=_id(job.key), key=job.key, size=job.size)
        folder = self.root / "jobs" / handle.id
        folder.mkdir(parents=True, exist_ok=True)
        secrets = {name: (ref.provider, ref.id) for name, ref in job.secret_env.items()}
        text = {"group": job.group, "argv": job.argv, "env": dict(job.env), "secrets": secrets, "timeout": job.timeout}
        made(folder / "job.json", {"handle": asdict(handle), **text})  # the first job of a key stays
        handle, group = _kept(folder)
        marks = self.root / "groups" / _id(group)
        marks.mkdir(parents=True, exist_ok=True)
        (marks / handle.id).touch()
        # The scheduler starts a key that it has once; what it has forgotten is kept by `N.begun` from running again.
        numbers = [n for n in range(handle.size) if found(folder, n)["state"] == JobState.PENDING]
        if numbers:
            keys = [f"{folder}/{n}" for n in numbers]
            task = partial(run, str(folder), self._home, self.settings.nice, min(self.settings.poll, 0.1))
            futures = self._alive().map(task, numbers, key=keys, pure=False, retries=0)
            fire_and_forget(futures)  # type: ignore[no-untyped-call]
        return handle

    def watch(self, group: str, *, resume: Any = None) -> JobWatch:
        return _Watch(self, self.root / "groups" / _id(group), dict(resume or {}))

    def cancel(self, handle: JobHandle, indexes: Sequence[int] | None = None) -> None:
        folder = self._find(handle)
        for n in range(handle.size) if indexes is None else indexes:
            if not claim(folder, n, JobState.CANCELLED, "cancelled before it began"):
                (folder / f"{n}.cancel").touch()  # Dask can't interrupt a task: the task looks for this

    def logs(self, handle: JobHandle, index: int, *, after: str | None = None) -> Iterator[LogChunk]:
        folder = self._find(handle)
        places = [int(place) for place in after.split(",")] if after else [0, 0]
        for n, stream in enumerate(_STREAMS):
            path = folder / f"{index}.{stream}"
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(places[n])
                while data := file.read(1 << 20):
                    begin = places[n]
                    places[n] += len(data)
                    cursor = f"{places[0]},{places[1]}"
                    yield LogChunk(stream=stream, offset=begin, time=time.time(), data=data, cursor=cursor)

    def states(self, tasks: list[str]) -> dict[str, str]:
        """What the scheduler says of the tasks that it knows."""
        client, timeout = self._alive(), self.settings.timeout
        with _answering(self._address, timeout):
            return dict(client.sync(client.run_on_scheduler, task_states, tasks, callback_timeout=timeout))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _find(self, handle: JobHandle) -> Path:
        folder = self.root / "jobs" / handle.id
        if handle.id != _id(handle.key) or not (folder / "job.json").exists():
            raise NotFoundError(f"{self._instance} knows no job {handle.id}")
        return folder

    def _alive(self) -> Any:
        """The client; a new one where it has lost the scheduler."""
        with self._lock:
            if self._client.status != "running":
                self._client = _connected(self._address, self.settings.timeout)
            return self._client


class _Watch(JobWatch):
    """Looks at the folders of a group's jobs, and asks the scheduler whether it has what is not over."""

    def __init__(self, backend: DaskCompute, marks: Path, told: dict[str, str]) -> None:
        self._backend = backend
        self._marks = marks
        self._told = told  # task → state
        self._missed: dict[str, float] = {}  # task → when the scheduler was first seen without it
        self._closed = threading.Event()

    def fileno(self) -> int | None:
        return None  # `read` waits

    def read(self) -> list[JobEvent]:
        while not self._closed.is_set():
            events = self._look()
            if events:
                return events
            self._closed.wait(self._backend.settings.poll)
        return []

    def _look(self) -> list[JobEvent]:
        events = []
        going: dict[str, tuple[Path, int, JobState]] = {}
        for mark in sorted(self._marks.glob("*")):
            folder = self._backend.root / "jobs" / mark.name
            handle, _ = _kept(folder)
            for n in range(handle.size):
                task = f"{folder}/{n}"
                if self._told.get(task, "pending") not in ("pending", "running"):
                    continue
                facts = found(folder, n)
                if facts["state"] in (JobState.PENDING, JobState.RUNNING):
                    going[task] = (folder, n, facts["state"])
                if self._told.get(task) != facts["state"]:
                    self._told[task] = str(facts["state"])
                    execution = facts.pop("execution", "")
                    events.append(JobEvent(handle=handle, index=n, execution_id=execution, **facts))
        if not events and going:
            self._find_lost(going)
        return events

    def _find_lost(self, going: dict[str, tuple[Path, int, JobState]]) -> None:
        """Say of tasks that nobody works on that they are lost, unless their end is about to be seen."""
        states = self._backend.states(list(going))
        for task, (folder, n, state) in going.items():
            known = states.get(task, f"the scheduler forgot it; has its worker the folder {folder}?")
            if known == "processing" or (known in WAITING and state == JobState.PENDING):
                self._missed.pop(task, None)
                continue
            if known in WAITING:
                known = WORKER_GONE
            late = time.monotonic() - self._missed.setdefault(task, time.monotonic()) > self._backend.settings.grace
            if late and not claim(folder, n, JobState.LOST, known, platform_fault=True):
                end(folder, n, JobState.LOST, known, platform_fault=True)

    def state(self) -> Any:
        return dict(self._told)

    def close(self) -> None:
        self._closed.set()


def _id(name: str) -> str:
    """A name as a file name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _kept(folder: Path) -> tuple[JobHandle, str]:
    """The handle of the job that a folder has, and its group."""
    kept = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return JobHandle(**kept["handle"]), kept["group"]


def _connected(address: str, timeout: float) -> Any:
    with _answering(address, timeout), ThreadPoolExecutor(1) as thread:  # this one may have an event loop that runs
        thread.submit(asyncio.run, _reach(address, timeout)).result()
        return Client(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call]


async def _reach(address: str, timeout: float) -> None:
    """Shake hands. Dask's client waits without end for what takes connections and is silent."""
    args = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    comm = await asyncio.wait_for(connect(address, timeout, **args), timeout)  # type: ignore[no-untyped-call]
    comm.abort()


@contextmanager
def _answering(address: str, timeout: float) -> Iterator[None]:
    try:
        yield
    except (OSError, asyncio.TimeoutError) as error:
        raise BackendTimeoutError(f"the Dask scheduler {address} gave no answer in {timeout:g} s", hint=HINT) from error
    except ValueError as error:
        raise SettingsError(f"{address} is no address of a Dask scheduler: {error}", hint=HINT) from error
