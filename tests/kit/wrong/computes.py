"""Compute backends that are wrong."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.compute import ComputeCapability, JobState
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import NotFoundError, PreconditionError
from dovetail.testing import ComputeBackendConformance, MemoryCompute
from dovetail.testing.memory_compute import _MemoryWatch

FINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST}


class Watch(_MemoryWatch):
    """A watch that subclasses change."""


class Watching(MemoryCompute):
    """A backend with a watch of its own."""

    watches: ClassVar[type[Watch]] = Watch

    def watch(self, group, *, resume=None):
        return self.watches(self._contents, group, resume)


@wrong()
class StartsAgain(MemoryCompute):
    """Starts a key again when it is submitted again."""

    def _submit(self, job):
        known = self._contents.jobs.pop(job.key, None)
        handle = super()._submit(job)
        return handle if known is None else replace(handle, id=known.handle.id)


@wrong()
class AnotherHandle(MemoryCompute):
    """Gives another handle for a key that is known."""

    def submit(self, jobs):
        return [replace(handle, data={"asked": os.urandom(4).hex()}) for handle in super().submit(jobs)]


@wrong()
class HandlesBackwards(MemoryCompute):
    """Gives handles in another order than the jobs."""

    def submit(self, jobs):
        return super().submit(jobs)[::-1]


@wrong()
class OneProblemAtATime(MemoryCompute):
    """Tells the first problem."""

    def validate(self, job):
        return super().validate(job)[:1]


@wrong()
class ValidatesByRunning(MemoryCompute):
    """Runs what it is to look at."""

    def validate(self, job):
        problems = super().validate(job)
        if not problems:
            subprocess.run(job.argv, check=False, capture_output=True)
        return problems


@wrong()
class TakesGpusLightly(MemoryCompute):
    """Lets jobs run without the GPU that they ask for."""

    def validate(self, job):
        return [problem for problem in super().validate(job) if problem.code != "no-gpus"]


@wrong()
class RunsAShell(MemoryCompute):
    """Makes a shell string of the arguments."""

    def _submit(self, job):
        *front, code = job.argv[: job.argv.index("-c") + 2] if "-c" in job.argv else job.argv
        rest = job.argv[len(front) + 1 :]
        return super()._submit(replace(job, argv=("sh", "-c", " ".join([*map(shlex.quote, (*front, code)), *rest]))))


@wrong()
class ForgetsTheEnvironment(MemoryCompute):
    """Does not pass variables on."""

    def _submit(self, job):
        return super()._submit(replace(job, env={}))


@wrong()
class EveryIndexIsTheFirst(MemoryCompute):
    """Gives every index the number 0."""

    def _submit(self, job):
        if job.size == 1 or "-c" not in job.argv:
            return super()._submit(job)
        argv = ("env", "DOVETAIL_JOB_INDEX=0", *job.argv)
        return super()._submit(replace(job, argv=argv))


@wrong()
class SecretsInHandles(MemoryCompute):
    """Keeps the values of secrets in handles."""

    def submit(self, jobs):
        return [
            replace(handle, data={name: self._secret(ref) for name, ref in job.secret_env.items()})
            for job, handle in zip(jobs, super().submit(jobs), strict=True)
        ]


@wrong()
class ForgetsSecrets(MemoryCompute):
    """Does not resolve secrets."""

    def _submit(self, job):
        env = {**job.env, **{name: str(ref) for name, ref in job.secret_env.items()}}
        return super()._submit(replace(job, env=env, secret_env={}))


@wrong()
class HandlesOfObjects(MemoryCompute):
    """Has in a handle what is no JSON."""

    def submit(self, jobs):
        when = datetime.datetime(2026, 1, 1)
        return [replace(handle, data={"when": when}) for handle in super().submit(jobs)]


@wrong()
class NoExitCodes(MemoryCompute):
    """Tells no exit code."""

    def _tell(self, made, index, state, *, reason="", code=None):
        super()._tell(made, index, state, reason=reason, code=None)


@wrong()
class AllIsWell(MemoryCompute):
    """Tells what failed as a success."""

    def _end(self, made, index, code):
        super()._end(made, index, 0 if code and index.why is None else code)


@wrong()
class BlamesThePlatform(MemoryCompute):
    """Takes the user's faults for its own."""

    def _tell(self, made, index, state, *, reason="", code=None):
        super()._tell(made, index, state, reason=reason, code=code)
        if state == JobState.FAILED:
            with self._contents.changed:
                events = self._contents.events[made.job.group]
                events[-1] = replace(events[-1], platform_fault=True)


@wrong()
class TriesAgain(MemoryCompute):
    """Runs what failed once more."""

    def _end(self, made, index, code):
        if code and index.why is None:
            again = subprocess.run(made.job.argv, capture_output=True, check=False, env={**os.environ, **made.job.env})
            code = again.returncode
        super()._end(made, index, code)


@wrong()
class IgnoresTimeouts(MemoryCompute):
    """Lets jobs run as long as they like."""

    def _submit(self, job):
        return super()._submit(replace(job, timeout=None))


@wrong()
class WatchesFromNow(Watching):
    """Tells nothing of jobs that were submitted before."""

    class watches(Watch):
        def __init__(self, contents, group, resume):
            super().__init__(contents, group, len(contents.events.get(group, [])) if resume is None else resume)


