"""Wide runs as columns: values and tables of 100,000 tasks without an object for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dovetail.client.pages import TaskPage, decode_outputs
from dovetail.client.unknown import unknown
from dovetail.interfaces.events import TASK_COLUMNS
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.paths import sort_key

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.step import Step

__all__ = ["read_table", "read_values"]

_DEFAULT = ("path", "step", "state", "attempt", "started", "finished", "cpu", "memory")
_JSON = frozenset({"outputs", "error", "log", "record", "info"})
_MISSING: Any = object()
_LOOKED_AT = 100
"""Of how many tasks the outputs are looked at for a near name."""


def read_values(step: Step, name: str, default: Any) -> list[Any]:
    """One output of every task of a step, by foreach index (see `Step.values`)."""
    run = step.run
    query = Query(kind="tasks", run=run.id, step=step.name, oldest_first=True)
    rows = run._connection.provider.query(query, columns=("path", "outputs")).rows
    column = _column(run, query, rows, [name], default)[name]
    if all(value is default for value in column):
        outputs = {other for task in step.tasks(limit=_LOOKED_AT) for other in task.outputs}
        if name not in outputs:
            raise unknown("artifact", name, outputs, where=f"the outputs of step {step.pathspec}")
    return [column[at] for at in _in_order(step.name, [row[0] for row in rows])]


def _column(
    run: Run, query: Query, rows: list[tuple[Any, ...]], names: Sequence[str], default: Any
) -> dict[str, list[Any]]:
    """The values of artifacts, by name, of rows of (path, outputs)."""
    decoded = decode_outputs([row[1] for row in rows])
    columns: dict[str, list[Any]] = {}
    for name in names:
        entries = [outputs.get(name) for outputs in decoded]
        columns[name] = column = [
            default if entry is None else entry[0] if len(entry) == 1 else _MISSING for entry in entries
        ]
        if _MISSING in column:
            page = TaskPage([(path, "succeeded", None) for path, _ in rows], query)  # who left values has committed
            _load_missing(run, page, name, entries, column)
    return columns


def _load_missing(run: Run, page: TaskPage, name: str, entries: list[Any], column: list[Any]) -> None:
    """Load what the index does not hold as JSON."""
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.task import Task

    for at, value in enumerate(column):
        if value is _MISSING:
            column[at] = DataArtifact._of_entry(Task._of(run, page, at), name, entries[at]).data


def _in_order(step: str, paths: list[str]) -> Sequence[int]:
    """Positions of the paths by index. A foreach's are compared as numbers: sorting by node is 20 times dearer."""
    skip = len(step) + 1
    try:
        keys: list[Any] = [int(path[skip:-1]) for path in paths] if len(paths) > 1 else [0]
    except ValueError:  # nested, looping or child tasks
        keys = [sort_key(path) for path in paths]
    return sorted(range(len(paths)), key=keys.__getitem__)


def read_table(run: Run, columns: Sequence[str], *, step: str | None) -> dict[str, list[Any]]:
    """Columns of a run's tasks, oldest first (see `Run.table`)."""
    wanted = tuple(columns) or _DEFAULT
    artifacts = [name[len("artifact:") :] for name in wanted if name.startswith("artifact:")]
    for name in wanted:
        if not name.startswith("artifact:") and name not in TASK_COLUMNS:
            raise unknown("column", name, [*TASK_COLUMNS, "artifact:NAME"])
    plain = tuple(name for name in wanted if not name.startswith("artifact:"))
    asked = tuple(dict.fromkeys((*plain, *(("path", "outputs") if artifacts else ()))))
    query = Query(kind="tasks", run=run.id, step=step, oldest_first=True)
    rows = run._connection.provider.query(query, columns=asked).rows
    table: dict[str, list[Any]] = {}
    for name in plain:
        at = asked.index(name)
        column = [row[at] for row in rows]
        table[name] = [None if text is None else json.loads(text) for text in column] if name in _JSON else column
    if artifacts:
        path_at, outputs_at = asked.index("path"), asked.index("outputs")
        pairs = [(row[path_at], row[outputs_at]) for row in rows]
        for name, column in _column(run, query, pairs, artifacts, None).items():
            table[f"artifact:{name}"] = column
    return {name: table[name] for name in wanted}
