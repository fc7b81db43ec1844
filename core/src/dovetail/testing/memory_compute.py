"""`MemoryCompute`: a compute backend whose jobs are children of this process, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import NotFoundError
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["MemoryCompute"]

_SCHEME = "memory://"
_STREAMS = ("stdout", "stderr")
_FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST})


class _Index:
    """One index of a job."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = JobState.PENDING
        self.process: subprocess.Popen[bytes] | None = None
        self.why: tuple[JobState, str] | None = None
        """What it ends as because it was told to end."""


class _Job:
    def __init__(self, job: Job, handle: JobHandle) -> None:
        self.job = job
        self.handle = handle
        self.indexes = [_Index(number) for number in range(job.size)]


class _Contents:
    """What the handles of one backend share."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.folder = Path(tempfile.mkdtemp(prefix="dovetail-jobs-"))
        """Holds what the jobs write."""
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.jobs: dict[str, _Job] = {}
        self.events: dict[str, list[JobEvent]] = {}
        """Group → its events, in order."""


_BACKENDS: weakref.WeakValueDictionary[str, _Contents] = weakref.WeakValueDictionary()


class MemoryCompute(ComputeBackend):
    """Jobs are processes below this one, and what is known of them is in its memory.

    It behaves as a backend must and does nothing beyond that: no job outlives this process, no handle works in another.

    Args:
        name: Handles of one name show the same jobs; None: a backend of its own.
        secret: Resolves secrets.
    """

    capabilities: ClassVar[ComputeCapability] = ComputeCapability.ARRAY | ComputeCapability.LIVE_LOGS

    def __init__(self, name: str | None = None, *, secret: Callable[[SecretRef], str] | None = None) -> None:
        self.name = os.urandom(8).hex() if name is None else name
        """What tells backends apart."""
        self._secret = secret
        contents = _BACKENDS.get(self.name)
        if contents is None:
            contents = _BACKENDS[self.name] = _Contents()
        self._contents = contents

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the backend of a name, as a `memory://name` URL or bare; empty: the instance's name."""
        return cls(target.removeprefix(_SCHEME) or ctx.instance, secret=ctx.secret)

    def __repr__(self) -> str:
        return f"MemoryCompute({self.name!r})"

    def validate(self, job: Job) -> list[Problem]:
        problems = []
        if not job.argv or shutil.which(job.argv[0]) is None:
            problems.append(Problem(code="no-program", message=f"there is no program {' '.join(job.argv[:1])!r}"))
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
        contents = self._contents
        with contents.changed:
            known = contents.jobs.get(job.key)
            if known is not None:
                return known.handle
            handle = JobHandle(backend=self.name, id=f"job-{len(contents.jobs)}", key=job.key, size=job.size)
            made = contents.jobs[job.key] = _Job(job, handle)
            for index in made.indexes:
                self._tell(made, index, JobState.PENDING)
                threading.Thread(target=self._run, args=(made, index), daemon=True).start()
            return handle

    def watch(self, group: str, *, resume: Any = None) -> JobWatch:
        return _MemoryWatch(self._contents, group, resume)

    def cancel(self, handle: JobHandle, indexes: Sequence[int] | None = None) -> None:
        made = self._find(handle)
        with self._contents.changed:
            for index in made.indexes:
                if (indexes is None or index.number in indexes) and index.state not in _FINAL:
                    index.why = index.why or (JobState.CANCELLED, "cancelled")
                    self.kill(index.process)

    def kill(self, process: subprocess.Popen[bytes] | None) -> None:
        """End an index with everything in its process group."""
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def logs(self, handle: JobHandle, index: int, *, after: str | None = None) -> Iterator[LogChunk]:
        found = self._find(handle)
        places = [int(place) for place in after.split(",")] if after else [0, 0]
        for n, stream in enumerate(_STREAMS):
            path = self._log(found, index, stream)
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(places[n])
                while data := file.read(1 << 20):
                    begin = places[n]
                    places[n] += len(data)
                    cursor = f"{places[0]},{places[1]}"
                    yield LogChunk(stream=stream, offset=begin, time=time.time(), data=data, cursor=cursor)

    def _log(self, made: _Job, index: int, stream: str) -> Path:
        return self._contents.folder / f"{made.handle.id}-{index}.{stream}"

    # -- inside ---------------------------------------------------------------------------------------------------

    def _find(self, handle: JobHandle) -> _Job:
        with self._contents.changed:
            found = self._contents.jobs.get(handle.key)
        if found is None or found.handle.id != handle.id:
            raise NotFoundError(f"there is no job {handle.id} in {self.name}")
        return found

    def _run(self, made: _Job, index: _Index) -> None:
        """See an index through, in a thread of its own."""
        job = made.job
        secrets = {name: self._secret(ref) for name, ref in job.secret_env.items()} if self._secret else {}
        with self._contents.changed:
            if index.why is None:
                out, err = (self._log(made, index.number, stream) for stream in _STREAMS)
                try:
                    with out.open("wb") as stdout, err.open("wb") as stderr:
                        index.process = subprocess.Popen(
                            job.argv,
                            stdin=subprocess.DEVNULL,
                            stdout=stdout,
                            stderr=stderr,
                            env={**os.environ, **job.env, **secrets, "DOVETAIL_JOB_INDEX": str(index.number)},
                            start_new_session=True,
                        )
                except OSError as error:
                    index.why = (JobState.FAILED, f"can't be started: {error}")
            if index.process is None:
                self._end(made, index, None)
                return
            self._tell(made, index, JobState.RUNNING)
        try:
            code = index.process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            index.why = index.why or (JobState.FAILED, f"timed out after {job.timeout:g} s")
            self.kill(index.process)
            code = index.process.wait()
        self.kill(index.process)  # what it left in its group
        self._end(made, index, code)

    def _end(self, made: _Job, index: _Index, code: int | None) -> None:
        state, reason = index.why or (JobState.FAILED if code else JobState.SUCCEEDED, "")
        if code is not None and code != 0 and not reason:
            reason = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        self._tell(made, index, state, reason=reason, code=code)

    def _tell(self, made: _Job, index: _Index, state: JobState, *, reason: str = "", code: int | None = None) -> None:
        event = JobEvent(
            handle=made.handle,
            index=index.number,
            execution_id=str(index.process.pid) if index.process else "",
            state=state,
            reason=reason,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
        )
        with self._contents.changed:
            index.state = state
            self._contents.events.setdefault(made.job.group, []).append(event)
            self._contents.changed.notify_all()


class _MemoryWatch(JobWatch):
    """Reads the events of a group."""

    def __init__(self, contents: _Contents, group: str, resume: Any) -> None:
        self._contents = contents
        self._group = group
        self._at = 0 if resume is None else int(resume)
        self._closed = False

    def fileno(self) -> int | None:
        return None

    def read(self) -> list[JobEvent]:
        with self._contents.changed:
            while not self._closed:
                fresh = self._contents.events.get(self._group, [])[self._at :]
                if fresh:
                    self._at += len(fresh)
                    return list({(event.handle.key, event.index): event for event in fresh}.values())
                self._contents.changed.wait()
        return []

    def state(self) -> Any:
        return self._at

    def close(self) -> None:
        with self._contents.changed:
            self._closed = True
            self._contents.changed.notify_all()
