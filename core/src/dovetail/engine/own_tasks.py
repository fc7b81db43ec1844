"""Tasks of Dovetail's own that are planned for what has ended: each call of a hook, and the end of a transaction whose
process is gone. They run in a worker's process, whatever becomes of the run, and are recorded like every other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import ArgumentWriter
from dovetail.artifacts.identity import simple_digest
from dovetail.artifacts.packing import JSON_ID
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.interfaces.flow import DecoratorUse, StepDescription
from dovetail.interfaces.paths import format_node
from dovetail.planning.planned import PlannedTask

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.hooks import HookCall
    from dovetail.engine.step_plans import StepPlans
    from dovetail.engine.transactions import OpenTransaction
    from dovetail.interfaces.tasks import Arguments, Scope

__all__ = ["OwnTasks"]


class OwnTasks:
    """Plans such tasks of one run. Owned by the driver's thread.

    Args:
        run: Run id.
        plans: Resolves the choices for them.
        scope: Parameters and constants.
        artifacts: Knows how arguments are written.
        after: Plans a task that runs whatever becomes of the run.
    """

    def __init__(
        self,
        *,
        run: str,
        plans: StepPlans,
        scope: Scope,
        artifacts: ArtifactStore,
        after: Callable[[PlannedTask], None],
    ) -> None:
        self._run = run
        self._plans = plans
        self._scope = scope
        self._artifacts = artifacts
        self._after = after
        self._planned: dict[str, StepPlan] = {}

    def call(self, hook: HookCall) -> None:
        """Call a hook."""
        plan = self._plan("hook", "dovetail.worker.hooks", "run_hook")
        self._start(hook.path, hook.kind, plan, self._arguments(hook.values, hook.key), hook.of)

    def finish(self, transaction: OpenTransaction) -> None:
        """End a transaction."""
        plan = self._plan("finish", "dovetail.worker.finishing", "finish_transaction")
        arguments = self._arguments(transaction.to_plain(), self._run)
        where = f"{transaction.path}/{format_node('finish', call=arguments.digest[:8].hex())}"
        self._start(where, "finish", plan, arguments, transaction.path)

    def _start(self, path: str, name: str, plan: StepPlan, arguments: Arguments, of: str) -> None:
        inputs = (of,) if of else ()
        self._after(PlannedTask(path, name, self._scope, (), None, "", plan=plan, arguments=arguments, inputs=inputs))

    def _plan(self, name: str, module: str, function: str) -> StepPlan:
        plan = self._planned.get(name)
        if plan is None:
            isolation = DecoratorUse(kind="isolation", name="isolation", options={"kind": "auto"})
            step = StepDescription(name=name, kind="task", module=module, qualname=function, decorators=(isolation,))
            plan = self._planned[name] = self._plans.plan(step)
        return plan

    def _arguments(self, values: Mapping[str, Any], key: str) -> Arguments:
        """Arguments that are JSON-able and few, all in the table: the driver stores nothing for them."""
        import json

        writer = ArgumentWriter(self._artifacts, keep=True)
        for name, value in values.items():
            frame = json.dumps(value, separators=(",", ":")).encode()
            digest, kind = simple_digest(JSON_ID, frame), type(value).__name__
            place = InlinePlace(data=frame)
            ref = ArtifactRef(digest=digest, size=len(frame), serializer=JSON_ID, type=kind, place=place)
            writer.add_ref(name, ref)
        return writer.finish(key)
