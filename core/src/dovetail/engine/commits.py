"""What has ended and waits for its commit record, and what follows once the record is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dovetail.engine.committer import Pending
from dovetail.engine.recorded import outcome_of

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.bookkeeper import Bookkeeper
    from dovetail.engine.calls import CallBuilder
    from dovetail.engine.committer import Written
    from dovetail.engine.hooks import Hooks
    from dovetail.engine.journal import Journal
    from dovetail.engine.machine import RunMachine
    from dovetail.engine.recorded import Recorded, Reuse
    from dovetail.engine.transactions import Transactions
    from dovetail.interfaces.tasks import TaskCall
    from dovetail.planning.planned import PlannedTask

__all__ = ["Commits"]

BATCH = 512
"""Records that are written with one append at the most."""


class Commits:
    """The commits of one run. Owned by the driver's thread.

    Args:
        books: Writes the records, and keeps what follows.
        journal: Follows them.
        machine: Told of what is committed.
        calls: Knows what the tasks of a step share.
        recorded: What may be reused.
        hooks: Plans what is called when a task has ended.
        transactions: Knows which are open.
        values_of: Bytes of the values section of a recorded task.
        called: Told of a called task once its record is written.
    """

    def __init__(
        self,
        *,
        books: Bookkeeper,
        journal: Journal,
        machine: RunMachine,
        calls: CallBuilder,
        recorded: Recorded,
        hooks: Hooks,
        transactions: Transactions,
        values_of: Callable[[CommitRecord], bytes],
        called: Callable[[Written], None],
    ) -> None:
        self._books = books
        self._journal = journal
        self._machine = machine
        self._calls = calls
        self._recorded = recorded
        self._hooks = hooks
        self._transactions = transactions
        self._values_of = values_of
        self._called = called
        self._pending: list[Pending] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    @property
    def full(self) -> bool:
        """Whether what waits should be written before more is added."""
        return len(self._pending) >= BATCH

    def add(self, pending: Pending) -> None:
        """Have a record written for a task that has ended."""
        self._pending.append(pending)

    def reuse(self, task: PlannedTask, call: TaskCall, found: Reuse) -> None:
        """Take a record instead of running a task."""
        record, values = found.record, found.values
        assert record is not None
        same_run = record.call_digest == call.digest and record.run == self._recorded.run
        self._pending.append(
            Pending(
                task=task,
                call=call,
                outcome=outcome_of(record, self._values_of(record) if values is None else values),
                attempt=record.attempt,
                state=record.state if same_run else "cached",
                isolation=record.isolation,
                usage=record.usage,
                log=record.log,
                origin=record.origin if same_run else record.origin or record.run,
                written=record if same_run else None,
                by_key=record.code_key == call.code.key or record.cache == call.cache_key,
            )
        )

    def write(self) -> None:
        """Write what has ended, then tell the planner: nothing follows from a task whose record is not there."""
        while self._pending:
            batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
            done = self._books.commit(batch)
            for written in done:  # who called goes on while the books are kept
                task = written.pending.task
                if task.is_called:
                    self._transactions.committed(task, self._calls.plan(task))
                    self._called(written)
            for written in done:
                task = written.pending.task
                self._books.committed(written)
                self._machine.committed(task, written.next, written.scope)
                if written.pending.state == "succeeded":
                    self._hooks.task_ended(task, self._calls.plan(task), written.pending.attempt, "on_success", None)
            self._journal.flush_if_due()
