"""Futures among the arguments of a call: finding them, and putting their values in their place."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from dovetail.authoring.futures import TaskFuture

    T = TypeVar("T")

__all__ = ["AllowedFailure", "allow_failure", "futures_in", "resolved"]

_PLAIN = frozenset({str, bytes, int, float, bool, type(None), complex, bytearray, range})


class AllowedFailure:
    """What `allow_failure` gives."""

    __slots__ = ("future",)

    def __init__(self, future: TaskFuture[Any]) -> None:
        self.future = future


def allow_failure(future: Any) -> Any:
    """Let a task be called although one of its inputs failed: it is given the exception in place of the value.

    Args:
        future: A future, as an argument of a task or inside one; several by `[allow_failure(f) for f in futures]`.

    Raises:
        UsageError: It is no future.
    """
    if not _is_future(future):
        from dovetail.interfaces.errors import UsageError

        raise UsageError(
            f"allow_failure takes a future, not {type(future).__name__}",
            hint="Give it what TASK.submit(...) returned; of a map: [allow_failure(f) for f in futures].",
        )
    return AllowedFailure(future)


def futures_in(value: object) -> list[TaskFuture[Any]]:
    """Every future in a value, each once, in the order met.

    Looks into lists, tuples, sets, dicts (keys too) and instances of dataclasses, at any depth; nowhere else, so an
    array or frame is never iterated over.
    """
    if type(value) in _PLAIN or "dovetail.authoring.futures" not in sys.modules:
        return []  # without that module there is no future
    if type(value) is dict and _PLAIN.issuperset(map(type, value.values())) and _PLAIN.issuperset(map(type, value)):
        return []  # as most calls have it
    found: dict[int, TaskFuture[Any]] = {}
    seen: set[int] = set()
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if type(item) in _PLAIN:
            continue
        if _is_future(item) or type(item) is AllowedFailure:
            future: Any = getattr(item, "future", item)
            found[id(future)] = future
        elif id(item) not in seen and (parts := _parts(item)):
            seen.add(id(item))
            pending += reversed(list(parts))
    return list(found.values())


def resolved(value: T, load: Callable[[TaskFuture[Any]], Any]) -> T:
    """A value with each future replaced.

    Whatever holds no future is left as it is, the very same object; what holds one is copied, and containers that
    hold each other do so in the copy.

    Args:
        value: Any.
        load: What a future became. What it raises is raised, but of a future in `allow_failure`, where it takes the
            place of the value.
    """
    if not futures_in(value):
        return value
    found: T = _Resolver(load).of(value)
    return found


class _Resolver:
    """One copy of a value."""

    def __init__(self, load: Callable[[TaskFuture[Any]], Any]) -> None:
        self._load = load
        self._loaded: dict[int, Any] = {}
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # while their ids are in use

    def of(self, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        if _is_future(value):
            return self._value(value)
        if type(value) is AllowedFailure:
            try:
                return self._value(value.future)
            except Exception as error:
                return error
        known = self._made.get(id(value), self)
        if known is not self:
            return known
        if not futures_in(value):
            return value
        self._kept.append(value)
        return self._copied(value)

    def _value(self, future: TaskFuture[Any]) -> Any:
        if id(future) not in self._loaded:
            self._loaded[id(future)] = self._load(future)
        return self._loaded[id(future)]

    def _copied(self, value: Any) -> Any:
        """A copy of a container. One that can be filled later is known before its items are looked at."""
        kind = type(value)
        made: Any
        if isinstance(value, list):
            made = self._made[id(value)] = _empty(kind)
            made.extend(self.of(item) for item in value)
        elif isinstance(value, dict):
            made = self._made[id(value)] = _emptied(value)
            for key, item in value.items():
                made[self.of(key)] = self.of(item)
        elif isinstance(value, (tuple, frozenset)):
            items = [self.of(item) for item in value]
            made = kind(*items) if hasattr(kind, "_fields") else kind(items)
        elif isinstance(value, set):
            made = self._made[id(value)] = _empty(kind)
            made.update([self.of(item) for item in value])
        else:  # a dataclass, frozen or not; made without calling `__init__`
            from copy import copy

            made = self._made[id(value)] = copy(value)
            for name in kind.__dataclass_fields__:
                if hasattr(value, name):
                    object.__setattr__(made, name, self.of(getattr(value, name)))
        self._made[id(value)] = made
        return made


def _empty(kind: Any) -> Any:
    return kind.__new__(kind)


def _emptied(value: Any) -> Any:
    """An empty dict of the same kind, `defaultdict` and others included."""
    if type(value) is dict:
        return {}
    from copy import copy

    made = copy(value)
    made.clear()
    return made


def _is_future(value: object) -> bool:
    module = sys.modules.get("dovetail.authoring.futures")
    return module is not None and isinstance(value, module.TaskFuture)


def _parts(value: Any) -> Iterable[Any]:
    """What a container holds; nothing for anything else."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return () if _PLAIN.issuperset(map(type, value)) else value  # a million numbers take milliseconds
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return [getattr(value, name, None) for name in fields]
    return ()
