"""The artifacts of a task: `Data` gives values, `Artifacts` gives their references.

A task sees what it assigned, what the tasks before it assigned back to the nearest join (a join starts anew from
what it assigns or merges), and the parameters and constants of the run.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

from dovetail.client.artifact import DataArtifact
from dovetail.client.unknown import unknown
from dovetail.client.wording import naming_artifact

if TYPE_CHECKING:
    from dovetail.client.task import Task

__all__ = ["Artifacts", "Data"]


class Data:
    """Values of a task's artifacts, as attributes and by name. Nothing is loaded before it is read."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        task = self._task
        entry = task._page.outputs(task._at).get(name)
        if entry is not None and len(entry) == 1 and not isinstance(entry[0], (list, dict)):
            return entry[0]
        try:
            return Artifacts(task, own=False)[name].data
        except KeyError as error:
            raise AttributeError(str(error), name=name, obj=self) from None

    def __getitem__(self, name: str) -> Any:
        return Artifacts(self._task, own=False)[name].data

    def __contains__(self, name: object) -> bool:
        return name in Artifacts(self._task, own=False)

    def __iter__(self) -> Iterator[str]:
        return iter(Artifacts(self._task, own=False))

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"Data({self._task.pathspec!r}: {', '.join(self)})"


class Artifacts(Mapping[str, DataArtifact]):
    """Artifacts of a task by name, and as attributes.

    Args:
        task: Whose.
        own: Only what the task itself assigned.
    """

    __slots__ = ("_own", "_task")

    def __init__(self, task: Task, *, own: bool) -> None:
        self._task = task
        self._own = own

    def __getitem__(self, name: str) -> DataArtifact:
        task = self._task
        entry = task._page.outputs(task._at).get(name)
        if entry is not None:
            return DataArtifact._of_entry(task, name, entry)
        if not self._own:
            with naming_artifact(f"{task.pathspec}/{name}"):
                found = task.run.lineage.inherited(task, name)
            if found is not None:
                return found
        raise unknown_artifact(task, name, self)

    def __getattr__(self, name: str) -> DataArtifact:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(str(error), name=name, obj=self) from None

    def __iter__(self) -> Iterator[str]:
        task = self._task
        own = task._page.outputs(task._at)
        yield from own
        if not self._own:
            yield from (name for name in task.run.lineage.inherited_names(task) if name not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def values(self) -> ValuesView[DataArtifact]:
        """The artifacts."""
        return _Values(self)

    def items(self) -> ItemsView[str, DataArtifact]:
        """Names and artifacts."""
        return _Items(self)

    def _pairs(self) -> Iterator[tuple[str, DataArtifact]]:
        """Names and artifacts, without looking each one up."""
        task = self._task
        own = task._page.outputs(task._at)
        make = DataArtifact._of_entry
        for name, entry in own.items():
            yield name, make(task, name, entry)
        if not self._own:
            for name in task.run.lineage.inherited_names(task):
                yield name, self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"Artifacts({self._task.pathspec!r}: {', '.join(self)})"


class _Values(ValuesView[DataArtifact]):
    """The artifacts of a task, none of which is looked up by its name."""

    def __init__(self, artifacts: Artifacts) -> None:
        super().__init__(artifacts)
        self._artifacts = artifacts

    def __iter__(self) -> Iterator[DataArtifact]:
        return (artifact for _, artifact in self._artifacts._pairs())


class _Items(ItemsView[str, DataArtifact]):
    """The same with their names."""

    def __init__(self, artifacts: Artifacts) -> None:
        super().__init__(artifacts)
        self._artifacts = artifacts

    def __iter__(self) -> Iterator[tuple[str, DataArtifact]]:
        return self._artifacts._pairs()


def unknown_artifact(task: Task, name: str, known: Artifacts) -> Exception:
    """The error for an artifact that a task does not see."""
    if task.successful:
        return unknown("artifact", name, known, where=f"task {task.pathspec}")
    return unknown(
        "artifact", name, known, where=f"task {task.pathspec}", hint=f"The task is {task.state} and left nothing."
    )
