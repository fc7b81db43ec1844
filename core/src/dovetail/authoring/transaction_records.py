"""What a transaction leaves in the records of its run, and how it is ended by them.

Below the path of a transaction lie a record of what was kept (`set`), of how it ended (`commit`, `rollback`, or
`joined` where it is a part of another one), one of each hook that has returned, and one that all have been called
(`ended`).
Whoever ends it goes by these: what is on record is not done again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dovetail.authoring.hooks import named_in_module
from dovetail.authoring.task_function import TaskFunction
from dovetail.authoring.task_function import task as _task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = [
    "StagedTask",
    "begin",
    "call_hooks",
    "commit",
    "conclude",
    "decide_rollback",
    "ended",
    "joined",
    "keep",
    "roll_back",
    "set_values",
]


@_task(name="transaction", isolation="inline")
def begin() -> None:
    """A transaction began; what it calls lies below."""


@_task(name="set", isolation="inline")
def keep(name: str, value: Any) -> Any:
    """Something was kept for the hooks."""
    return value


@_task(name="commit", isolation="inline")
def commit() -> str:
    """It ended well; from now on it is completed."""
    return "on_commit"


@_task(name="rollback", isolation="inline")
def roll_back(staged: list[Any]) -> list[Any]:
    """It failed; from now on it is undone."""
    return staged


@_task(name="joined", isolation="inline")
def joined() -> None:
    """It ended well inside of another one, which decides."""


@_task(name="ended", isolation="inline")
def ended() -> None:
    """All of its hooks have been called."""


class StagedTask:
    """A task that succeeded in a transaction, as its hooks see it."""

    __slots__ = ("committed", "hooks", "name", "path", "values")

    def __init__(self, path: str, name: str, hooks: Sequence[Sequence[str]], values: Mapping[str, Any]) -> None:
        self.path = path
        """Path of the task in the run."""
        self.name = name
        """Name of the task."""
        self.hooks = hooks
        """(kind, `module:name`) of each of its hooks."""
        self.committed = False
        """Whether the transaction ended well."""
        self.values = values
        """What the transaction kept for it."""

    def get(self, name: str, default: Any = None) -> Any:
        """What the transaction kept under a name.

        Args:
            name: As given to `Transaction.set`.
            default: Where nothing was kept.
        """
        return self.values.get(name, default)

    def is_committed(self) -> bool:
        """Whether the transaction ended well."""
        return self.committed


class _HookCall(TaskFunction[..., "Any"]):
    """A hook as a task, so that it is recorded; what it is given is no part of its identity."""

    staged: StagedTask

    def unbind(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.staged,), {}


def decide_rollback(calls: Any, staged: Iterable[StagedTask]) -> None:
    """Record that a transaction is undone; nothing happens where that is on record.

    Args:
        calls: The caller at the path of the transaction.
        staged: What its hooks are called for.
    """
    plain = [[one.path, one.name, [list(hook) for hook in one.hooks], dict(one.values)] for one in staged]
    calls.record(roll_back, {"staged": plain}, key="rollback")


def conclude(calls: Any, kind: str, staged: Iterable[StagedTask]) -> None:
    """Call the hooks of one kind, each once, and record that all have been.

    Args:
        calls: The caller at the path of the transaction.
        kind: `on_commit` or `on_rollback`.
        staged: In the order of the calls.
    """
    for one in list(staged)[:: -1 if kind == "on_rollback" else 1]:
        one.committed = kind == "on_commit"
        for number, (of, address) in enumerate(one.hooks):
            if of != kind:
                continue
            try:
                function = _function(address)
                call = _HookCall(function, kind)
                call.staged = one
                shown = {"hook": address, "task": one.path.rpartition("/")[2]}
                calls.record(call, shown, key=f"{one.path} {number} {address}")
            except Exception as error:
                _report(kind, address, error)
    calls.record(ended, {}, key="ended")


def set_values(calls: Any, names: Iterable[str]) -> dict[str, Any]:
    """What a transaction kept, as it is on record.

    Args:
        calls: The caller at the path of the transaction.
        names: What was set, in order, as often as it was.
    """
    found: dict[str, Any] = {}
    for name in names:
        kept = calls.lookup(keep, key=name)
        if kept is not None:
            found[name] = kept[0]
    return found


def call_hooks(kind: str, staged: Iterable[StagedTask]) -> None:
    """Outside of a run: call the hooks, of which nothing is recorded."""
    for one in list(staged)[:: -1 if kind == "on_rollback" else 1]:
        one.committed = kind == "on_commit"
        for of, address in one.hooks:
            if of == kind:
                try:
                    _function(address)(one)
                except Exception as error:
                    _report(kind, address, error)


def _function(address: str) -> Any:
    function = named_in_module(address)
    return getattr(function, "fn", function)


def _report(kind: str, address: str, error: Exception) -> None:
    """Say that a hook failed, which changes nothing."""
    import traceback

    sys.stderr.write(f"{kind} hook {address} failed, which changes nothing:\n")
    sys.stderr.write("".join(traceback.format_exception(error)))
