"""Which transactions of a run are open: what ends without ending them is ended by a task of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import read_arguments
from dovetail.engine.hooks import json_arguments, own_step
from dovetail.interfaces.artifacts import InlinePlace
from dovetail.interfaces.paths import format_node, step_of
from dovetail.planning.planned import PlannedTask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.engine.step_plans import StepPlans
    from dovetail.interfaces.tasks import Scope

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
        arguments = b"" if task.arguments is None else task.arguments.table
        self._follow(task.path, plan.code.module, plan.code.name, plan.hooks, arguments)

    def know(self, known: KnownSteps, records: Iterable[CommitRecord]) -> None:
        """Of a run that goes on: follow what is on record. Who began a transaction may have ended, and not end it.

        Args:
            known: What the tasks are.
            records: What the run has, in the order in which it came to be.
        """
        if not known.holds(_MODULE):
            return
        for record in records:
            step = known.of(record.path, record.code_key)
            if step is not None:
                arguments = record.arguments if step.module == _MODULE else b""
                self._follow(record.path, step.module, step.qualname, step.hooks, arguments)

    def _follow(
        self, path: str, module: str, function: str, hooks: Iterable[tuple[str, str]], arguments: bytes
    ) -> None:
        if module == _MODULE:
            self._recorded(path, function, arguments)
        elif hooks and self._open:
            inside = path.rpartition("/")[0]
            opened = self._open.get(inside)
            if opened is not None:
                opened.staged.append([path, step_of(path), [list(hook) for hook in hooks], inside])

    def _recorded(self, where: str, what: str, arguments: bytes) -> None:
        if what == "begin":
            self._open[where] = _Open()
            return
        path = where.rpartition("/")[0]
        opened = self._open.get(path)
        if opened is None:
            return
        if what == "keep":
            self._names.setdefault(path, []).append(_name(arguments))
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


def _name(arguments: bytes) -> str:
    """The name that a value was set under."""
    ref = read_arguments(arguments)["name"]
    assert ref is not None
    assert isinstance(ref.place, InlinePlace)
    import json

    return str(json.loads(ref.place.data))
