"""Finds what inside a value can't be pickled."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from time import monotonic
from types import FunctionType
from typing import Any

from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.dataclass import dataclass

__all__ = ["UnpicklableValue", "find_culprit"]

_VISITS = 2_000
_CHILDREN = 1_000
_SECONDS = 5.0

_HINTS = (
    (("_thread.", "threading.", "asyncio.", "multiprocessing."), "Create it in the step that uses it."),
    (("_io.", "io.", "tempfile."), "Store the file's content or its path instead of the open file."),
    (("socket.", "ssl.", "http.", "urllib3.", "requests."), "Open the connection in the step that uses it."),
    (("sqlite3.", "psycopg.", "psycopg2.", "sqlalchemy.", "pymysql."), "Open the connection in the step that uses it."),
    (("generator", "async_generator", "coroutine", "map", "filter", "zip"), "Turn it into a list first."),
    (("weakref.",), "Store the object that it refers to instead."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpicklableValue:
    """The smallest part of a value that can't be pickled."""

    where: str
    """How to reach it from the value, such as `['model'].lock`; empty for the value itself."""
    type: str
    """Qualified name of its type."""
    error: str
    """What pickle said."""

    def describe(self) -> str:
        """The part and what pickle said, for a message."""
        if not self.where:
            return self.error
        return f"{self.where.lstrip('.')} is a {self.type} ({self.error})"

    def hint(self) -> str:
        """What to do about it."""
        advice = "Leave it out of self, or give its class __getstate__ and __setstate__."
        for known, what in _HINTS:
            if self.type in known or self.type.startswith(tuple(name for name in known if name.endswith("."))):
                advice = what
        if "recursion" in self.error:
            advice = "It is nested too deeply; store it as a flat list or table."
        return f"{advice} Names that begin with an underscore (self._x) are not stored."


def _error_of(value: object) -> str | None:
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    try:
        cloudpickle.Pickler(io.BytesIO(), protocol=5, buffer_callback=lambda buffer: False).dump(value)
    except Exception as error:
        return _first_line(error)
    return None


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return text or type(error).__name__


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """Parts of a value that pickle would visit, and how each is reached."""
    yield from _items(value)
    if isinstance(value, FunctionType):
        yield from _function_parts(value)
    elif not isinstance(value, type):
        yield from _attributes(value)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in islice(value.items(), _CHILDREN):
            yield f"[{key!r:.60}]", item
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(islice(value, _CHILDREN)):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in islice(value, _CHILDREN):
            yield f"{{{item!r:.60}}}", item


def _function_parts(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell
            yield f".<closure {name}>", cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        for name, item in islice(attributes.items(), _CHILDREN):
            yield f".{name}", item
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)


def find_culprit(value: object, error: BaseException) -> UnpicklableValue:
    """Follow the failing part down until nothing inside it fails. Bounded work; user code may run."""
    where, message = "", _first_line(error)
    visits, deadline = 0, monotonic() + _SECONDS
    seen = {id(value)}
    while not isinstance(error, RecursionError):
        try:
            for step, child in _children(value):
                visits += 1
                if visits > _VISITS or monotonic() > deadline or id(child) in seen:
                    continue
                failure = _error_of(child)
                if failure is not None:
                    seen.add(id(child))
                    value, where, message = child, where + step, failure
                    break
            else:
                break
        except Exception:  # a property or method of the user's failed: what was found so far is the answer
            break
        if visits > _VISITS or monotonic() > deadline:
            break
    return UnpicklableValue(where=where, type=type_name(type(value)), error=message)
