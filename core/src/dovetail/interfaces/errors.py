"""Errors that Dovetail raises.

Every one has a `code` (stable, to search for) and may have a `hint` (the next step to take).

```
DovetailError
├── UsageError(ValueError)                      wrong command line, name or argument        exit 2
│   ├── ValidationError                         a flow that can't run; holds `problems`     exit 2
│   ├── SettingsError                           an unknown or malformed setting             exit 2
│   └── UnknownNameError(KeyError)              a name that nothing provides; suggests      exit 2
├── RunFailedError                              a run ended as failed                       exit 1
│   └── TaskFailedError                         a called task failed in another process     exit 1
├── FailedInputError(AttributeError)            an artifact of a join's failed input        exit 1
├── PluginError                                                                             exit 3
│   ├── PluginNotFoundError(LookupError)
│   ├── PluginLoadError(ImportError)
│   ├── PluginConflictError
│   ├── PluginBlockedError
│   ├── PluginIncompatibleError
│   ├── PluginContractError(TypeError)
│   └── PluginMismatchError                     not the plugin that a run pins
├── BackendError                                what a backend reports                      exit 3
│   ├── NotFoundError(FileNotFoundError)
│   ├── AlreadyExistsError(FileExistsError)
│   ├── PreconditionError
│   ├── PermissionDeniedError(PermissionError)
│   ├── ThrottledError
│   ├── BackendTimeoutError(TimeoutError)
│   ├── UnsupportedOperationError
│   └── StaleFenceError                         a newer driver owns the run
└── StoreError                                  a store or metadata that can't be used      exit 4
    ├── CorruptDataError                        bytes that do not match their digest
    ├── StoreVersionError                       written by a newer version
    ├── StoreFullError(OSError)
    ├── StoreReadOnlyError(PermissionError)
    ├── ArtifactGoneError(LookupError)
    ├── UnpicklableError(TypeError)             a value that can't be stored
    └── SignatureError                          nobody who is trusted has signed it
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.interfaces.problems import Problem

__all__ = [
    "AlreadyExistsError",
    "ArtifactGoneError",
    "BackendError",
    "BackendTimeoutError",
    "CorruptDataError",
    "DovetailError",
    "FailedInputError",
    "NotFoundError",
    "PermissionDeniedError",
    "PluginBlockedError",
    "PluginConflictError",
    "PluginContractError",
    "PluginError",
    "PluginIncompatibleError",
    "PluginLoadError",
    "PluginMismatchError",
    "PluginNotFoundError",
    "PreconditionError",
    "RunFailedError",
    "SettingsError",
    "SignatureError",
    "StaleFenceError",
    "StoreError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "TaskFailedError",
    "ThrottledError",
    "UnknownNameError",
    "UnpicklableError",
    "UnsupportedOperationError",
    "UsageError",
    "ValidationError",
]


class DovetailError(Exception):
    """Base of every error that Dovetail raises.

    Args:
        message: What happened, naming the thing and the reason.
        hint: What to do next; that of the class by default, or None.
        code: A stable identifier; the class's own by default.
    """

    default_code = "DOVETAIL-0000"
    default_hint: str | None = None
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UsageError(DovetailError, ValueError):
    """A wrong command line, name or argument."""

    default_code = "DOVETAIL-U001"
    exit_code = 2


class ValidationError(UsageError):
    """A flow that can't run. `problems` holds every problem that was found."""

    default_code = "DOVETAIL-U002"

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [self.message, *(str(problem) for problem in self.problems)]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)


class SettingsError(UsageError):
    """An unknown or malformed setting."""

    default_code = "DOVETAIL-U003"


class UnknownNameError(UsageError, KeyError):
    """A name that nothing provides; the hint suggests near ones. A KeyError, so mappings may raise it."""

    default_code = "DOVETAIL-U004"


class RunFailedError(DovetailError):
    """A run ended as failed."""

    default_code = "DOVETAIL-R001"


class TaskFailedError(RunFailedError):
    """A task that was called failed in another process. Also an instance of the class that was raised there."""

    default_code = "DOVETAIL-R003"

    def __init__(self, path: str, report: Any) -> None:
        super().__init__(report.message)
        self.path = path
        """Path of the task inside the run."""
        self.report = report
        """The task's `ErrorReport`, with its traceback."""


