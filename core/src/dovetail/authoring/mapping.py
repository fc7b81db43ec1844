"""`.map`: one call of a task for each item."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator, Mapping, Sequence
from io import IOBase
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dovetail.authoring.arguments import AllowedFailure
from dovetail.authoring.futures import TaskFuture
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.authoring.calling import Caller
    from dovetail.authoring.task_function import TaskFunction

__all__ = ["FutureList", "map_task", "unmapped"]

T = TypeVar("T")


class unmapped(Generic[T]):
    """An argument of `.map` that is the same for every item, though it can be iterated over."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class FutureList(list[TaskFuture[T]], Generic[T]):
    """What `.map` gives: the futures, in the order of the items."""

    def result(self, timeout: float | None = None) -> list[T]:
        """The values, in the order of the items; waits for all of them.

        Args:
            timeout: Seconds for all together; None: as long as it takes.

        Raises:
            TimeoutError: They are not all there yet.
            Exception: What the first item that failed raised.
        """
        if timeout is not None and not self.wait(timeout):
            raise TimeoutError(f"{sum(not future.done() for future in self)} of {len(self)} tasks have not ended")
        return [future.result() for future in self]

    results = result

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all have ended, however; whether they have. Does not ask how."""
        return not concurrent.futures.wait(self, timeout).not_done


def map_task(
    caller: Caller,
    task: TaskFunction[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    wait_for: Sequence[TaskFuture[Any]] = (),
) -> FutureList[Any]:
    """Submit one task for each item.

    Items are drawn one at a time, each only once the caller has room for a task more.

    Raises:
        UsageError: Nothing can be iterated over, or lengths differ; iterables that do not tell theirs end unevenly
            only after the items before were submitted.
        TypeError: The task can't be called so.
    """
    arguments = [*args, *kwargs.values()]
    mapped = [_is_mapped(argument) for argument in arguments]
    labels = [*(f"argument {n}" for n in range(1, len(args) + 1)), *kwargs]
    if not any(mapped):
        raise UsageError(
            f"{task.name}.map() has nothing to iterate over",
            hint="Give it a list or another iterable; text and dicts are passed whole. "
            f"A single call is {task.name}.submit(...).",
        )
    _check_lengths(task, labels, arguments, mapped)
    sources = {n: iter(arguments[n]) for n, is_mapped in enumerate(mapped) if is_mapped}
    constants = [a.value if isinstance(a, unmapped) else a for a in arguments]
    submitted: FutureList[Any] = FutureList()
    names = list(kwargs)
    while True:
        caller.room()
        drawn = _draw(task, labels, sources, len(submitted))
        if drawn is None:
            return submitted
        values = [drawn.get(n, constant) for n, constant in enumerate(constants)]
        positional, named = tuple(values[: len(args)]), dict(zip(names, values[len(args) :], strict=True))
        given = task.bind(positional, named)
        submitted.append(
            caller.submit(task, given, wait_for=wait_for, key=task._key_of(positional, named), index=(len(submitted),))
        )


def _is_mapped(value: Any) -> bool:
    """Whether an argument has an item for each call."""
    if isinstance(value, (unmapped, str, bytes, bytearray, dict, TaskFuture, AllowedFailure)):
        return False
    if isinstance(value, IOBase) or hasattr(type(value), "model_fields"):  # pydantic's models iterate over fields
        return False
    try:
        iter(value)
    except TypeError:  # also an array of no dimensions, which has __iter__
        return False
    return True


def _check_lengths(
    task: TaskFunction[..., Any], labels: Sequence[str], arguments: Sequence[Any], mapped: Sequence[bool]
) -> None:
    lengths = {
        label: len(argument)
        for label, argument, is_mapped in zip(labels, arguments, mapped, strict=True)
        if is_mapped and hasattr(argument, "__len__")
    }
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{label} has {length}" for label, length in lengths.items())
        raise UsageError(
            f"{task.name}.map() takes iterables of one length: {told}",
            hint="Wrap what is the same for every item: unmapped(x).",
        )


def _draw(
    task: TaskFunction[..., Any], labels: Sequence[str], sources: Mapping[int, Iterator[Any]], count: int
) -> dict[int, Any] | None:
    """The next item of every source, or None when all have ended."""
    drawn: dict[int, Any] = {}
    ended: list[int] = []
    for n, source in sources.items():
        try:
            drawn[n] = next(source)
        except StopIteration:
            ended.append(n)
    if not ended:
        return drawn
    if drawn:
        raise UsageError(
            f"{task.name}.map() takes iterables of one length: {labels[ended[0]]} ended after {count}, "
            f"{labels[next(iter(drawn))]} did not",
            hint=f"The {count} tasks before were submitted. Make the lengths agree, or wrap a constant: unmapped(x).",
        )
    return None
