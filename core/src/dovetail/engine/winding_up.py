"""What is left to tell of a run that is cancelled while nothing drives it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.artifacts.rows import committed_columns, failed_columns
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import ErrorReport

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.reports import AttemptReport
    from dovetail.engine.hooks import Hooks
    from dovetail.engine.journal import Journal
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["cancel_left"]


def cancel_left(
    provider: MetadataProvider,
    journal: Journal,
    run: str,
    *,
    known: KnownSteps,
    records: Iterable[CommitRecord],
    reports: Iterable[AttemptReport],
    hooks: Hooks,
) -> None:
    """Cancel the tasks that a driver before has left under way: they ran when it was killed, or waited when the run was
    paused. What it had on record and did not come to tell, which a run that goes on comes by again, is told too.

    Args:
        provider: What the index shows.
        journal: Told of them.
        run: Run id.
        known: What the tasks are.
        records: What the run has.
        reports: Those of its failed attempts.
        hooks: Says which are to be called.
    """
    page = provider.query(Query(kind="tasks", run=run), columns=("path", "state", "attempt", "started"))
    rows = {path: (TaskState(state), attempt, started) for path, state, attempt, started in page.rows}
    ended: set[str] = set()
    for record in records:
        ended.add(record.path)
        if record.path not in rows or not rows[record.path][0].final:
            journal.task(record.path, TaskState(record.state), **committed_columns(record))
    for report in reports:
        if report.final and report.path not in ended:
            ended.add(report.path)
            if report.path not in rows or not rows[report.path][0].final:
                journal.task(report.path, TaskState.FAILED, **failed_columns(report))
    error = ErrorReport(type="", message="cancelled with the run", kind="cancelled")
    for path, (state, attempt, started) in rows.items():
        if state.final or path in ended:
            continue
        journal.task(path, TaskState.CANCELLED, finished=time.time())
        if started is not None:  # else it waited to begin
            hooks.left_cancelled(known, path, attempt or 1, error)