class FailedInputError(DovetailError, AttributeError):
    """An artifact was read from an input of a join that failed under `on_error="collect"`."""

    default_code = "DOVETAIL-R002"


class PluginError(DovetailError):
    """A plugin that can't be used."""

    default_code = "DOVETAIL-P000"
    exit_code = 3


class PluginNotFoundError(PluginError, LookupError):
    """No installed plugin provides the name."""

    default_code = "DOVETAIL-P001"


class PluginLoadError(PluginError, ImportError):
    """A plugin, or something that it needs, can't be imported."""

    default_code = "DOVETAIL-P002"


class PluginBlockedError(PluginError):
    """A plugin is blocked or not allowed by the settings."""

    default_code = "DOVETAIL-P003"


class PluginConflictError(PluginError):
    """Two plugins offer the same name."""

    default_code = "DOVETAIL-P004"


class PluginIncompatibleError(PluginError):
    """A plugin needs another version of Dovetail."""

    default_code = "DOVETAIL-P005"


class PluginContractError(PluginError, TypeError):
    """A plugin breaks the rules of the interface that it implements."""

    default_code = "DOVETAIL-P006"


class PluginMismatchError(PluginError):
    """An installed plugin is not the one that a run pins."""

    default_code = "DOVETAIL-P007"


class BackendError(DovetailError):
    """An operation of a backend failed."""

    default_code = "DOVETAIL-B000"
    exit_code = 3


class NotFoundError(BackendError, FileNotFoundError):
    """The key, run or job is not there."""

    default_code = "DOVETAIL-B001"


class AlreadyExistsError(BackendError, FileExistsError):
    """A create-only write met an existing object."""

    default_code = "DOVETAIL-B002"


class PreconditionError(BackendError):
    """A condition of the write was not met."""

    default_code = "DOVETAIL-B003"


class PermissionDeniedError(BackendError, PermissionError):
    """The credentials do not allow the operation."""

    default_code = "DOVETAIL-B004"


class ThrottledError(BackendError):
    """The service asks to slow down; worth a retry after a pause."""

    default_code = "DOVETAIL-B005"


class BackendTimeoutError(BackendError, TimeoutError):
    """The backend did not answer in time."""

    default_code = "DOVETAIL-B006"


class UnsupportedOperationError(BackendError):
    """The backend does not declare this ability."""

    default_code = "DOVETAIL-B007"


class StaleFenceError(BackendError):
    """A newer driver owns the run; this one must stop."""

    default_code = "DOVETAIL-B008"


class StoreError(DovetailError):
    """A data store or metadata that can't be used."""

    default_code = "DOVETAIL-S000"
    exit_code = 4


class CorruptDataError(StoreError):
    """Stored bytes do not match their digest or framing."""

    default_code = "DOVETAIL-S001"
    default_hint = (
        "The storage changed what was written. Restore a copy of it, or remove it and run the step that wrote it "
        "again: dovetail resume RUN --from STEP."
    )


class StoreVersionError(StoreError):
    """Something was written by a newer version of Dovetail."""

    default_code = "DOVETAIL-S002"


class StoreFullError(StoreError, OSError):
    """The disk or quota is full. Nothing that was committed is lost."""

    default_code = "DOVETAIL-S003"


class StoreReadOnlyError(StoreError, PermissionError):
    """The store can't be written."""

    default_code = "DOVETAIL-S004"


class ArtifactGoneError(StoreError, LookupError):
    """An artifact's bytes are no longer in the store."""

    default_code = "DOVETAIL-S005"


class UnpicklableError(StoreError, TypeError):
    """A value that no serializer can store."""

    default_code = "DOVETAIL-S006"


class SignatureError(StoreError):
    """Something in a data store was not signed by a trusted key, where `artifacts.signed` asks for it.

    Args:
        message: What is wrong.
        key: The key of the store.
        hint: What to do.
    """

    default_code = "DOVETAIL-S007"

    def __init__(self, message: str, *, key: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key
        """The key of the store."""
