"""The arguments of `self.next`, checked where the step calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.authoring.binding import NextCall, Tie
from dovetail.authoring.steps import mark_of
from dovetail.authoring.suggest import did_you_mean
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.authoring.flowspec import FlowSpec

__all__ = ["called_twice", "make_next_call"]


def make_next_call(
    flow: FlowSpec, targets: tuple[Any, ...], foreach: Any, condition: str | None, on_error: str
) -> NextCall:
    """The transition that these arguments mean.

    Raises:
        UsageError: They mean none.
    """
    if not targets:
        raise UsageError("self.next needs the step that follows, as in self.next(self.train)")
    if condition is not None:
        return _switch(flow, targets, foreach, condition)
    if len(targets) == 1 and isinstance(targets[0], Mapping):
        raise UsageError(
            "self.next with a mapping of cases needs condition=",
            hint='Name the artifact that chooses: self.next({"a": self.x, "b": self.y}, condition="kind").',
        )
    names = tuple([_step_name(flow, target) for target in targets])
    if foreach is None:
        if on_error != "fail":
            raise UsageError("on_error= belongs to a foreach: self.next(self.work, foreach=..., on_error='collect')")
        if len(set(names)) != len(names):
            raise UsageError(f"self.next names a step twice: {', '.join(names)}")
        return NextCall(names)
    if len(names) != 1:
        raise UsageError(f"a foreach has one target, not {len(names)}: {', '.join(names)}")
    if on_error not in ("fail", "collect"):
        raise UsageError(f"on_error= is 'fail' or 'collect', not {on_error!r}")
    var = foreach if isinstance(foreach, str) else ""
    iterable = getattr(flow, var) if var else foreach
    if not hasattr(type(iterable), "__iter__") and not hasattr(type(iterable), "__getitem__"):
        what = f"artifact {var!r}" if var else "what was given"
        raise UsageError(f"foreach needs something to iterate over, but {what} is a {type(iterable).__name__}")
    return NextCall(names, is_foreach=True, iterable=iterable, var=var, on_error=on_error)


def called_twice(tie: Tie, call: NextCall) -> UsageError:
    """The error for a second `self.next` in one attempt."""
    first = tie.transition
    return UsageError(
        f"step {tie.step!r} called self.next twice: {first!r}, then {call!r}",
        hint="A task takes one transition; to start several steps name them in one call: self.next(self.a, self.b).",
    )


def _switch(flow: FlowSpec, targets: tuple[Any, ...], foreach: Any, condition: str) -> NextCall:
    if foreach is not None:
        raise UsageError("self.next takes foreach= or condition=, not both")
    if not isinstance(condition, str):
        raise UsageError(f"condition= is the name of an artifact, not a {type(condition).__name__}")
    if len(targets) != 1 or not isinstance(targets[0], Mapping):
        raise UsageError(
            "condition= needs one mapping of cases",
            hint='As in self.next({"a": self.x, "b": self.y}, condition="kind").',
        )
    cases = {key: _step_name(flow, target) for key, target in targets[0].items()}
    value = getattr(flow, condition)
    for key, target in cases.items():
        if _equal(key, value):
            return NextCall((target,), condition=condition, value=_plain_key(key))
    raise UsageError(
        f"no case for {condition} = {value!r}; the cases are {', '.join(map(repr, cases))}",
        hint="Add the case, or set the artifact to one of them.",
    )


def _equal(key: Any, value: Any) -> bool:
    """Equality of values that keeps True apart from 1, and takes arrays and other oddities for unequal."""
    try:
        same = bool(key == value)
    except Exception:  # the truth value of an array
        return False
    return same and isinstance(key, bool) == (type(value).__name__ in ("bool", "bool_"))


def _plain_key(key: Any) -> Any:
    """A case's key as JSON writes it."""
    from enum import Enum

    return key.value if isinstance(key, Enum) else key


def _step_name(flow: FlowSpec, target: Any) -> str:
    name = getattr(target, "__name__", None)
    if isinstance(name, str) and mark_of(target) is not None:
        return name
    cls = type(flow)
    steps = [step for step in dir(cls) if mark_of(getattr(cls, step)) is not None]
    if isinstance(name, str) and hasattr(cls, name):
        raise UsageError(f"self.next: {name} is a method of {cls.__name__} but not a step", hint="Add @step above it.")
    shown = repr(target) if not isinstance(target, str) else f"the text {target!r}"
    hint = did_you_mean(target, steps) if isinstance(target, str) else ""
    raise UsageError(
        f"self.next takes steps, as in self.next(self.{steps[0] if steps else 'end'}), not {shown}", hint=hint or None
    )
