"""Failures of called tasks, on their way to who called them."""

from __future__ import annotations

import sys
from typing import Any

from dovetail.interfaces.errors import TaskFailedError
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["failed_path", "failure_of", "remembered"]

_PATH = "__dovetail_task__"


def remembered(error: BaseException, path: str) -> None:
    """Note which task an exception comes from; the innermost stays."""
    if failed_path(error) == "":
        try:
            setattr(error, _PATH, path)
        except AttributeError:  # has slots
            return


def failed_path(error: BaseException) -> str:
    """Path of the task that an exception comes from; empty when it is the present one's own."""
    found: str = getattr(error, _PATH, "")
    return found


def failure_of(report: ErrorReport, path: str) -> TaskFailedError:
    """An exception for a failure in another process.

    It is an instance of the class that was raised there, where that can be found here, so that `except ValueError`
    works; its message and the traceback are those of the task.
    """
    base = next((found for name in report.bases if (found := _class(name)) is not None), None)
    error = TaskFailedError(path, report) if base is None else _made(base, path, report)
    remembered(error, path)
    return error


def _made(base: type[BaseException], path: str, report: ErrorReport) -> TaskFailedError:
    try:
        cls: Any = type(base.__name__, (TaskFailedError, base), {"__module__": base.__module__})
        error: TaskFailedError = cls.__new__(cls)
        TaskFailedError.__init__(error, path, report)
    except Exception:  # layouts that can't be combined, or a constructor with needs of its own
        return TaskFailedError(path, report)
    return error


def _class(name: str) -> type[Exception] | None:
    """An exception class by its qualified name, where its module is imported."""
    module, _, last = name.rpartition(".")
    found: Any = getattr(sys.modules.get(module or "builtins"), last, None)
    # SystemExit and KeyboardInterrupt of another process are failures here, and no reason to end this one.
    usable = isinstance(found, type) and issubclass(found, Exception) and found is not Exception
    return found if usable else None
