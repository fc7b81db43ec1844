"""Compute backends that are wrong."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.compute import JobState
from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.interfaces.errors import NotFoundError, PreconditionError
from dovetail.local._job_watch import LocalJobWatch
from dovetail.local.compute import LocalCompute
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


@wrong("a_key_is_submitted_once")
class StartsAgain(MemoryCompute):
    """Starts a key again when it is submitted again."""

    def _submit(self, job):
        known = self._contents.jobs.pop(job.key, None)
        handle = super()._submit(job)
        return handle if known is None else replace(handle, id=known.handle.id)


@wrong("validate_tells_all_at_once")
class OneProblemAtATime(LocalCompute):
    """Tells the first problem."""

    def validate(self, job):
        return super().validate(job)[:1]


@wrong("a_job_runs_as_it_is_given")
class RunsAShell(LocalCompute):
    """Makes a shell string of the arguments."""

    def _plain(self, job):
        *front, code = job.argv[: job.argv.index("-c") + 2] if "-c" in job.argv else job.argv
        rest = job.argv[len(front) + 1 :]
        return super()._plain(replace(job, argv=("sh", "-c", " ".join([*map(shlex.quote, (*front, code)), *rest]))))


@wrong("secrets_reach_the_job_alone")
class SecretsInHandles(LocalCompute):
    """Keeps the values of secrets in handles."""

    def submit(self, jobs):
        return [
            replace(handle, data={name: self._ctx.secret(ref) for name, ref in job.secret_env.items()})
            for job, handle in zip(jobs, super().submit(jobs), strict=True)
        ]


@wrong("a_handle_survives_json", "another_handle_goes_on_with_a_job")
class HandlesOfObjects(LocalCompute):
    """Has in a handle what is no JSON."""

    def submit(self, jobs):
        return [_dated(handle) for handle in super().submit(jobs)]

    def watch(self, group, *, resume=None):
        return _DatedWatch(self._home / group, self._ctx.instance, resume)


class _DatedWatch(LocalJobWatch):
    def _event(self, followed, row):
        return replace(super()._event(followed, row), handle=_dated(followed.handle))


def _dated(handle):
    return replace(handle, data={"when": datetime.datetime(2026, 1, 1)})


@wrong("a_fault_of_the_program_is_its_own", "a_job_is_ended_after_its_timeout")
class BlamesThePlatform(LocalCompute):
    """Takes the user's faults for its own."""

    def watch(self, group, *, resume=None):
        return _BlamingWatch(self._home / group, self._ctx.instance, resume)


class _BlamingWatch(LocalJobWatch):
    def _event(self, followed, row):
        return replace(super()._event(followed, row), platform_fault=row.state == JobState.FAILED)


@wrong("a_failed_job_runs_once")
class TriesAgain(MemoryCompute):
    """Runs what failed once more."""

    def _end(self, made, index, code):
        if code and index.why is None:
            again = subprocess.run(made.job.argv, capture_output=True, check=False, env={**os.environ, **made.job.env})
            code = again.returncode
        super()._end(made, index, code)


@wrong("a_final_state_is_told_once", "a_watch_goes_on_where_it_was", "what_happened_meanwhile_is_told")
class TellsEndsTwice(Watching):
    """Tells a final state again."""

    class watches(Watch):
        def read(self):
            return [event for event in super().read() for _ in range(2 if event.state in FINAL else 1)]


@wrong("what_happened_meanwhile_is_told")
class SkipsWhatItMissed(Watching):
    """Goes on at what happens from now on."""

    class watches(Watch):
        def __init__(self, contents, group, resume):
            super().__init__(contents, group, None if resume is None else len(contents.events.get(group, [])))


@wrong("the_descriptor_tells_when_to_read")
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


@wrong("cancel_may_be_called_again")
class CancelsOnce(MemoryCompute):
    """Complains when there is nothing left to cancel."""

    def cancel(self, handle, indexes=None):
        made = self._find(handle)
        if all(index.state in FINAL for index in made.indexes):
            raise PreconditionError("it has ended")
        super().cancel(handle, indexes)


