"""Health checks of plugins, run by `dovetail plugins doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.problems import Problem
from dovetail.plugins.extensions import HealthCheckSpec
from dovetail.plugins.loading import load

__all__ = ["CheckContext", "CheckResult", "run_check"]


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


def run_check(spec: HealthCheckSpec, open: Callable[[], Any] | None, *, online: bool) -> CheckResult:
    """Run one check; whatever it raises is a problem that it found."""
    begin = time.monotonic()
    try:
        backend = open() if open is not None else None
        try:
            problems = tuple(load(spec)(CheckContext(backend=backend, online=online)))
        finally:
            if backend is not None:
                backend.close()
    except DovetailError as error:
        problems = (Problem(code=error.code, message=error.message, fix=error.hint or ""),)
    except Exception as error:
        problems = (Problem(code="check-failed", message=f"{type(error).__name__}: {error}"),)
    return CheckResult(name=spec.name, problems=problems, seconds=time.monotonic() - begin)


def nothing(context: CheckContext) -> tuple[Problem, ...]:
    """The check of what can be opened: that it can be."""
    return ()
