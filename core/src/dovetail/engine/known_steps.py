"""What a run that goes on knows of the tasks that its drivers before have left on record or begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dovetail.interfaces.flow import StepDescription
from dovetail.interfaces.paths import step_of

if TYPE_CHECKING:
    from dovetail.artifacts.call_hooks import CallHooks
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["KnownSteps"]


class KnownSteps:
    """The steps of a flow, and the tasks that were called though its description tells nothing of them.

    Args:
        flow: What was described.
        called: What the run has kept of called tasks.
        said: Path → hooks that this call was given.
    """

    def __init__(
        self,
        flow: FlowDescription,
        called: Iterable[StepDescription] = (),
        said: Mapping[str, CallHooks] | None = None,
    ) -> None:
        self.flow = flow
        self._said = said or {}
        self._by_name: dict[tuple[str, str], StepDescription] = {}
        self._by_code: dict[str, StepDescription] = {}
        for step in (*flow.steps, *called):
            self._by_name.setdefault((step.name, step.code_key), step)
            self._by_code.setdefault(step.code_key, step)

    def holds(self, module: str) -> bool:
        """Whether any of them is of a module."""
        return any(step.module == module for step in self._by_code.values())

    @property
    def hooks(self) -> frozenset[str]:
        """Kinds of the hooks that any of them has."""
        of_calls = {kind for said in self._said.values() for kind, _ in said.hooks}
        return frozenset(kind for step in self._by_code.values() for kind, _ in step.hooks) | of_calls

    def of(self, path: str, code_key: bytes) -> StepDescription | None:
        """The step that a task on record is of; None where it is not known, as of another version of the code."""
        code = code_key.hex()
        if not code:  # Dovetail's own: no step has called it
            return None
        return self._called(path, self._by_name.get((step_of(path), code)) or self._by_code.get(code))

    def named(self, path: str) -> StepDescription | None:
        """The step of a task of which only the path is known."""
        name = step_of(path)
        return self._called(path, next((step for step in self._by_code.values() if step.name == name), None))

    def _called(self, path: str, step: StepDescription | None) -> StepDescription | None:
        """A step with the hooks that one call of it was given."""
        said = self._said.get(path)
        if said is None:
            return step
        module, _, name = said.subject.partition(":")
        return StepDescription(name=step_of(path), kind="task", module=module, qualname=name, hooks=said.hooks)

    def subject(self, step: StepDescription) -> str:
        """`module:name` of what a step is, as its hooks are told."""
        if step.kind == "task":
            return f"{step.module}:{step.qualname}"
        return f"{self.flow.module}:{self.flow.name}.{step.name}"
