"""Turns exceptions into error reports: the user's own traceback, without Dovetail's frames."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import BackendError, StoreError, UnpicklableError
from dovetail.interfaces.tasks import ErrorReport

if TYPE_CHECKING:
    from traceback import TracebackException

__all__ = ["is_ours", "kind_of_ours", "qualified_name", "report_exception"]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FUTURES = os.path.join(os.sep, "concurrent", "futures", "")
_CLOUDPICKLE = os.path.join(os.sep, "cloudpickle", "")
_LIMIT = 64 * 1024
LED = 2
"""Lines of a message that are joined at the most, after the first."""


def report_exception(error: BaseException, *, kind: str = "exception") -> ErrorReport:
    """Why an attempt failed.

    The traceback has source lines, causes, contexts, groups and notes; frames of Dovetail and of the import
    system are left out, so it begins and ends in code of the user or of a library.
    """
    if isinstance(error, SystemExit) and kind == "exception":
        kind = "exit"
    bases = tuple(qualified_name(base) for base in type(error).__mro__ if base is not object)
    return ErrorReport(
        type=qualified_name(type(error)),
        message=_storable(_message(error, "the flow's file" if kind == "start" else "the task")),
        traceback=_storable(_traceback(error)),
        bases=bases,
        kind=kind,
    )


def kind_of_ours(error: BaseException, otherwise: str = "exception") -> str:
    """Kind of a report of what was raised outside of the user's code: `store` where the data store is at fault.

    A value that can't be pickled is the user's own.
    """
    at_fault = isinstance(error, (StoreError, BackendError)) and not isinstance(error, UnpicklableError)
    return "store" if at_fault else otherwise


def qualified_name(cls: type) -> str:
    """`package.module.Name`; bare for built-in classes."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _message(error: BaseException, who: str) -> str:
    if isinstance(error, SystemExit):
        return f"{who} called sys.exit({'' if error.code is None else repr(error.code)})"
    try:
        text = str(error).strip()
    except Exception as failure:  # the user's own __str__
        return f"its message can't be shown: {type(failure).__name__}"
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    last = next((at for at, line in enumerate(lines) if not line.endswith(":")), len(lines) - 1)
    return " ".join(lines[: min(last, LED) + 1])  # a line that ends in a colon leads to the next


def _storable(text: str) -> str:
    """A text that UTF-8 can write: file names and the like may hold what it can't."""
    return text.encode("utf-8", "backslashreplace").decode()


def _traceback(error: BaseException) -> str:
    try:
        from traceback import TracebackException

        shown = TracebackException.from_exception(error, compact=True)
        _cut(shown)
        text = "".join(shown.format())
    except Exception as failure:  # a hostile __str__ or __notes__, or no memory left
        return f"{type(error).__name__} (its traceback can't be shown: {type(failure).__name__})\n"
    if len(text) > _LIMIT:
        half = _LIMIT // 2
        text = f"{text[:half]}\n  ... {len(text) - _LIMIT} characters left out ...\n{text[-half:]}"
    return text


def _cut(shown: TracebackException) -> None:
    """Take our frames out, of causes and contexts too; and causes that were raised and caught inside of Dovetail."""
    waiting: list[TracebackException | None] = [shown]
    seen: list[TracebackException] = []
    details: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        kept = [frame for frame in one.stack if not is_ours(frame.filename)]
        if one.stack and not kept:
            details.add(id(one))
        one.stack[:] = kept
        waiting += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    for one in seen:
        one.__cause__ = _beyond(one.__cause__, details)
        one.__context__ = _beyond(one.__context__, details)


def _beyond(shown: TracebackException | None, details: set[int]) -> TracebackException | None:
    """A cause, or what it came from where it is a detail: the error that it led to says it in words."""
    while shown is not None and id(shown) in details:
        shown = shown.__cause__ or shown.__context__
    return shown


def is_ours(file: str) -> bool:
    """Whether a source file is Dovetail's or the import system's, which no user wants to see in a traceback."""
    return file.startswith((_OURS, "<frozen importlib")) or _CLOUDPICKLE in file or _FUTURES in file
