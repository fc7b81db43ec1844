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

from typing import TYPE_CHECKING

from dovetail.authoring.calling import caller
from dovetail.authoring.hooks import hook_address, hooks_of
from dovetail.authoring.transaction_records import (
    StagedTask,
    begin,
    call_hooks,
    commit,
    conclude,
    decide_rollback,
    ended,
    joined,
    keep,
    roll_back,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from dovetail.authoring.futures import TaskFuture
    from dovetail.authoring.task_function import TaskFunction

__all__ = ["Transaction", "transaction"]

LONGEST = 100
"""Bytes of a name: the driver reads it out of the record of the call, where only small arguments are."""


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
            name: What hooks get it by, at most 100 bytes of text.
            value: Anything that can be stored.

        Raises:
            UsageError: The name is no text, or too long.
        """
        if not isinstance(name, str) or len(name.encode("utf-8", "surrogatepass")) > LONGEST:
            from dovetail.interfaces.errors import UsageError

            raise UsageError(f"{name!r} can't be the name of what a transaction keeps", hint="Give a short text.")
        if self._calls is not None:
            self._calls.record(keep, {"name": name, "value": value}, key=name)
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
        first, _ = here.record(begin, {}, key=self.key or "transaction")
        path, count = first, 0
        while True:
            calls = here.within(path)
            undone = calls.lookup(roll_back) if calls.replays else None
            if undone is None:
                return calls
            if calls.lookup(ended) is None:  # it was cut off in the middle
                conclude(calls, "on_rollback", [StagedTask(*one) for one in undone[0]])
            count += 1
            path, _ = here.record(begin, {}, key=f"{first} {count}")

    def _end(self, *, failed: bool) -> None:
        calls, staged = self._calls, self._staged_tasks()
        if self._outer is not None and not failed:
            self._outer._staged += [
                (task, path, future, {**self._values, **values}) for task, path, future, values in self._staged
            ]
            if calls is not None:
                calls.record(joined, {}, key="joined")
            return
        kind = "on_rollback" if failed else "on_commit"
        if calls is None:
            call_hooks(kind, staged)
        else:
            if calls.replays and calls.lookup(commit) is not None:
                kind = "on_commit"  # decided before a crash
            elif failed:
                decide_rollback(calls, staged)
            else:
                calls.record(commit, {}, key="commit")
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
