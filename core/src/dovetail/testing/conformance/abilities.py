"""Capability flags, tested both ways: what is declared has its methods, what is not is refused."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from dovetail.interfaces.errors import UnsupportedOperationError
from dovetail.plugins.guarded import ABILITIES

__all__ = ["facts_of", "missing_methods", "need", "need_absence", "refusal"]


def facts_of(backend: Any) -> dict[str, Any]:
    """What the report tells of a backend."""
    cls = type(backend)
    declared: Any = getattr(cls, "capabilities", None)
    flags: Any = declared.__class__
    return {
        "backend": f"{cls.__module__}:{cls.__qualname__}",
        "abilities": [] if declared is None else [flag.name for flag in flags if flag.value and flag in declared],
    }


def need(backend: Any, flag: enum.Flag) -> None:
    """Skip the test unless the backend declares an ability."""
    if flag not in backend.capabilities:
        pytest.skip(f"{flag.name} is not declared")


def need_absence(backend: Any, flag: enum.Flag) -> None:
    """Skip the test if the backend declares an ability."""
    if flag in backend.capabilities:
        pytest.skip(f"{flag.name} is declared")


def missing_methods(backend: Any, kind: str) -> list[str]:
    """Methods of declared abilities that the backend does not have."""
    declared = backend.capabilities
    flags: Any = declared.__class__
    return [
        f"{flag}: {method}"
        for flag, methods in ABILITIES.get(kind, {}).items()
        if flags[flag] in declared
        for method in methods
        if not callable(getattr(backend, method, None))
    ]


def refusal(backend: Any, kind: str, flag: str, calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]]) -> list[str]:
    """What an undeclared ability does all the same: methods that neither are missing nor raise.

    Args:
        backend: The backend.
        kind: Its kind.
        flag: Name of the ability.
        calls: Method → arguments of a call that would do no harm.
    """
    works = []
    for method in ABILITIES[kind][flag]:
        args, kwargs = calls[method]
        found = getattr(backend, method, None)
        if found is None:
            continue
        try:
            result = found(*args, **kwargs)
            if hasattr(result, "__enter__"):
                with result:
                    pass
        except UnsupportedOperationError:
            continue
        except Exception as error:
            works.append(f"{method} raised {error!r}")
        else:
            works.append(f"{method} works")
    return works
