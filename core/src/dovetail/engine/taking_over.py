"""What a driver that takes a run over tells of the tasks that those before it have left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.artifacts.reports import read_reports, reported_paths
from dovetail.artifacts.rows import committed_columns, failed_columns
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import ErrorReport

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.hooks import Hooks
    from dovetail.engine.journal import Journal
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["cancel_left", "tell_missed"]


def tell_missed(
    provider: MetadataProvider, store: DataStore, journal: Journal, run: str, records: Iterable[CommitRecord]
) -> None:
    """Tell what is on record and was not told before a driver was killed: the run need not come by it again.

    Args:
        provider: What the index shows.
        store: The run's data store.
        journal: Told of all of that, and then of what is missing.
        run: Run id.
        records: What the run has.
    """
    shown = dict(provider.query(Query(kind="tasks", run=run), columns=("path", "state")).rows)
    journal.know(shown)
    ended = {path for path, state in shown.items() if TaskState(state).final}
    recorded = set()
    for record in records:
        recorded.add(record.path)
        if record.path not in ended:
            journal.task(record.path, TaskState(record.state), **committed_columns(record))
            journal.know({record.path: record.state})
    for path in dict.fromkeys(reported_paths(store, run)):
        if path not in ended and path not in recorded:
            last = [report for report in read_reports(store, run, path) if report.path == path][-1:]
            if last and last[0].final:
                journal.task(path, TaskState.FAILED, **failed_columns(last[0]))
                journal.know({path: TaskState.FAILED.value})


def cancel_left(
    provider: MetadataProvider,
    store: DataStore,
    journal: Journal,
    run: str,
    *,
    known: KnownSteps,
    records: Iterable[CommitRecord],
    hooks: Hooks,
) -> None:
    """Cancel the tasks that a driver before has left under way: they ran when it was killed, or waited when the run was
    paused.

    Args:
        provider: What the index shows.
        store: The run's data store.
        journal: Told of them.
        run: Run id.
        known: What the tasks are.
        records: What the run has, whatever the index shows.
        hooks: Says which are to be called.
    """
    done = {record.path for record in records}
    done.update(report.path for report in read_reports(store, run) if report.final)
    states = tuple(state.value for state in TaskState if not state.final)
    page = provider.query(Query(kind="tasks", run=run, states=states), columns=("path", "attempt", "started"))
    error = ErrorReport(type="", message="cancelled with the run", kind="cancelled")
    for path, attempt, started in page.rows:
        if path in done:
            continue
        journal.task(path, TaskState.CANCELLED, finished=time.time())
        if started is not None:  # else it waited to begin
            hooks.left_cancelled(known, path, attempt or 1, error)
