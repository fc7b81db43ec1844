"""A task with hooks, for tests that run it without a run."""

from __future__ import annotations

from dovetail import StagedTask, task, transaction

__all__ = ["double", "told", "transaction"]

told: list[str] = []


@task
def double(x: int) -> int:
    """Twice the number."""
    return 2 * x


@double.on_commit
def kept(txn: StagedTask) -> None:
    """Note it."""
    told.append(f"commit {txn.get('k')}")


@double.on_rollback
def undone(txn: StagedTask) -> None:
    """Note it."""
    told.append(f"rollback {txn.get('k')}")
