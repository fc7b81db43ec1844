"""Which tasks of a run only keep its transactions, and were not called by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dovetail.client.run import Run

__all__ = ["BOOKKEEPING", "TRANSACTION_ENDS", "code_of_transactions"]

TRANSACTION_ENDS: Final = {"commit": "committed", "rollback": "rolled back", "joined": "part of the one around it"}
"""Name of what a transaction leaves on record of its end → what that says."""
BOOKKEEPING: Final = frozenset({*TRANSACTION_ENDS, "set", "ended", "finish"})
"""Names of the tasks by which a transaction is kept. A user's task can have one too: its code tells."""
_RECORDS: Final = "dovetail.authoring.transaction_records"


def code_of_transactions(run: Run) -> frozenset[str]:
    """Code keys of the tasks that are Dovetail's own.

    Raises:
        DovetailError: The run's store can't be read.
    """
    from dovetail.artifacts.called_tasks import read_called_tasks

    return frozenset(one.code_key for one in read_called_tasks(run._store, run.id) if one.module == _RECORDS)
