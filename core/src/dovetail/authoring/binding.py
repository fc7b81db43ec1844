"""The tie between a flow instance and the task that it stands for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from dovetail.authoring.contract import Binding, InputBinding
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.authoring.inputs import Inputs

    FlowT = TypeVar("FlowT", bound=FlowSpec)

__all__ = ["FlowState", "NextCall", "Tie", "bind", "instance", "state"]


class NextCall:
    """What a step passed to `self.next`."""

    __slots__ = ("condition", "is_foreach", "iterable", "on_error", "targets", "value", "var")

    def __init__(
        self,
        targets: tuple[str, ...],
        *,
        condition: str | None = None,
        value: Any = None,
        is_foreach: bool = False,
        iterable: Any = None,
        var: str = "",
        on_error: str = "fail",
    ) -> None:
        self.targets = targets
        """Names of the steps that follow; of a switch the one chosen."""
        self.condition = condition
        """Of a switch: name of the artifact."""
        self.value = value
        """Of a switch: the key of the case that was chosen, a str, int, float, bool or None."""
        self.is_foreach = is_foreach
        """Whether `iterable` is to be fanned out."""
        self.iterable = iterable
        """Of a foreach: the items, any iterable, not yet consumed."""
        self.var = var
        """Of a foreach: name of the artifact, or empty when a value was given."""
        self.on_error = on_error
        """Of a foreach: `fail` or `collect`."""

    def __repr__(self) -> str:
        parts = [", ".join(self.targets)]
        if self.condition is not None:
            parts.append(f"condition={self.condition!r} ({self.value!r})")
        if self.is_foreach:
            parts.append(f"foreach={self.var!r}" if self.var else f"foreach={self.iterable!r}")
        if self.on_error != "fail":
            parts.append(f"on_error={self.on_error!r}")
        return f"NextCall({', '.join(parts)})"


class Tie:
    """What an instance knows of its task. Without a binding the instance is a plain object, as in a test."""

    __slots__ = ("binding", "fixed", "inputs", "loaded", "merged", "step", "transition")

    def __init__(self, binding: Binding | None, step: str, inputs: Inputs | None) -> None:
        self.binding = binding
        self.step = step
        self.inputs = inputs
        self.loaded: dict[str, Any] = {}
        """Artifacts that were read and are kept on the instance."""
        self.fixed: dict[str, Any] = {}
        """Parameters, constants, `input` and `index` that were read: never outputs, also when mutated."""
        self.merged: dict[str, InputBinding] = {}
        """Artifacts taken over by `merge_artifacts`, with the input that they come from."""
        self.transition: NextCall | None = None


class FlowState:
    """What a step did with its instance."""

    __slots__ = ("assigned", "loaded", "merged", "transition")

    def __init__(
        self,
        assigned: dict[str, Any],
        loaded: dict[str, Any],
        merged: dict[str, InputBinding],
        transition: NextCall | None,
    ) -> None:
        self.assigned = assigned
        """Name → value of each artifact that was set."""
        self.loaded = loaded
        """Name → value of each artifact that was read and not set; the step may have changed it in place."""
        self.merged = merged
        """Name → the input whose artifact is taken over as it is, unless `assigned` has the name or `loaded`
        has it with another content than before."""
        self.transition = transition
        """What was passed to `self.next`; None when it was not called."""


def instance(flow_cls: type[FlowT]) -> FlowT:
    """A bare instance for a task: no `__init__`, never the command line."""
    flow = object.__new__(flow_cls)
    flow._dovetail = Tie(None, "", None)
    return flow


def bind(flow: FlowSpec, binding: Binding, step: str, inputs: Sequence[InputBinding] | None = None) -> Inputs | None:
    """Let `flow` stand for one attempt of a task.

    Whatever the instance held is dropped, so that one instance can serve many tasks in turn.

    Args:
        flow: An instance (see `instance`).
        binding: What `self` reads. Of a join: parameters and constants only.
        step: Name of the step.
        inputs: Of a join: the predecessors in index order; items are asked for when needed.

    Returns:
        Of a join, what its method takes as `inputs`; else None.
    """
    joined: Inputs | None = None
    if inputs is not None:
        from dovetail.authoring.inputs import Inputs

        joined = Inputs(type(flow), inputs)
    flow.__dict__.clear()
    flow._dovetail = Tie(binding, step, joined)
    return joined


def state(flow: FlowSpec) -> FlowState:
    """What the step did. Private attributes (`_x`) are not artifacts."""
    tie = flow._dovetail
    loaded = tie.loaded
    values = flow.__dict__
    assigned: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    missing = assigned  # a value that can't be a loaded one
    for name, value in values.items():
        if name[0] == "_":
            continue
        if loaded.get(name, missing) is value:
            kept[name] = value
        else:
            assigned[name] = value
    return FlowState(assigned, kept, {n: b for n, b in tie.merged.items() if n not in assigned}, tie.transition)
