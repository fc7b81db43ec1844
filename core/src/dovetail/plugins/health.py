"""Health checks of plugins, run by `dovetail plugins doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.problems import Problem
from dovetail.plugins.extensions import HealthCheckSpec
from dovetail.plugins.loading import load

__all__ = ["CheckContext", "CheckResult", "result_of", "run_check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What a health check is given."""

    backend: Any
    """The opened backend that it `checks`, or None when it looks at none in particular."""
    online: bool = False
    """Whether it may talk to services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check found."""

    name: str
    """Name of the check."""
    problems: tuple[Problem, ...]
    """What is wrong; none when all is well."""
    seconds: float
    """How long it took."""
    skipped: str = ""
    """Why it was not made."""


def result_of(name: str, check: Callable[[], Iterable[Problem]]) -> CheckResult:
    """Run one check; whatever it raises is a problem that it found."""
    begin = time.monotonic()
    try:
        problems = tuple(check())
    except DovetailError as error:
        problems = (Problem(code=error.code, message=error.message, fix=error.hint or ""),)
    except Exception as error:
        problems = (Problem(code="check-failed", message=f"{type(error).__name__}: {error}"),)
    return CheckResult(name=name, problems=problems, seconds=time.monotonic() - begin)


def run_check(spec: HealthCheckSpec, open: Callable[[], Any] | None, *, online: bool) -> CheckResult:
    """Run a plugin's check.

    Args:
        spec: The check.
        open: Opens the backend that it looks at; None: it looks at none.
        online: Whether it may talk to services.
    """

    def check() -> tuple[Problem, ...]:
        backend = open() if open is not None else None
        try:
            return tuple(load(spec)(CheckContext(backend=backend, online=online)))
        finally:
            if backend is not None:
                backend.close()

    return result_of(spec.name, check)
