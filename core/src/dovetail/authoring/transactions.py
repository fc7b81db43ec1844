"""Transactions: tasks whose effects are kept together or undone together.

```python
from dovetail import flow, task, transaction


@task
def write(name): ...


@write.on_rollback
def remove(txn):
    print("undo", txn.get("name"))


@flow
def publish(name: str = "report"):
    with transaction() as txn:
        txn.set("name", name)
        write(name)
```

Everything that a transaction decides is a record of the run, below the path of the transaction: that it began, what was
set, how it ended, which hooks have run. So it is undone or completed once, by whoever is there to do it: the process
that runs the block, that process when the run goes on after a crash, or one that the driver starts when there is none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dovetail.authoring.calling import caller
from dovetail.authoring.hooks import hook_address, hooks_of, named_in_module
from dovetail.authoring.task_function import TaskFunction
from dovetail.authoring.task_function import task as _task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from dovetail.authoring.futures import TaskFuture

__all__ = ["StagedTask", "Transaction", "conclude", "decide_rollback", "set_values", "transaction"]


# -- what is recorded -------------------------------------------------------------------------------------------------


@_task(name="transaction", isolation="inline")
def _begin() -> None:
    """A transaction began; what it calls lies below."""


@_task(name="set", isolation="inline")
def _set(name: str, value: Any) -> Any:
    """Something was kept for the hooks."""
    return value


@_task(name="commit", isolation="inline")
def _commit() -> str:
    """It ended well; from now on it is completed."""
    return "on_commit"


@_task(name="rollback", isolation="inline")
def _roll_back(staged: list[Any], values: dict[str, Any]) -> list[Any]:
    """It failed; from now on it is undone."""
    return [staged, values]


@_task(name="joined", isolation="inline")
def _joined() -> None:
    """It ended well inside of another one, which decides."""


@_task(name="ended", isolation="inline")
def _ended() -> None:
    """All of its hooks have been called."""


# -- what users see ---------------------------------------------------------------------------------------------------


class StagedTask:
    """A task that succeeded in a transaction, as its hooks see it."""

    __slots__ = ("_values", "committed", "hooks", "name", "path")

    def __init__(self, path: str, name: str, hooks: Sequence[Sequence[str]], values: Mapping[str, Any]) -> None:
        self.path = path
        """Path of the task in the run."""
        self.name = name
        """Name of the task."""
        self.hooks = hooks
        """(kind, `module:name`) of each of its hooks."""
        self.committed = False
        """Whether the transaction ended well."""
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        """What the transaction kept under a name.

        Args:
            name: As given to `Transaction.set`.
            default: Where nothing was kept.
        """
        return self._values.get(name, default)

    def is_committed(self) -> bool:
        """Whether the transaction ended well."""
        return self.committed


class Transaction:
    """A group of task calls; made by `transaction`."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self._values: dict[str, Any] = {}
        self._staged: list[tuple[TaskFunction[..., Any], str, TaskFuture[Any] | None, Mapping[str, Any]]] = []
        self._outer: Transaction | None = None
        self._calls: Any = None
        self._token: Any = None
        self._committed = False

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the hooks. It is recorded, so hooks have it after a crash too.

        Args:
            name: What hooks get it by.
            value: Anything that can be stored.
        """
        if self._calls is not None:
            self._calls.record(_set, {"name": name, "value": value}, key=name)
        self._values[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """What was kept under a name, here or in a transaction around this one.

        Args:
            name: As given to `set`.
            default: Where nothing was kept.
        """
        if name in self._values:
            return self._values[name]
        return default if self._outer is None else self._outer.get(name, default)

    def is_committed(self) -> bool:
        """Whether it ended well and was not a part of another one."""
        return self._committed

    # -- the block ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        here: Any = caller.get()
        if isinstance(here, _Group):
            self._outer, here = here.transaction, here.calls
        if here is not None:
            self._calls = self._begun(here)
        self._token = caller.enter(_Group(self, self._calls))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        caller.leave(self._token)
        if isinstance(error, KeyboardInterrupt):
            return  # the run may go on: then so does this
        failure: BaseException | None = None
        try:
            if self._calls is not None:
                self._calls.finish()
        except BaseException as unhandled:
            failure = unhandled
        self._end(failed=error is not None or failure is not None)
        if error is None and failure is not None:
            raise failure

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _begun(self, here: Any) -> Any:
        """The caller of what the block calls. What was undone before is not there again: it has a new path."""
        first, _ = here.record(_begin, {}, key=self.key or "transaction")
        path, count = first, 0
        while True:
            calls = here.within(path)
            undone = calls.lookup(_roll_back) if calls.replays else None
            if undone is None:
                return calls
            if calls.lookup(_ended) is None:  # it was cut off in the middle
                staged, values = undone[0]
                found = [StagedTask(where, name, hooks, values) for where, name, hooks in staged]
                conclude(calls, "on_rollback", found)
            count += 1
            path, _ = here.record(_begin, {}, key=f"{first} {count}")

    def _end(self, *, failed: bool) -> None:
        calls, staged = self._calls, self._staged_tasks()
        if self._outer is not None and not failed:
            self._outer._staged += [
                (task, path, future, {**values, **self._values}) for task, path, future, values in self._staged
            ]
            if calls is not None:
                calls.record(_joined, {}, key="joined")
            return
        kind = "on_rollback" if failed else "on_commit"
        if calls is None:
            _call_here(kind, staged)
        else:
            if calls.replays and calls.lookup(_commit) is not None:
                kind = "on_commit"  # decided before a crash
            elif failed:
                decide_rollback(calls, staged, self._all_values())
            else:
                calls.record(_commit, {}, key="commit")
            conclude(calls, kind, staged)
        self._committed = kind == "on_commit"

    def _all_values(self) -> dict[str, Any]:
        return {**(self._outer._all_values() if self._outer is not None else {}), **self._values}

    def _staged_tasks(self) -> list[StagedTask]:
        """What succeeded and has hooks, in the order of the calls."""
        found = []
        around = self._all_values()
        for task, path, future, values in self._staged:
            if future is not None and (future.cancelled() or not future.done() or future._exception is not None):
                continue
            hooks = [(kind, hook_address(function) or "") for kind, function in hooks_of(task)]
            found.append(StagedTask(path or getattr(future, "path", ""), task.name, hooks, {**around, **values}))
        return found


def transaction(key: str | None = None) -> Transaction:
    """A group of task calls whose effects are kept together or undone together.

    When the block ends well, the `on_commit` hooks of the tasks that it called run, in the order of the calls. When
    it raises, or something that it submitted failed and nobody asked about it, the `on_rollback` hooks of those that
    succeeded run, the last one first; and called again, by a retry or when the run is resumed, these tasks run again. A
    transaction inside of another one that ends well is left to that one.

    Args:
        key: Tells this transaction apart where several may be begun at the same time.
    """
    return Transaction(key)


# -- how it is done ---------------------------------------------------------------------------------------------------


class _Group:
    """The caller inside the block: calls lie below the transaction and are noted for its hooks."""

    __slots__ = ("calls", "transaction")

    def __init__(self, transaction: Transaction, calls: Any) -> None:
        self.transaction = transaction
        self.calls = calls

    def call(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> Any:
        if self.calls is None:
            value = self._plain(task, given)
            self._note(task, task.name)
            return value
        path, value = self.calls.record(task, given, wait_for=wait_for, key=key)
        self._note(task, path)
        return value

    async def call_async(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> Any:
        if self.calls is None:
            value = await self._plain(task, given)
            self._note(task, task.name)
            return value
        path, value = await self.calls.record_async(task, given, wait_for=wait_for, key=key)
        self._note(task, path)
        return value

    def submit(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
        index: tuple[int, ...] = (),
    ) -> TaskFuture[Any]:
        if self.calls is None:
            raise task._outside("submit")
        future: TaskFuture[Any] = self.calls.submit(task, given, wait_for=wait_for, key=key, index=index)
        self._note(task, "", future)
        return future

    def room(self) -> None:
        if self.calls is not None:
            self.calls.room()

    def __getattr__(self, name: str) -> Any:
        """What is no call of a task is the attempt's own matter."""
        return getattr(self.calls, name)

    def _note(self, task: TaskFunction[..., Any], path: str, future: TaskFuture[Any] | None = None) -> None:
        if hooks_of(task):
            self.transaction._staged.append((task, path, future, {}))

    def _plain(self, task: TaskFunction[..., Any], given: Mapping[str, Any]) -> Any:
        """Outside of a run: the plain function, whose own calls are not the block's."""
        args, kwargs = task.unbind(given)
        token = caller.enter(None)
        try:
            return task.fn(*args, **kwargs)
        finally:
            caller.leave(token)


