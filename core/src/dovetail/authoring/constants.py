"""Class attributes of a flow are constants: stored once a run, the same for every task, read-only in steps."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dovetail.authoring.flowspec import FlowSpec

__all__ = ["Constant", "constants", "install_constants", "is_constant"]


class Constant:
    """Stands for a class constant, so that a task reads the run's value and reading it is recorded.

    On the class, and on an instance made by hand, it is the value as written.
    """

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __get__(self, flow: FlowSpec | None, owner: type) -> Any:
        if flow is None:
            return self.value
        tie = flow._dovetail
        fixed = tie.fixed
        name = self.name
        if name in fixed:
            return fixed[name]
        if tie.binding is None:
            return self.value
        try:
            value = tie.binding.load(name)
        except KeyError:  # one that can't be stored, such as a lock
            value = self.value
        fixed[name] = value
        return value

    def __set__(self, flow: FlowSpec, value: Any) -> None:
        tie = flow._dovetail
        if tie.binding is not None:
            raise AttributeError(
                f"{type(flow).__name__}.{self.name} is a constant of the class and can't be set in a step; "
                "choose another name for the artifact"
            )
        tie.fixed[self.name] = value

    def __delete__(self, flow: FlowSpec) -> None:
        flow._dovetail.fixed.pop(self.name, None)


def is_constant(name: str, value: object) -> bool:
    """Whether a class attribute is data: not private, not a class or module, nothing that binds to an instance."""
    if name[0] == "_" or isinstance(value, (type, type(sys))):
        return False
    return not hasattr(type(value), "__get__")


def install_constants(cls: type[FlowSpec]) -> None:
    """Replace the constants of a new flow class, also those from mix-ins, by descriptors."""
    from dovetail.authoring.flowspec import FlowSpec

    seen: set[str] = set()
    for base in cls.__mro__:
        if base is FlowSpec or base is object:
            continue
        for name, value in list(vars(base).items()):
            if name in seen:
                continue
            seen.add(name)
            if is_constant(name, value):
                setattr(cls, name, Constant(name, value))


def constants(cls: type[FlowSpec]) -> dict[str, Any]:
    """Name → value of every class constant, nearest class first."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, value in vars(base).items():
            if name in seen:
                continue
            seen.add(name)
            if isinstance(value, Constant):
                found[name] = value.value
    return found
