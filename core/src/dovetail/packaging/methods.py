"""What an attribute of a flow class is made of: functions with code, or a plain value."""

from __future__ import annotations

import ast
import os
from types import CodeType
from typing import Any

__all__ = [
    "FoundMethod",
    "code_below",
    "find_method",
    "function_below",
    "is_called_by_name",
    "own_decorators",
]

_AUTHORING = "dovetail.authoring."
_CALLED_BY_NAME = (f"{_AUTHORING}task_function", f"{_AUTHORING}flow_function")


class FoundMethod:
    """One definition of an attribute, in one class of the MRO."""

    __slots__ = ("functions", "owner", "value")

    def __init__(self, owner: type, value: Any, functions: list[tuple[CodeType, Any]]) -> None:
        self.owner = owner
        self.value = value
        self.functions = functions
        """(code, function) of a method, or of each accessor of a property; empty for a constant."""


def find_method(flow_cls: type, name: str) -> list[FoundMethod]:
    """Every definition of an attribute, nearest first; those behind a constant or that Dovetail gives are left
    out, and so are parameters, whose values are inputs."""
    found: list[FoundMethod] = []
    for base in flow_cls.__mro__:
        if name not in vars(base) or base.__module__.partition(".")[0] in ("dovetail", "builtins"):
            continue
        value = vars(base)[name]
        kind = type(value)
        if kind.__module__.partition(".")[0] == "dovetail" and kind.__name__ != "Constant":
            return found
        if is_called_by_name(getattr(value, "__func__", None)):  # @staticmethod above @task
            return found
        if kind.__name__ == "Constant":
            found.append(FoundMethod(_written_in(flow_cls, base, name, value.value), value.value, []))
            return found
        functions = [(code, part) for part in _parts(value) if (code := code_below(part)) is not None]
        found.append(FoundMethod(base, value, functions))
        if not functions:
            return found
    return found


def _written_in(flow_cls: type, holder: type, name: str, value: Any) -> type:
    """The class whose body has a constant: a flow also holds those of its mix-ins."""
    behind = flow_cls.__mro__[flow_cls.__mro__.index(holder) + 1 :]
    return next((base for base in behind if name in vars(base) and vars(base)[name] is value), holder)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset, value.fdel) if part is not None]
    cached = getattr(value, "func", None)  # functools.cached_property
    if cached is not None and not callable(value):
        return [cached]
    return [value]


def function_below(function: Any) -> Any:
    """What is below `functools.wraps`, methods, classmethod, staticmethod, `@task` and `@flow`."""
    seen: set[int] = set()
    while id(function) not in seen:
        seen.add(id(function))
        function = getattr(function, "__wrapped__", getattr(function, "__func__", function))
    return function


def code_below(function: object) -> CodeType | None:
    """The code of a function, also below what `function_below` looks through."""
    code = getattr(function_below(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def is_called_by_name(value: object) -> bool:
    """Whether it is a task or flow function, whose code is no part of what calls it."""
    return type(value).__module__ in _CALLED_BY_NAME


def own_decorators(function: Any, node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[ast.AST]:
    """Decorators that only store a choice: `@step`, `@task`, `@flow`, and those whose use is noted at one of their
    lines."""
    if not hasattr(function, "__dovetail_step__") and not is_called_by_name(function):
        return frozenset()
    scope = getattr(function_below(function), "__globals__", {})
    uses = getattr(function, "__dovetail_uses__", ())
    kinds = {use.kind for use in uses}
    lines = {use.line for use in uses if os.path.abspath(use.file) == os.path.abspath(_file(function))}
    left_out: set[ast.AST] = set()
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if (
            name in ("step", "task", "flow")
            or name in kinds
            or getattr(scope.get(name), "__module__", "").startswith(_AUTHORING)
            or lines & set(range(decorator.lineno, (decorator.end_lineno or decorator.lineno) + 1))
        ):
            left_out.add(decorator)
    return frozenset(left_out)


def _file(function: Any) -> str:
    code = code_below(function)
    return code.co_filename if code is not None else ""
