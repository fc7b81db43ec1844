"""Which transactions of a run are open: what ends without ending them is ended by a task of their own."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import key_digest, read_arguments
from dovetail.interfaces.artifacts import InlinePlace
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.paths import format_node, step_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.planning.planned import PlannedTask

__all__ = ["OpenTransaction", "Transactions"]

_MODULE = "dovetail.authoring.transaction_records"


@dataclass(slots=True, kw_only=True)
class OpenTransaction:
    """A transaction that has not ended."""

    path: str
    """Its path."""
    kind: str = "on_rollback"
    """Hooks that are to be called: `on_commit` where that was decided."""
    staged: list[list[Any]] = field(default_factory=list)
    """[path, name, hooks, path of the transaction] of each task that succeeded in it, or in one inside."""
    names: Mapping[str, list[str]] = field(default_factory=dict)
    """Path of a transaction → what was set there."""

    def to_plain(self) -> dict[str, Any]:
        """This as JSON-able data: what the task that ends it is given."""
        return {"path": self.path, "kind": self.kind, "staged": self.staged, "names": dict(self.names)}

    def calls(self) -> Iterator[tuple[str, str, str]]:
        """(path of the call, path of the task, `module:name`) of each hook that is to be called."""
        for path, _, hooks, _ in self.staged:
            for number, (kind, address) in enumerate(hooks):
                if kind == self.kind:
                    node = format_node(kind, call=key_digest(f"{path} {number} {address}")[:8].hex())
                    yield f"{self.path}/{node}", path, address


class Transactions:
    """Follows the transactions of one run by what is committed. Owned by the driver's thread."""

    def __init__(self) -> None:
        self._open: dict[str, OpenTransaction] = {}
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
            self._open[where] = OpenTransaction(path=where)
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

    def unfinished(self) -> list[OpenTransaction]:
        """Those that are open, the last one first, and forgotten here: no process is left that could end them."""
        found = list(reversed(self._open.values()))
        for opened in found:
            opened.names = dict(self._names)
        self._open.clear()
        return found


def _name(arguments: bytes) -> str:
    """The name that a value was set under."""
    ref = read_arguments(arguments)["name"]
    assert ref is not None
    assert isinstance(ref.place, InlinePlace)
    import json

    return str(json.loads(ref.place.data))
