"""Which transactions of a run are open: what ends without ending them is ended by a task of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import read_arguments
from dovetail.engine.hooks import json_arguments, own_step
from dovetail.interfaces.artifacts import InlinePlace
from dovetail.interfaces.paths import format_node
from dovetail.planning.planned import PlannedTask

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.step_plans import StepPlans
    from dovetail.interfaces.tasks import Arguments, Scope

__all__ = ["Transactions"]

_MODULE = "dovetail.authoring.transaction_records"


class _Open:
    __slots__ = ("kind", "staged")

    def __init__(self) -> None:
        self.kind = "on_rollback"
        self.staged: list[list[Any]] = []


class Transactions:
    """Follows the transactions of one run by what is committed. Owned by the driver's thread.

    Args:
        run: Run id.
        plans: Resolves the choices for the tasks that end transactions.
        scope: Parameters and constants.
        artifacts: Knows how arguments are written.
    """

    def __init__(self, *, run: str, plans: StepPlans, scope: Scope, artifacts: ArtifactStore) -> None:
        self._run = run
        self._plans = plans
        self._scope = scope
        self._artifacts = artifacts
        self._open: dict[str, _Open] = {}
        self._names: dict[str, list[str]] = {}  # path of a transaction → what was set there

    def committed(self, task: PlannedTask, plan: StepPlan) -> None:
        """A called task is on record."""
        if plan.code.module == _MODULE:
            self._recorded(task, plan.code.name)
        elif plan.hooks and self._open:
            path = task.path.rpartition("/")[0]
            opened = self._open.get(path)
            if opened is not None:
                opened.staged.append([task.path, task.step, [list(hook) for hook in plan.hooks], path])

    def _recorded(self, task: PlannedTask, what: str) -> None:
        if what == "begin":
            self._open[task.path] = _Open()
            return
        path = task.path.rpartition("/")[0]
        opened = self._open.get(path)
        if opened is None:
            return
        if what == "keep" and task.arguments is not None:
            self._names.setdefault(path, []).append(_name(task.arguments))
        elif what == "commit":
            opened.kind = "on_commit"
        elif what == "joined":
            del self._open[path]
            around = self._open.get(path.rpartition("/")[0])
            if around is not None:
                around.staged += opened.staged
        elif what == "ended":
            del self._open[path]
            if not self._open:
                self._names.clear()

    def unfinished(self) -> list[PlannedTask]:
        """A task for each transaction that is open, the last one first; no process is left that could end it."""
        found = []
        for path, opened in reversed(self._open.items()):
            step = own_step("finish", "dovetail.worker.finishing", "finish_transaction")
            values = {"path": path, "kind": opened.kind, "staged": opened.staged, "names": self._names}
            arguments = json_arguments(self._artifacts, values).finish(self._run)
            where = f"{path}/{format_node('finish', call=arguments.digest[:8].hex())}"
            found.append(
                PlannedTask(
                    where,
                    "finish",
                    self._scope,
                    (),
                    None,
                    "",
                    plan=self._plans.plan(step),
                    arguments=arguments,
                    inputs=(path,),
                )
            )
        self._open.clear()
        return found


def _name(arguments: Arguments) -> str:
    """The name that a value was set under."""
    ref = read_arguments(arguments.table)["name"]
    assert ref is not None
    assert isinstance(ref.place, InlinePlace)
    import json

    return str(json.loads(ref.place.data))
