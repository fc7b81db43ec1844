"""Task rows in the database: how they are written, and how their columns read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.events import TASK_COLUMNS

if TYPE_CHECKING:
    import sqlite3

__all__ = ["STATE_CODES", "column_sql", "state_sql", "stored_path", "write_tasks"]

STATE_CODES: dict[str, int] = {
    # Up to 1: what is finished well, and so nearly all. The numbers are part of the format.
    "succeeded": 0,
    "cached": 1,
    "failed": 2,
    "cancelled": 3,
    "skipped": 4,
    "running": 5,
    "waiting": 6,
    "ready": 7,
    "planned": 8,
    "expected": 9,
}
GRAIN = 1 << 22
"""Steps a second of stored times. Doubles from 2004 to 2106 are whole numbers of them, so nothing is lost."""
_TIMES = ("started", "finished")
_STORED = tuple(name for name in TASK_COLUMNS if name not in ("path", "step"))


def stored_path(step: str, path: str) -> str:
    """A path as stored in the row of a step."""
    if path.startswith(step):
        rest = path[len(step) :]
        if not rest.startswith("="):
            return rest
    return "=" + path


def _grains(time: float | None) -> float | int | None:
    if time is None:
        return None
    grains = time * GRAIN
    # A time that is no whole number of grains was never a clock's; it is stored as it is.
    return whole if (whole := int(grains)) == grains and whole.bit_length() < 60 else time


def write_tasks(
    connection: sqlite3.Connection,
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    steps: Mapping[str, int],
    first: int,
    base: int,
) -> None:
    """Create or update rows.

    Rows that name the same columns are written by one statement whose only parameter of size is a JSON text: the
    interpreter's lock is given back once for all of them, not once a row.

    Args:
        connection: In a transaction.
        tasks: Path → columns to set.
        steps: Name → number of every step that the tasks name.
        first: Row id of the first task, where it is new; the others follow in order.
        base: The run's.
    """
    shapes: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    last: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = []
    getter = _getter(())
    keys: Any = None
    for place, (path, columns) in enumerate(tasks.items()):
        if columns.keys() != keys:
            keys = columns.keys()
            last = tuple(name for name in _STORED if name in columns)
            getter = _getter(last)
            rows = shapes.setdefault(last, [])
        step = columns["step"]
        rows.append((place, steps[step], stored_path(step, path), *getter(columns)))
    for names, found in shapes.items():
        connection.execute(_upsert(names), (first, base * GRAIN, json.dumps(found, separators=(",", ":"))))


@lru_cache(maxsize=64)
def _getter(names: tuple[str, ...]) -> Any:
    plain = [name for name in names if name not in _TIMES and name != "state"]
    pick = itemgetter(*plain) if len(plain) > 1 else lambda columns: tuple(columns[name] for name in plain)
    times = [name for name in names if name in _TIMES]
    has_state = "state" in names

    def get(columns: Mapping[str, Any]) -> tuple[Any, ...]:
        state = (STATE_CODES.get(columns["state"], columns["state"]),) if has_state else ()
        return (*state, *(_grains(columns[name]) for name in times), *pick(columns))

    return get


@lru_cache(maxsize=64)
def _upsert(names: tuple[str, ...]) -> str:
    ordered = [name for name in names if name == "state"]
    ordered += [name for name in names if name in _TIMES]
    ordered += [name for name in names if name not in _TIMES and name != "state"]
    values = []
    for at, name in enumerate(ordered, 3):
        value = f"json_extract(value, '$[{at}]')"
        if name in _TIMES:
            value = f"CASE json_type(value, '$[{at}]') WHEN 'integer' THEN {value} - ?2 ELSE {value} END"
        values.append(value)
    inserted = "".join(f", {name}" for name in ordered)
    extracted = "".join(f", {value}" for value in values)
    updated = ", ".join(f"{name} = excluded.{name}" for name in ordered)
    conflict = f"DO UPDATE SET {updated}" if updated else "DO NOTHING"
    return (
        f"INSERT INTO task (id, step, path{inserted}) "
        "SELECT ?1 + json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')"
        f"{extracted} FROM json_each(?3) WHERE true ON CONFLICT (step, path) {conflict}"
    )


def state_sql(column: str) -> str:
    """SQL for the name of a stored state."""
    cases = " ".join(f"WHEN {code} THEN '{name}'" for name, code in STATE_CODES.items())
    return f"CASE {column} {cases} ELSE {column} END"


_SQL = {
    "path": "CASE WHEN substr(t.path, 1, 1) = '=' THEN substr(t.path, 2) ELSE s.name || t.path END",
    "step": "s.name",
    "state": state_sql("t.state"),
}


def column_sql(name: str, parameters: list[Any], *, run: str, base: int) -> str:
    """SQL for a column of tasks `t` joined with steps `s`; what it needs is added to `parameters`.

    Raises:
        KeyError: There is no such column.
    """
    if name in _TIMES:
        parameters.append(base)
        return f"CASE typeof(t.{name}) WHEN 'integer' THEN ? + t.{name} / {GRAIN}.0 ELSE t.{name} END"
    if name == "run":
        parameters.append(run)
        return "?"
    if name.startswith("artifact:"):
        return _artifact_sql(name[len("artifact:") :], parameters)
    if name not in TASK_COLUMNS:
        raise KeyError(name)
    return _SQL.get(name, f"t.{name}")


def _artifact_sql(name: str, parameters: list[Any]) -> str:
    if '"' in name or "\\" in name:  # what a path of SQLite's can't name
        parameters.append(name)
        return (
            "(SELECT CASE e.type WHEN 'array' THEN e.value WHEN 'object' THEN e.value ELSE json_quote(e.value) END "
            "FROM json_each(t.outputs) e WHERE e.key = ?)"
        )
    parameters += [f'$."{name}"'] * 4
    # SQLite parses the text once for all of them.
    return (
        "CASE WHEN json_type(t.outputs, ?) = 'array' THEN json_extract(t.outputs, ?) "
        "WHEN json_type(t.outputs, ?) NOT NULL THEN json_quote(json_extract(t.outputs, ?)) END"
    )


def state_codes(states: Iterable[str]) -> Sequence[int | str]:
    """States as stored."""
    return [STATE_CODES.get(state, state) for state in states]
