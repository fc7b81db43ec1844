"""Which task follows which, and what a task inherits from those before it.

Where the flow has no loops, the task before another follows from the graph and the indexes. Otherwise, and for joins,
the commit records say; they are read once for the whole run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dovetail.client.artifact import DataArtifact
from dovetail.client.find_task import task_at
from dovetail.interfaces.paths import format_node, parse_path, sort_key, step_of

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["Lineage"]

_FEW = 32
"""Up to how many tasks are looked up one by one rather than by reading the run's."""


class _Taken:
    """What the commit records of a run say of its order."""

    __slots__ = ("after", "followed", "parents", "read")

    def __init__(self, run: Run) -> None:
        from dovetail.client.stores import records_of

        self.read = time.monotonic()
        self.parents: dict[str, tuple[str, ...]] = {}
        self.after: dict[str, list[str]] = {}
        self.followed: list[tuple[float, str, tuple[str, ...]]] = []  # (finished, path, targets)
        for record in records_of(run):
            self.parents[record.path] = tuple(record.predecessors)
            self.followed.append((record.finished, record.path, record.next.targets if record.next else ()))
            for parent in record.predecessors:
                self.after.setdefault(parent, []).append(record.path)
        self.followed.sort()


class Lineage:
    """The order of a run's tasks. Made once for a run and kept with it.

    Args:
        run: Which run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._graph = run.graph
        self._joins = {step.name for step in self._graph.steps if step.is_join}
        self._sources: dict[str, list[tuple[str, bool]]] = {}
        for step in self._graph.steps:
            for transition in step.transitions:
                for target in transition.targets:
                    self._sources.setdefault(target, []).append((step.name, transition.kind == "foreach"))
        self._loops = _has_loop({step.name: step.targets for step in self._graph.steps})
        self._known: dict[str, Task | None] = {}
        self._taken_cache: _Taken | None = None

    # -- beside each other ----------------------------------------------------------------------------------------

    def parents(self, task: Task) -> list[str]:
        """Paths of the tasks that `task` follows, in index order."""
        step = task.step_name
        if step == self._graph.start and not self._sources.get(step):
            return []
        if step not in self._joins:
            only = self._only_source(task.path)
            if only is not None:
                return [only]
        taken = self._taken()
        found = taken.parents.get(task.path)
        if found is None:
            found = self._planned_by(task.path)
        return list(found)

    def children(self, task: Task) -> list[str]:
        """Paths of the tasks that follow `task`, by name and index."""
        paths = set(self._taken().after.get(task.path, ()))
        paths.update(other.path for other in self._uncommitted() if task.path in self.parents(other))
        return sorted(paths, key=sort_key)

    def tasks(self, paths: Iterable[str]) -> Iterator[Task]:
        """The tasks of these paths that are on record, in one query where there are many."""
        paths = list(paths)
        if len(paths) <= _FEW:
            found = {path: task_at(self._run, path) for path in paths}
        else:
            steps = {step_of(path) for path in paths}
            found = {
                task.path: task for step in steps for task in self._run.tasks(step=step)
            }  # fmt: skip
        return (task for path in paths if (task := found.get(path)) is not None)

    def _taken(self) -> _Taken:
        """What the records say, read again where more may have come."""
        from dovetail.client.run_row import STALE

        taken = self._taken_cache
        if taken is None or (time.monotonic() - taken.read > STALE and not self._run.finished):
            taken = self._taken_cache = _Taken(self._run)
        return taken

    def _uncommitted(self) -> Iterator[Task]:
        from dovetail.interfaces.states import TaskState

        return self._run.tasks(state=[state.value for state in TaskState if not state.committed])

    def _only_source(self, path: str) -> str | None:
        """The only task that can have led here, by the graph; None where several can, or loops are about."""
        if self._loops or "/" in path:
            return None
        node = parse_path(path)[0]
        candidates = {
            format_node(step, node.indexes[:-1] if foreach else node.indexes)
            for step, foreach in self._sources.get(node.name, ())
        }
        if len(candidates) > 1:
            candidates = {path for path in candidates if (task := self._ancestor(path)) and task.successful}
        return candidates.pop() if len(candidates) == 1 else None

    def _planned_by(self, path: str) -> tuple[str, ...]:
        """Paths of the tasks whose transitions led to a task that left no record."""
        node = parse_path(path)[-1]
        foreach = {step for step, is_foreach in self._sources.get(node.name, ()) if is_foreach}
        found = []
        for _, other, targets in self._taken().followed:
            if node.name not in targets:
                continue
            before = parse_path(other)[-1]
            if before.name in foreach:
                fits = before.indexes == node.indexes[:-1]
            elif node.name in self._joins:
                fits = before.indexes in (node.indexes, node.indexes + before.indexes[-1:])
            else:
                fits = before.indexes == node.indexes
            if fits:
                found.append(other)
        if node.name in self._joins:
            return tuple(sorted(found, key=sort_key))
        # Tasks at the same indexes are counted in the order in which the transitions to them were taken.
        return tuple(found[node.ordinal - 1 : node.ordinal])

    # -- what is inherited ----------------------------------------------------------------------------------------

    def inherited(self, task: Task, name: str) -> DataArtifact | None:
        """The artifact that `task` sees under a name that it did not assign; None where there is none."""
        for ancestor in self._ancestors(task):
            entry = ancestor._page.outputs(ancestor._at).get(name)
            if entry is not None:
                return DataArtifact._of_entry(ancestor, name, entry)
        parameters = self._run._row["parameters"] or {}
        if name in parameters:
            return DataArtifact._of_entry(task, name, [parameters[name]])
        constants = self._graph.constants
        if name in constants:
            return DataArtifact._of_plain(task, name, constants[name])
        return None

    def inherited_names(self, task: Task) -> list[str]:
        """Names that `task` sees and did not assign, the nearest first."""
        names: dict[str, Any] = {}
        for ancestor in self._ancestors(task):
            names.update(dict.fromkeys(ancestor._page.outputs(ancestor._at)))
        names.update(dict.fromkeys(self._run._row["parameters"] or {}))
        names.update(dict.fromkeys(self._graph.constants))
        own = task._page.outputs(task._at)
        return [name for name in names if name not in own]

    def _ancestors(self, task: Task) -> Iterator[Task]:
        """The tasks whose outputs `task` sees, the nearest first: back to the start, or to a join and not beyond."""
        path = task.path
        while step_of(path) not in self._joins:
            parents = self.parents(task)
            ancestor = self._ancestor(parents[0]) if parents else None
            if ancestor is None:
                return
            yield ancestor
            task, path = ancestor, ancestor.path

    def _ancestor(self, path: str) -> Task | None:
        """A task, kept: all siblings of a foreach inherit from the same few."""
        task = self._known.get(path)
        if task is None:
            task = self._known[path] = task_at(self._run, path)
        return task


def _has_loop(targets: dict[str, tuple[str, ...]]) -> bool:
    """Whether a step can come again."""
    done: set[str] = set()
    for start in targets:
        stack = [(start, iter(targets[start]))]
        active = {start}
        while stack:
            step, following = stack[-1]
            for target in following:
                if target in active:
                    return True
                if target not in done and target in targets:
                    active.add(target)
                    stack.append((target, iter(targets[target])))
                    break
            else:
                active.discard(step)
                done.add(step)
                stack.pop()
    return False
