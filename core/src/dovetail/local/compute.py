"""`LocalCompute`: jobs and direct workers as processes of this machine."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dovetail.interfaces.compute import ComputeBackend, ComputeCapability, Job, JobHandle, JobState, JobWatch, LogChunk
from dovetail.interfaces.errors import NotFoundError, UsageError
from dovetail.interfaces.problems import Problem
from dovetail.local._job_folder import FINAL_STATES, JobFolder, JobRow, poke
from dovetail.local._job_watch import LocalJobWatch, handle_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext
    from dovetail.interfaces.workers import Launch, WorkerGroup

__all__ = ["LocalCompute"]

_PIECE = 1 << 20


class LocalCompute(ComputeBackend):
    """Runs jobs on this machine, each below a supervisor that outlives the process which submitted it.

    An index is a process group with log files of its own; its exit code, or the signal that ended it, is kept on
    disk, so a handle works in any process of this machine and after a restart of the driver. At most as many
    indexes of a job run at once as the machine has cores. Flows run on direct workers instead (`open_group`), which
    live and die with the driver.
    """

    capabilities: ClassVar[ComputeCapability] = (
        ComputeCapability.ARRAY | ComputeCapability.LIVE_LOGS | ComputeCapability.REATTACH | ComputeCapability.DIRECT
    )

    def __init__(self, home: Path, ctx: PluginContext) -> None:
        self._home = home
        self._ctx = ctx
        self._lock = threading.Lock()
        self._supervisors: set[int] = set()

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        if target:
            raise UsageError(f"local compute is this machine and takes no target, but was given {target!r}")
        return cls(ctx.home / "jobs" / ctx.instance, ctx)

    def close(self) -> None:
        self._reap()

    # -- direct workers -------------------------------------------------------------------------------------------

    def open_group(self, launch: Launch) -> WorkerGroup:
        """See `dovetail.interfaces.workers.SupportsDirectWorkers`."""
        from dovetail.local.workers import LocalWorkerGroup

        return LocalWorkerGroup(launch)

    # -- jobs -----------------------------------------------------------------------------------------------------

    def validate(self, job: Job) -> list[Problem]:
        import shutil

        problems = []
        asked = job.resources
        cores = os.cpu_count() or 1
        if not job.argv or shutil.which(job.argv[0]) is None:
            name = job.argv[0] if job.argv else ""
            problems.append(_problem("no-program", f"there is no program {name!r} on this machine"))
        if job.size < 1:
            problems.append(_problem("job-size", f"a job has at least one index, not {job.size}"))
        if job.image is not None:
            fix = "Leave the image out, or choose a compute backend with containers."
            problems.append(_problem("no-images", f"local compute can't run the image {job.image}", fix))
        if asked.gpu:
            fix = "Leave `gpu` out: what this machine has is open to every job, and nothing keeps jobs apart."
            problems.append(_problem("no-gpus", f"local compute assigns no GPUs; {asked.gpu} are asked for", fix))
        if asked.cpu > cores:
            problems.append(_problem("too-many-cores", f"{asked.cpu:g} cores are asked for; this machine has {cores}"))
        memory = _machine_memory()
        if asked.memory_mb is not None and memory is not None and asked.memory_mb > memory:
            message = f"{asked.memory_mb} MiB of memory are asked for; this machine has {memory}"
            problems.append(_problem("too-much-memory", message))
        return problems

    def submit(self, jobs: Sequence[Job]) -> list[JobHandle]:
        handles = []
        for job in jobs:
            folder = JobFolder.create(self._folder(job.group, job.key), self._plain(job))
            if folder.owner() is None:
                self._start_supervisor(folder, job)
            handles.append(handle_of(folder, self._ctx.instance))
            poke(folder.path.parent / "watchers")
        self._reap()
        return handles

    def watch(self, group: str, *, resume: Any = None) -> JobWatch:
        return LocalJobWatch(self._home / _safe(group), self._ctx.instance, resume)

    def cancel(self, handle: JobHandle, indexes: Sequence[int] | None = None) -> None:
        folder = self._find(handle)
        folder.cancel(indexes)
        if folder.abandoned():
            wanted = range(handle.size) if indexes is None else indexes
            _cancel_abandoned(folder, wanted)

    def logs(self, handle: JobHandle, index: int, *, after: str | None = None) -> Iterator[LogChunk]:
        folder = self._find(handle)
        offsets = [int(offset) for offset in after.split(",")] if after else [0, 0]
        for number, stream in enumerate(("stdout", "stderr")):
            path = folder.log(index, stream)
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offsets[number])
                while data := file.read(_PIECE):
                    start = offsets[number]
                    offsets[number] += len(data)
                    cursor = f"{offsets[0]},{offsets[1]}"
                    yield LogChunk(stream=stream, offset=start, time=time.time(), data=data, cursor=cursor)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _folder(self, group: str, key: str) -> Path:
        from blake3 import blake3

        return self._home / _safe(group) / blake3(key.encode()).hexdigest(16)

    def _find(self, handle: JobHandle) -> JobFolder:
        group, _, name = handle.id.partition("/")
        path = self._home / _safe(group) / _safe(name)
        if not path.is_dir():
            raise NotFoundError(f"there is no job {handle.id} in {self._home}", hint="It was removed, or is elsewhere.")
        return JobFolder(path)

    def _plain(self, job: Job) -> dict[str, Any]:
        return {
            "key": job.key,
            "group": job.group,
            "size": job.size,
            "argv": list(job.argv),
            "env": dict(job.env),
            "cwd": os.getcwd(),
            "timeout": job.timeout,
            "labels": dict(job.labels),
            "parallel": max(1, int((os.cpu_count() or 1) // max(job.resources.cpu, 1.0))),
        }

    def _start_supervisor(self, folder: JobFolder, job: Job) -> None:
        import subprocess

        from dovetail.local.job_supervisor import ENTRY

        # Secrets reach the job through its supervisor's environment: they are never on disk.
        secrets = {name: self._ctx.secret(ref) for name, ref in job.secret_env.items()}
        detached: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x00000208}
        with open(folder.path / "supervisor.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, str(folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **secrets},
                **detached,
            )
        # It outlives this object by design: Popen's own warning about that is not wanted.
        process.returncode = 0
        with self._lock:
            self._supervisors.add(process.pid)

    def _reap(self) -> None:
        """Collect supervisors that have ended."""
        if os.name != "posix":
            return
        with self._lock:
            for pid in list(self._supervisors):
                with suppress(ChildProcessError):
                    if os.waitpid(pid, os.WNOHANG)[0] == 0:
                        continue
                self._supervisors.discard(pid)


def _cancel_abandoned(folder: JobFolder, indexes: Sequence[int]) -> None:
    """End indexes whose supervisor is dead, and that therefore are dead or dying."""
    latest = folder.latest()
    rows = []
    for index in indexes:
        row = latest.get(index)
        if row is None or row.state not in FINAL_STATES:
            rows.append(JobRow(index, JobState.CANCELLED, reason="cancelled"))
    if rows:
        folder.append(rows)


def _problem(code: str, message: str, fix: str = "") -> Problem:
    return Problem(code=code, message=message, fix=fix)


def _safe(name: str) -> str:
    """A name that is one part of a path."""
    if name and name != "watchers" and name[0] != "." and "/" not in name and os.sep not in name:
        return name
    from blake3 import blake3

    return blake3(name.encode()).hexdigest(16)


def _machine_memory() -> int | None:
    """MiB of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
    except (AttributeError, ValueError, OSError):
        return None
