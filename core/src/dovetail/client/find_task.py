"""Finds a task by its path, by a shorter one that fits only it, or by its number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dovetail.client.pages import NARROW, TaskPage
from dovetail.client.unknown import unknown
from dovetail.client.wording import node_of
from dovetail.interfaces.errors import UnknownNameError, UsageError
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.paths import Node, parse_path, step_of
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["find_task", "task_at"]

_NAMED = 5
"""How many candidates an error names."""
_BEHIND = 0.25
"""Seconds that are given to a task that has begun to appear in the journal; 0.02 is its drivers' aim."""
_COMPARED = 200
"""Of how many paths the near ones are looked for; comparing takes 20 µs each."""


def task_at(run: Run, path: str) -> Task | None:
    """The task of exactly this path, or None."""
    from dovetail.client.task import Task

    query = Query(kind="tasks", run=run.id, path=path, limit=1)
    rows = run._connection.provider.query(query, columns=NARROW).rows
    return Task._of(run, TaskPage(rows, query), 0) if rows else None


def find_task(run: Run, text: str, *, step: str | None = None) -> Task:
    """The task that `text` names.

    Args:
        run: In which run.
        text: A path; or `name` or `name[i]` without the indexes, call and ordinal that only one task has; or a
            task's number (`step/number` and `step/path` are read too).
        step: Of this step only.

    Raises:
        UnknownNameError: There is none.
        UsageError: Several fit.
    """
    text = text.strip("/")
    leading, _, last = text.rpartition("/")
    if last.isdecimal():
        return _numbered(run, int(last), step or leading or None)
    found = task_at(run, text)
    if found is not None:
        return found
    nodes = parse_path(text)
    paths = [path for path in _paths(run, step_of(text)) if _fits(nodes, path)]
    if len(paths) == 1:
        found = task_at(run, paths[0])
        if found is not None:
            return found
    if not paths:
        found = _just_begun(run, text)
        if found is not None:
            return found
    if paths:
        named = ", ".join(paths[:_NAMED]) + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
        raise UsageError(f"{text!r} fits {len(paths)} tasks of run {run.pathspec}: {named}", hint="Name one of them.")
    raise _unknown(run, text)


def _just_begun(run: Run, path: str) -> Task | None:
    """A task of a run that goes on: the journal is behind it by a fraction of a second, as for a task that asks for
    itself."""
    until = time.monotonic() + _BEHIND
    while run.state is RunState.RUNNING and time.monotonic() < until:
        time.sleep(_BEHIND / 10)
        found = task_at(run, path)
        if found is not None:
            return found
    return None


def _paths(run: Run, step: str) -> list[str]:
    query = Query(kind="tasks", run=run.id, step=step, oldest_first=True)
    return [row[0] for row in run._connection.provider.query(query, columns=("path",)).rows]


def _fits(nodes: tuple[Node, ...], path: str) -> bool:
    others = parse_path(path)
    return len(others) == len(nodes) and all(
        node.name == other.name
        and other.indexes[: len(node.indexes)] == node.indexes
        and node.call in ("", other.call)
        and node.ordinal in (1, other.ordinal)
        for node, other in zip(nodes, others, strict=True)
    )


def _numbered(run: Run, number: int, step: str | None) -> Task:
    """The `number`th task of the run in the order of the journal, from 1."""
    paths = run._connection.provider.query(
        Query(kind="tasks", run=run.id, limit=number, oldest_first=True), columns=("path",)
    ).rows
    if 0 < number <= len(paths):
        path = paths[number - 1][0]
        found = task_at(run, path)
        if found is not None and step in (None, found.step_name):
            return found
    where = f"run {run.pathspec}" + (f" that is of {node_of(run)} {step}" if step else "")
    raise unknown("task number", str(number), [], where=where, hint="Task.number tells a task's.")


def _unknown(run: Run, text: str) -> UnknownNameError:
    steps = list(run.counts())
    step = step_of(text)
    where = f"run {run.pathspec}"
    node = node_of(run)
    if step not in steps:
        return unknown(node, step, steps, where=where)
    paths = _paths(run, step)
    near = paths if len(paths) <= _COMPARED else []
    if node == "task":
        return unknown("call", text, near, where=where, hint=f"Task {step} has {len(paths)} calls: {_span(paths)}.")
    return unknown("task", text, near, where=where, hint=f"Step {step} has {len(paths)} tasks: {_span(paths)}.")


def _span(paths: list[str]) -> str:
    if len(paths) <= _NAMED:
        return ", ".join(paths) or "none has begun"
    return f"{paths[0]} to {paths[-1]}"
