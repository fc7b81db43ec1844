"""What a run leaves behind as its attempts go on: records, reports, logs, journal rows; and what is told of it here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.reports import AttemptReport
from dovetail.engine.journal import compact
from dovetail.interfaces.caching import cache_column
from dovetail.interfaces.events import EventKind
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import ErrorReport, Exit, Isolation, Usage

if TYPE_CHECKING:
    from dovetail.artifacts.logs import LogWriter
    from dovetail.artifacts.waits import Question
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.committer import Committer, Pending, Written
    from dovetail.engine.journal import Journal
    from dovetail.engine.listener import RunListener
    from dovetail.engine.machine import Attempt
    from dovetail.interfaces.workers import Output

__all__ = ["Bookkeeper"]


class Bookkeeper:
    """Keeps the books of one run. Owned by the driver's thread.

    Args:
        committer: Writes commit records.
        journal: Takes events.
        logs: Takes what tasks print.
        report: Keeps the report of a failed attempt; its key.
        keep_hooks: Keeps the hooks of a call, by its path; its key.
        listener: Told what happens.
        expected: Of a run that is continued: step → tasks that the journal says are to come.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        journal: Journal,
        logs: LogWriter,
        report: Callable[[AttemptReport], str],
        keep_hooks: Callable[[str, StepPlan], str],
        listener: RunListener,
        expected: Mapping[str, int] | None = None,
    ) -> None:
        self._committer = committer
        self._journal = journal
        self._logs = logs
        self._report = report
        self._keep_hooks = keep_hooks
        self._listener = listener
        self._offsets: dict[tuple[str, int], list[int]] = {}
        self._started: dict[str, float] = {}
        self._held_up: set[str] = set()
        self._expected: dict[str, int] = {}
        self._journaled = dict(expected or {})

    # -- while attempts run ---------------------------------------------------------------------------------------

    def expected(self, counts: Iterable[tuple[str, int]]) -> None:
        """So many tasks of each step are known to come, in all."""
        for step, count in counts:
            if count <= self._expected.get(step, 0):
                continue
            self._expected[step] = count
            self._listener.expected(step, count)
            journaled = self._journaled.get(step, 0)
            if count > journaled:
                self._journaled[step] = count
                self._journal.add(EventKind.EXPECTED, step=step, count=count - journaled)

    def not_reused(self, path: str, reason: str) -> None:
        """Of a resumed run: why a task runs."""
        self._journal.add(EventKind.NOTE, path, level="info", message=f"runs: {reason}")
        self._listener.not_reused(path, reason)

    def began(self, path: str, attempt: int) -> None:
        """An attempt runs."""
        now = time.time()
        self._started[path] = now
        self._journal.begun(path, attempt, now)
        self._listener.task_began(path, attempt)

    def held_up(self, attempt: Attempt, limit: str) -> None:
        """A task has waited for a limit for a while."""
        path = attempt.call.path
        self._held_up.add(path)
        self._journal.task(path, TaskState.WAITING, attempt=attempt.number, info=compact({"limit": limit}))
        self._listener.held_up(path, limit)

    def call_hooks(self, path: str, plan: StepPlan) -> None:
        """A call has hooks of its own: whoever goes on with the run is to know them."""
        self._journal.touched([self._keep_hooks(path, plan)])

    def asks(self, question: Question) -> None:
        """A task waits for somebody outside of the run."""
        self._started[question.path] = question.since
        info = compact({"wait": question.to_plain()})
        self._journal.task(question.path, TaskState.WAITING, attempt=1, started=question.since, info=info)
        self._journal.flush()  # somebody may look for it now

    def asks_no_more(self, attempt: Attempt) -> None:
        """What a task asked need not be answered any more."""
        self._started.pop(attempt.task.path, None)
        self._journal.task(attempt.task.path, TaskState.CANCELLED, finished=time.time())
        self._listener.answered(attempt.task.path)

    def paused(self, attempt: Attempt) -> None:
        """An attempt was ended since the run is paused: it is made again, and nothing of it failed."""
        self._started.pop(attempt.task.path, None)
        self._journal.task(attempt.task.path, TaskState.WAITING, attempt=attempt.number)

    def started(self, path: str) -> float | None:
        """When the present attempt of a task began, if it did."""
        return self._started.get(path)

    def output(self, output: Output) -> None:
        """A task wrote something: keep it, show it."""
        if output.path:
            offsets = self._offsets.setdefault((output.path, output.attempt), [0, 0])
            which = 0 if output.stream == "stdout" else 1
            self._logs.append(output.path, output.attempt, output.stream, offsets[which], output.time, output.data)
            offsets[which] += len(output.data)
        self._listener.output(output)

    def flush_logs(self) -> None:
        """Write what tasks printed; kill-durable when it returns."""
        self._journal.touched(self._logs.flush())

    def note(self, message: str, *, level: str = "warning") -> None:
        """Something that the user should know."""
        self._journal.add(EventKind.NOTE, level=level, message=message)
        self._listener.note(message)

    # -- when they end --------------------------------------------------------------------------------------------

    def commit(self, batch: list[Pending]) -> list[Written]:
        """Write the records of a batch; `committed` tells of each."""
        self.flush_logs()  # once for the batch: a frame of the log holds many tasks
        for pending in batch:
            if pending.written is None and pending.state == "succeeded":
                pending.log = self._log(pending.call.path, pending.attempt)
        done = self._committer.write(batch)
        self._journal.touched({written.record[0] for written in done if written.pending.written is None})
        return done

    def failed(
        self,
        attempt: Attempt,
        number: int,
        error: ErrorReport,
        state: TaskState,
        exit: Exit | None,
        usage: Usage | None,
    ) -> None:
        """An attempt left no record: `WAITING` (it is tried again), `FAILED` or `CANCELLED`."""
        path, finished = attempt.call.path, time.time()
        log = self._log(path, number)
        started = self._started.pop(path, None)
        columns: dict[str, Any] = {"attempt": number, "error": compact(error.to_plain()), "finished": finished}
        if path in self._held_up:
            self._held_up.remove(path)
            columns["info"] = None  # the row names the limit
        if started is not None:
            columns["started"] = started
        if usage is not None:
            columns["cpu"], columns["memory"] = usage.cpu, usage.memory
        if log is not None:
            columns["log"] = compact(log)
        if exit is not None:
            columns["info"] = compact({"exit": _exit_to_plain(exit)})
        if state is not TaskState.CANCELLED:
            report = AttemptReport(
                path=path,
                attempt=number,
                call_digest=attempt.call.digest,
                error=error,
                exit=exit,
                cpu=usage.cpu if usage else None,
                memory=usage.memory if usage else None,
                started=started,
                finished=finished,
                log=log,
                arguments=b"" if attempt.task.arguments is None else attempt.task.arguments.table,
                code_key=attempt.call.code.key,
                final=state is TaskState.FAILED,
            )
            self._journal.touched([self._report(report)])
            self._journal.add(
                EventKind.ATTEMPT, path, attempt=number, error=error.to_plain(), exit=_exit_to_plain(exit)
            )
        self._journal.task(path, state, **columns)
        seconds = finished - started if started is not None else 0.0
        self._listener.task_ended(path, state, number, error, seconds)

    def committed(self, written: Written) -> None:
        """Tell of a task whose record is written."""
        pending = written.pending
        outcome, call = pending.outcome, pending.call
        path = call.path
        self._started.pop(path, None)
        state = TaskState.CACHED if pending.state == "cached" else TaskState.SUCCEEDED
        if pending.written is not None and self._journal.shows(path, state):
            self._listener.task_known(path)
            return
        columns: dict[str, Any] = {
            "attempt": pending.attempt,
            "started": outcome.started,
            "finished": outcome.finished,
            "outputs": outcome.index,
            "record": compact(written.record),
        }
        usage = pending.usage
        if usage is not None:
            if usage.cpu is not None:
                columns["cpu"] = usage.cpu
            if usage.memory is not None:
                columns["memory"] = usage.memory
        if pending.log is not None:
            columns["log"] = compact(pending.log)
        if pending.cache is not None:
            columns["cache"] = cache_column(pending.cache.digest)
        info = _info(pending)
        if info:
            columns["info"] = compact(info)
        if path in self._held_up:
            self._held_up.remove(path)
            columns.setdefault("info", None)
        if pending.attempt > 1:  # the row still shows the attempt that failed
            columns["error"] = None
            columns.setdefault("info", None)
        self._journal.task(path, state, **columns)
        if outcome.objects:
            self._journal.touched(outcome.objects, call.datastore)
        if pending.written is not None:
            self._listener.task_known(path)
        else:
            self._listener.task_ended(path, state, pending.attempt, outcome.caught, outcome.finished - outcome.started)

    def _log(self, path: str, attempt: int) -> tuple[str, int, int] | None:
        if self._offsets.pop((path, attempt), None) is None:
            return None
        location = self._logs.location(path, attempt)
        self._logs.forget(path, attempt)
        return location


def _info(pending: Pending) -> dict[str, Any]:
    info: dict[str, Any] = {}
    if pending.isolation != Isolation.FORK.value:
        info["isolation"] = pending.isolation
    if pending.origin is not None:
        info["origin"] = pending.origin
    if pending.outcome.caught is not None:
        info["caught"] = pending.outcome.caught.to_plain()
    exit = _exit_to_plain(pending.exit)
    if exit is not None and exit.get("code", 1) != 0:
        info["exit"] = exit
    return info


def _exit_to_plain(exit: Exit | None) -> dict[str, Any] | None:
    """An exit as JSON-able data, without what is not known."""
    if exit is None:
        return None
    plain = {
        "code": exit.code,
        "signal": exit.signal,
        "out_of_memory": exit.out_of_memory or None,
        "last_memory": exit.last_memory,
    }
    return {name: value for name, value in plain.items() if value is not None}
