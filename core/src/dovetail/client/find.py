"""Finds whatever a pathspec names: a run, a step, a task or an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.client.find_task import find_task, task_at
from dovetail.client.lookup import find_run
from dovetail.client.pathspec import parse_pathspec
from dovetail.client.run import Run
from dovetail.client.step import Step
from dovetail.interfaces.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.connection import Connection
    from dovetail.client.task import Task

__all__ = ["find", "find_artifact"]


def find(connection: Connection, pathspec: str) -> Run | Step | Task | DataArtifact:
    """What `pathspec` names (see `Client.get`)."""
    spec = parse_pathspec(pathspec)
    run = Run._of(connection, find_run(connection, spec))
    rest = spec.rest
    if not rest:
        return run
    if len(rest) == 1:
        if rest[0] in run:
            return Step._of(run, rest[0])
        if rest[0].isidentifier() and rest[0] not in run.counts():
            return _end_artifact(run, rest[0])
    path = "/".join(rest)
    task = task_at(run, path)
    if task is not None:
        return task
    if len(rest) == 1 or not rest[-1].isidentifier():
        return find_task(run, path)
    try:
        return find_artifact(run, rest)
    except UnknownNameError as error:
        try:
            return find_task(run, path)
        except (UnknownNameError, UsageError):
            raise error from None


def find_artifact(run: Run, parts: tuple[str, ...]) -> DataArtifact:
    """The artifact that `path/name`, or `name` of the end task, names in a run."""
    if len(parts) == 1:
        return _end_artifact(run, parts[0])
    return find_task(run, "/".join(parts[:-1])).artifacts[parts[-1]]


def _end_artifact(run: Run, name: str) -> DataArtifact:
    from dovetail.client.unknown import unknown
    from dovetail.client.wording import node_of, standing_of, way_to_see

    task = run.end_task
    if task is not None and name in task.artifacts:
        return task.artifacts[name]
    steps, node = list(run.counts()), node_of(run)
    if task is None:
        standing, yet = standing_of(run), "" if run.state.final else " yet"
        if node == "task" and name == "result":
            raise UnknownNameError(f"run {run.pathspec} {standing} and has no result{yet}", hint=way_to_see(run))
        hint = f"The run {standing}, so there are no artifacts of its end{yet}. {way_to_see(run)}"
        raise unknown(f"{node} or artifact", name, steps, where=f"run {run.pathspec}", hint=hint)
    raise unknown(f"{node} or artifact", name, [*steps, *task.artifacts], where=f"run {run.pathspec}")
