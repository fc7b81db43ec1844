"""The error for an artifact that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.authoring.suggest import did_you_mean

if TYPE_CHECKING:
    from dovetail.authoring.flowspec import FlowSpec

__all__ = ["absent", "absent_input"]


def absent(flow: FlowSpec, name: str) -> AttributeError:
    """The error for `self.name` when nothing has that name."""
    tie = flow._dovetail
    cls = type(flow)
    inner = _inner_error(flow, name)
    if inner is not None:
        return inner
    known = {n for n in flow.__dict__ if n[0] != "_"} | {n for n in dir(cls) if n[0] != "_"} | set(tie.merged)
    if tie.binding is None:
        text = f"{cls.__name__} has no artifact {name!r} here: nothing has set it on this instance."
        return AttributeError(_with_hint(text, did_you_mean(name, known)))
    text = f"step {tie.step!r} of {cls.__name__} has no artifact {name!r}"
    if tie.inputs is not None:
        holders = [joined.step for joined in tie.inputs.bindings() if joined.error is None and joined.has(name)]
        if holders:
            return AttributeError(
                f"{text}: a join inherits nothing. Read it from an input, as in inputs[0].{name}, or call "
                "self.merge_artifacts(inputs) first."
            )
    return AttributeError(_with_hint(text + ".", did_you_mean(name, known | set(tie.binding.names()))))


def _inner_error(flow: FlowSpec, name: str) -> AttributeError | None:
    """What a property or parameter itself raised: Python asks `__getattr__` after any AttributeError."""
    for base in type(flow).__mro__:
        descriptor = vars(base).get(name)
        if descriptor is not None:
            try:
                descriptor.__get__(flow, type(flow))
            except AttributeError as error:
                return error
            return None
    return None


def absent_input(flow_cls: type, step: str, name: str, known: set[str]) -> AttributeError:
    """The error for `inputs[i].name` when that input has nothing of the name."""
    text = f"the input from step {step!r} of {flow_cls.__name__} has no artifact {name!r}."
    return AttributeError(_with_hint(text, did_you_mean(name, known)))


def _with_hint(text: str, hint: str) -> str:
    return f"{text} {hint}" if hint else text