@wrong("some_indexes_are_cancelled")
class CancelsAllIndexes(LocalCompute):
    """Cancels the others as well."""

    def cancel(self, handle, indexes=None):
        super().cancel(handle, None if indexes else indexes)


@wrong("any_sequence_of_calls")
class DropsLogsOfTheEnded(LocalCompute):
    """Removes what a job has written when it is cancelled after its end."""

    def cancel(self, handle, indexes=None):
        folder = self._find(handle)
        latest = folder.latest()
        if len(latest) == handle.size and all(row.state in FINAL for row in latest.values()):
            for index in range(handle.size):
                folder.log(index, "stdout").unlink(missing_ok=True)
        super().cancel(handle, indexes)


@wrong("any_sequence_of_calls")
class CancelsWhatHasEnded(MemoryCompute):
    """Tells of an index that has ended that it was cancelled, when the rest of its job is."""

    def cancel(self, handle, indexes=None):
        made = self._find(handle)
        ended = [index for index in made.indexes if index.state in FINAL]
        super().cancel(handle, indexes)
        if 0 < len(ended) < len(made.indexes):
            for index in ended:
                self._tell(made, index, JobState.CANCELLED, reason="cancelled")


@wrong("any_sequence_of_calls")
class StartsWhatWasCancelled(MemoryCompute):
    """Starts a key again that was cancelled when it is submitted again."""

    def _submit(self, job):
        known = self._contents.jobs.get(job.key)
        if known is not None and any(index.state == JobState.CANCELLED for index in known.indexes):
            del self._contents.jobs[job.key]
            return replace(super()._submit(job), id=known.handle.id)
        return super()._submit(job)


@wrong("cancel_ends_all_that_was_started")
class KillsTheChildAlone(MemoryCompute):
    """Leaves what a job has started."""

    def kill(self, process):
        if process is not None:
            process.kill()


@wrong("an_unknown_job_is_told")
class KnowsEveryJob(LocalCompute):
    """Says nothing of a handle that it does not know."""

    def cancel(self, handle, indexes=None):
        try:
            super().cancel(handle, indexes)
        except NotFoundError:
            return


@wrong("logs_are_what_was_written")
class LogsOfText(LocalCompute):
    """Takes output for text."""

    def logs(self, handle, index, *, after=None):
        for chunk in super().logs(handle, index, after=after):
            yield replace(chunk, data=chunk.data.decode("utf-8", "replace").encode())


@wrong("logs_go_on_behind_any_chunk")
class LogsFromTheBeginning(LocalCompute):
    """Ignores the cursor."""

    def logs(self, handle, index, *, after=None):
        return super().logs(handle, index)


@wrong("lines_are_there_while_a_job_runs")
class LogsInTheEnd(LocalCompute):
    """Declares live logs and has them in the end."""

    def logs(self, handle, index, *, after=None):
        latest = self._find(handle).latest().get(index)
        return super().logs(handle, index, after=after) if latest and latest.state in FINAL else iter(())


@wrong("no_secret_is_shown")
class ShowsItsToken(LocalCompute):
    """Has its password in its `repr`."""

    def __repr__(self):
        return f"ShowsItsToken({Suite.secret[1]!r})"


class Suite(ComputeBackendConformance):
    wrong: ClassVar[Wrong]
    effort = 12
    patience = 3.0
    secret = (SecretRef(provider="env", id="X"), "hidden-value-77")

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        """Opens handles of a folder of jobs."""
        with ExitStack() as handles:
            ctx = PluginContext(instance="local", home=tmp_path / "home", secret=dict([self.secret]).__getitem__)
            yield lambda: handles.enter_context(closing(self.wrong.backend.open("", None, ctx)))

    @pytest.fixture
    def backend(self, opened: Callable[[], Any]) -> Any:
        if issubclass(self.wrong.backend, LocalCompute):
            return opened()
        return self.wrong.backend(secret=dict([self.secret]).__getitem__)

    @pytest.fixture
    def reopen(self, backend: Any, opened: Callable[[], Any]) -> Callable[[], Any]:
        if issubclass(self.wrong.backend, LocalCompute):
            return opened
        return lambda: self.wrong.backend(f"{backend.name}-in-another-process")


globals().update(suites_of("computes", Suite))
