"""Arguments of a flow that is called, on their way to being the parameters of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.authoring.signature import coerce_arguments, plain_arguments
from dovetail.interfaces.errors import ValidationError

__all__ = ["split_arguments"]


def split_arguments(fn: Callable[..., Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(those that JSON can hold, those that only this process can store).

    JSON holds a value when the function would get an equal one of the same type back from it, as from a command line:
    then everybody can read what the run was given. All others are stored as any artifact is.

    Args:
        fn: The function.
        given: Name → value, as the function's hints have it.
    """
    plain: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in given.items():
        if json_frame(value) is not None:
            plain[name] = value
            continue
        try:
            as_json = plain_arguments(fn, {name: value})
            again = coerce_arguments(fn, as_json)[name]
        except ValidationError:
            others[name] = value
            continue
        if _same(again, value):
            plain[name] = as_json[name]
        else:
            others[name] = value
    return plain, others


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of one type as far as that can be seen."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    try:
        return bool(one == other)
    except Exception:  # whatever a class of the user's makes of ==
        return False