@wrong()
class WatchesWhatIsThere(Watching):
    """Tells nothing of jobs that are submitted later."""

    class watches(Watch):
        def __init__(self, contents, group, resume):
            super().__init__(contents, group, resume)
            self.known = {key for key, made in contents.jobs.items() if made.job.group == group}

        def read(self):
            return [event for event in super().read() if event.handle.key in self.known]


@wrong()
class WatchesAll(MemoryCompute):
    """Has one group."""

    def _submit(self, job):
        return super()._submit(replace(job, group="all"))

    def watch(self, group, *, resume=None):
        return super().watch("all" if group != "empty" else group, resume=resume)


@wrong()
class TellsEndsTwice(Watching):
    """Tells a final state again."""

    class watches(Watch):
        def read(self):
            return [event for event in super().read() for _ in range(2 if event.state in FINAL else 1)]


@wrong()
class BeginsAgain(Watching):
    """Tells everything again to who goes on."""

    class watches(Watch):
        def state(self):
            return 0


@wrong()
class SkipsWhatItMissed(Watching):
    """Goes on at what happens from now on."""

    class watches(Watch):
        def __init__(self, contents, group, resume):
            super().__init__(contents, group, None if resume is None else len(contents.events.get(group, [])))


@wrong()
class StatesOfObjects(Watching):
    """Has a state that is no JSON."""

    class watches(Watch):
        def state(self):
            return {self._at}


@wrong()
class BlocksAllTheSame(Watching):
    """Has a descriptor that says nothing."""

    class watches(Watch):
        def fileno(self):
            if not hasattr(self, "file"):
                self.file = os.open("/dev/null", os.O_RDONLY)
            return self.file

        def close(self):
            super().close()
            if hasattr(self, "file"):
                os.close(self.file)
                del self.file


@wrong()
class CloseLeavesReaders(Watching):
    """Does not wake who reads when it is closed."""

    class watches(Watch):
        def close(self):
            pass


@wrong()
class CancelsOnce(MemoryCompute):
    """Complains when there is nothing left to cancel."""

    def cancel(self, handle, indexes=None):
        made = self._find(handle)
        if all(index.state in FINAL for index in made.indexes):
            raise PreconditionError("it has ended")
        super().cancel(handle, indexes)


@wrong()
class KillsTheChildAlone(MemoryCompute):
    """Leaves what a job has started."""

    def kill(self, process):
        if process is not None:
            process.kill()


@wrong()
class CancelsAll(MemoryCompute):
    """Cancels every index."""

    def cancel(self, handle, indexes=None):
        super().cancel(handle)


@wrong()
class CancelledIsFailed(MemoryCompute):
    """Tells a cancelled job as failed."""

    def _end(self, made, index, code):
        if index.why and index.why[0] == JobState.CANCELLED:
            index.why = (JobState.FAILED, "killed")
        super()._end(made, index, code)


@wrong()
class KnowsEveryJob(MemoryCompute):
    """Says nothing of a handle that it does not know."""

    def cancel(self, handle, indexes=None):
        try:
            super().cancel(handle, indexes)
        except NotFoundError:
            return


@wrong()
class LogsOfText(MemoryCompute):
    """Takes output for text."""

    def logs(self, handle, index, *, after=None):
        for chunk in super().logs(handle, index, after=after):
            yield replace(chunk, data=chunk.data.decode("utf-8", "replace").encode())


@wrong()
class LogsFromTheBeginning(MemoryCompute):
    """Ignores the cursor."""

    def logs(self, handle, index, *, after=None):
        return super().logs(handle, index)


@wrong()
class OffsetsFromZero(MemoryCompute):
    """Counts offsets from each call."""

    def logs(self, handle, index, *, after=None):
        for chunk in super().logs(handle, index, after=after):
            yield replace(chunk, offset=chunk.offset + 1)


@wrong()
class LogsInTheEnd(MemoryCompute):
    """Declares live logs and has them in the end."""

    def logs(self, handle, index, *, after=None):
        made = self._find(handle)
        return super().logs(handle, index, after=after) if made.indexes[index].state in FINAL else iter(())


@wrong()
class ClaimsDirectWorkers(MemoryCompute):
    """Declares an ability that it does not have."""

    capabilities: ClassVar[ComputeCapability] = MemoryCompute.capabilities | ComputeCapability.DIRECT


@wrong()
class ReattachesInSecret(MemoryCompute):
    """Does not declare what it can do."""

    shared: ClassVar[bool] = True


@wrong()
class ShowsItsToken(MemoryCompute):
    """Has its password in its `repr`."""

    def __repr__(self):
        return f"ShowsItsToken({Suite.secret[1]!r})"


class Suite(ComputeBackendConformance):
    wrong: ClassVar[Wrong]
    patience = 3.0
    secret = (SecretRef(provider="env", id="X"), "hidden-value-77")

    @pytest.fixture
    def backend(self) -> Any:
        return self.wrong.backend(secret=dict([self.secret]).__getitem__)

    @pytest.fixture
    def reopen(self, backend: Any) -> Callable[[], Any]:
        same = getattr(self.wrong.backend, "shared", False)
        return lambda: self.wrong.backend(backend.name if same else f"{backend.name}-in-another-process")


globals().update(suites_of("computes", Suite))
