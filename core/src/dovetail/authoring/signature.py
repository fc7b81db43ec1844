"""Parameters of a flow function: read from its signature."""

from __future__ import annotations

from typing import Any

from dovetail.interfaces.flow import ParameterDescription
from dovetail.interfaces.problems import Problem

__all__ = ["read_signature"]


def read_signature(fn: Any, problems: list[Problem]) -> tuple[ParameterDescription, ...]:
    return ()
