"""Reads a call of `self.next` from what bytecode tells of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.authoring.bytecode_values import SELF, Attribute, Constant, Global, Map
from dovetail.authoring.reading import Unreadable, jsonable_key, make_transition
from dovetail.interfaces.flow import Transition

__all__ = ["read_next"]


def read_next(
    targets: list[Any], keywords: dict[str, Any], resolve: Callable[[str, bool], Any], line: int
) -> Transition:
    """The transition of a call.

    Args:
        targets: What is known of its positional arguments.
        keywords: And of the others, by name.
        resolve: See `read_bytecode`.
        line: Of the call.

    Raises:
        Unreadable: The code does not tell it.
    """
    for name in keywords.keys() - {"foreach", "condition", "on_error"}:
        raise Unreadable(
            "unknown-argument",
            f"self.next has no argument {name!r}",
            "It takes steps and foreach=, condition= or on_error=.",
        )
    maps = [target for target in targets if isinstance(target, Map)]
    foreach = keywords.get("foreach")
    condition = keywords.get("condition")
    if condition is not None and not (isinstance(condition, Constant) and isinstance(condition.value, str)):
        raise Unreadable(
            "dynamic-condition",
            "condition= of self.next is not the name of an artifact",
            'Set an artifact and name it: self.kind = ...; self.next({...}, condition="kind").',
        )
    on_error = keywords.get("on_error", Constant("fail", str))
    if not isinstance(on_error, Constant) or on_error.value not in ("fail", "collect"):
        raise Unreadable("unknown-on-error", "on_error= is neither 'fail' nor 'collect'", "Write one of the two.")
    is_foreach = foreach is not None and not (isinstance(foreach, Constant) and foreach.value is None)
    named = isinstance(foreach, Constant) and isinstance(foreach.value, str)
    return make_transition(
        targets=[_target(target) for target in targets if not isinstance(target, Map)],
        cases=[(_key(key, resolve), _target(value)) for key, value in maps[0].pairs] if maps else None,
        foreach=(is_foreach, foreach.value if named and foreach is not None else None),
        condition=condition.value if condition is not None else None,
        on_error=on_error.value,
        line=line,
    )


def _target(value: Any) -> str:
    if isinstance(value, Attribute) and value.owner is SELF:
        return value.name
    raise Unreadable(
        "dynamic-target",
        "self.next: which step follows can't be read from the code",
        "Name the step, as in self.next(self.end); to choose at run time use condition=.",
    )


def _key(key: Any, resolve: Callable[[str, bool], Any]) -> Any:
    try:
        if isinstance(key, Constant):
            return jsonable_key(key.value)
        if isinstance(key, Global):
            return jsonable_key(resolve(key.name, False))
        if isinstance(key, Attribute):
            if key.owner is SELF:
                return jsonable_key(resolve(key.name, True))
            return jsonable_key(resolve(_dotted(key), False))
    except (KeyError, ValueError):
        pass
    raise Unreadable(
        "dynamic-cases",
        "a case of self.next is not a text, number, bool or None that the code tells",
        'Write the key out, as in self.next({"a": self.x, "b": self.y}, condition="kind").',
    )


def _dotted(value: Any) -> str:
    if isinstance(value, Global):
        return value.name
    if isinstance(value, Attribute):
        return f"{_dotted(value.owner)}.{value.name}"
    raise KeyError(value)
