"""State hooks: functions that are called when a flow, step or task has ended, in a process of their own.

```python
from dovetail import flow, on_failure, task


def tell(what, run, state):
    print(f"{run.path or run.flow} {state.name}: {state.error}")


@on_failure(tell)
@task
def load(source): ...


@flow(on_failure=[tell])
def nightly(): ...
```
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from dovetail.interfaces.problems import Problem

    Target = TypeVar("Target", bound=Callable[..., Any])
    Hook = TypeVar("Hook", bound=Callable[..., Any])

__all__ = [
    "HOOKS",
    "add_hooks",
    "hook_address",
    "hooks_of",
    "named_in_module",
    "on_cancel",
    "on_crash",
    "on_failure",
    "on_success",
    "plain_hooks",
]

HOOKS = "__dovetail_hooks__"
"""Attribute of a function or class: (kind, function) of each of its hooks, in the order written."""
_OF_TRANSACTIONS = frozenset({"on_commit", "on_rollback"})
_COROUTINE = 0x80
"""`CO_COROUTINE`."""


class _On:
    """A decorator that adds hooks of one kind to what stands below it."""

    __slots__ = ("functions", "kind")

    def __init__(self, kind: str, functions: tuple[Any, ...]) -> None:
        self.kind = kind
        self.functions = functions

    def __call__(self, target: Target) -> Target:
        subject: Any = target
        if isinstance(subject, type):
            from dovetail.authoring.flowspec import FlowSpec

            if not issubclass(subject, FlowSpec):
                raise TypeError(f"@{self.kind} belongs on a flow, step or task, not on {subject.__name__}")
        elif not callable(subject):
            raise TypeError(f"@{self.kind} belongs on a flow, step or task, not on {subject!r}")
        add_hooks(subject, self.kind, self.functions, first=True)
        return target


def on_success(*functions: Callable[..., Any]) -> Callable[[Target], Target]:
    """Have functions called when a flow, step or task has succeeded.

    Each gets three arguments: what it was (the flow or task, or the step's method), the run (`id`, `flow`, `path`,
    `step`, `attempt`) and the state (`name`, `error`). It is called once, in a process of its own, whatever became of
    the process of the task; what it raises is reported and changes nothing.

    Args:
        functions: At the top level of a module, where that process finds them.
    """
    return _On("on_success", functions)


def on_failure(*functions: Callable[..., Any]) -> Callable[[Target], Target]:
    """The same for one that failed: an error or a time-out, and no further attempt follows.

    Args:
        functions: As of `on_success`.
    """
    return _On("on_failure", functions)


def on_cancel(*functions: Callable[..., Any]) -> Callable[[Target], Target]:
    """The same for one that was ended on request.

    Args:
        functions: As of `on_success`.
    """
    return _On("on_cancel", functions)


def on_crash(*functions: Callable[..., Any]) -> Callable[[Target], Target]:
    """The same for one whose process died: killed, out of memory, left by `os._exit`.

    Args:
        functions: As of `on_success`.
    """
    return _On("on_crash", functions)


def add_hooks(target: Any, kind: str, functions: Any, *, first: bool = False) -> None:
    """Add hooks of one kind to what they belong to.

    Args:
        target: A flow, step or task.
        kind: Such as `on_failure`.
        functions: One function, or several, or None.
        first: Whether they go before those that it has.

    Raises:
        TypeError: One of them is no function.
    """
    several: Any = () if functions is None else functions
    given: tuple[Any, ...] = (several,) if callable(several) or not hasattr(several, "__iter__") else tuple(several)
    added = tuple((kind, function) for function in given)
    for _, function in added:
        if not callable(function):
            raise TypeError(f"{kind} takes functions, not {function!r}")
    if added:
        known = hooks_of(target)
        setattr(target, HOOKS, (*added, *known) if first else (*known, *added))


def hooks_of(target: Any) -> tuple[tuple[str, Any], ...]:
    """(kind, function) of each hook of a function or class; those of a class are also its subclasses'."""
    found: tuple[tuple[str, Any], ...] = getattr(target, HOOKS, ())
    return found


def plain_hooks(target: Any, where: str, problems: list[Problem], file: str, line: int) -> tuple[tuple[str, str], ...]:
    """(kind, `module:name` of the function) of each hook; one that no other process finds is a problem."""
    found = []
    for kind, function in hooks_of(target):
        address = hook_address(function)
        if kind in _OF_TRANSACTIONS and _is_coroutine(function):
            from dovetail.interfaces.problems import Problem

            problems.append(
                Problem(
                    code="hook-async",
                    message=f"{where}: {function.__qualname__} is a coroutine function, and {kind} hooks are called "
                    "in the process of the block, whose event loop may be running",
                    fix="Make it a plain function.",
                    file=file,
                    line=line,
                )
            )
        elif address is None:
            from dovetail.interfaces.problems import Problem

            name = getattr(function, "__qualname__", None) or repr(function)
            problems.append(
                Problem(
                    code="hook-address",
                    message=f"{where}: the process that runs its {kind} hook can't find {name}, which is no top-level "
                    "name of a module",
                    fix="Define it with def at the top level of a module.",
                    file=file,
                    line=line,
                )
            )
        else:
            found.append((kind, address))
    return tuple(found)


def _is_coroutine(function: Any) -> bool:
    code = getattr(getattr(function, "fn", function), "__code__", None)
    return bool(code is not None and code.co_flags & _COROUTINE)


def hook_address(function: Any) -> str | None:
    """`module:name` of a function that other processes find by it; None for any other."""
    name = getattr(function, "__qualname__", "")
    value: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in name.split("."):
        value = getattr(value, part, None)
    if value is None or value is not function:
        return None
    from dovetail.authoring.describe import canonical_module

    return f"{canonical_module(function)}:{name}"


def named_in_module(address: str) -> Any:
    """What a module holds, by `module:name`.

    Raises:
        UsageError: It holds nothing of this name.
    """
    from importlib import import_module

    module, _, name = address.partition(":")
    found: Any = sys.modules.get(module) or import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        from dovetail.interfaces.errors import UsageError

        raise UsageError(f"{module} has no {name} where it runs", hint="Define it at the top level of the module.")
    return found