class _HookCall(TaskFunction[..., "Any"]):
    """A hook as a task, so that it is recorded; what it is given is no part of its identity."""

    staged: StagedTask

    def unbind(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.staged,), {}


def decide_rollback(calls: Any, staged: Iterable[StagedTask], values: Mapping[str, Any]) -> None:
    """Record that a transaction is undone; nothing happens where that is on record.

    Args:
        calls: The caller at the path of the transaction.
        staged: What its hooks are called for.
        values: What was kept.
    """
    plain = [[one.path, one.name, [list(hook) for hook in one.hooks]] for one in staged]
    calls.record(_roll_back, {"staged": plain, "values": dict(values)}, key="rollback")


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
                calls.record(call, {}, key=f"{one.path} {number} {address}")
            except Exception as error:
                _report(kind, address, error)
    calls.record(_ended, {}, key="ended")


def set_values(calls: Any, names: Iterable[str]) -> dict[str, Any]:
    """What a transaction kept, as it is on record.

    Args:
        calls: The caller at the path of the transaction.
        names: What was set, in order, as often as it was.
    """
    found: dict[str, Any] = {}
    for name in names:
        kept = calls.lookup(_set, key=name)
        if kept is not None:
            found[name] = kept[0]
    return found


def _call_here(kind: str, staged: Iterable[StagedTask]) -> None:
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
