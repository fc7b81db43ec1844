"""How a backend and its model are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.interfaces.errors import (
    AlreadyExistsError,
    DovetailError,
    NotFoundError,
    PreconditionError,
    StaleFenceError,
    UnsupportedOperationError,
    UsageError,
)

__all__ = ["outcome_of"]

_TOLD = (NotFoundError, AlreadyExistsError, PreconditionError, StaleFenceError, UnsupportedOperationError, UsageError)
"""What an interface says that it raises; a backend may raise classes of its own below them."""


def outcome_of(action: Callable[[], Any]) -> Any:
    """What an action returns, or the name of the error that it raises."""
    try:
        return action()
    except DovetailError as error:
        return next((cls.__name__ for cls in _TOLD if isinstance(error, cls)), type(error).__name__)
