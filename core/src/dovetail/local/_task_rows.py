"""Writing task rows: many with one statement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from dovetail.interfaces.events import TASK_COLUMNS
from dovetail.local._packing import STATE_CODES, RunNumbers, grains, micros, stored_path

__all__ = ["task_statements"]

_STORED = tuple(name for name in TASK_COLUMNS if name not in ("path", "step"))
_TIMES = ("started", "finished")
_Row = tuple[Any, ...]
_Convert = Callable[[Any], Any]


def task_statements(tasks: Mapping[str, Mapping[str, Any]], numbers: RunNumbers) -> list[tuple[str, str]]:
    """Statements that create or update rows, each with a JSON text of them all.

    Rows that name the same columns share a statement, and their values are one parameter: the interpreter's lock is
    given back once for all of them, not once a row. That parameter is `rows`; the others are `first`, the row id of
    the first task where it is new (the others follow in order), and `base`, that of the run in grains.

    Args:
        tasks: Path → columns to set.
        numbers: Knows every step that the tasks name; shared texts are added.
    """
    shapes: dict[tuple[str, ...], list[_Row]] = {}
    rows: list[_Row] = []
    pick: Callable[[Mapping[str, Any]], _Row] | None = None
    converts: Sequence[tuple[int, _Convert]] = ()
    keys: Any = None
    steps = numbers.steps
    for place, (path, columns) in enumerate(tasks.items()):
        if columns.keys() != keys:
            keys = columns.keys()
            names = tuple(name for name in _STORED if name in keys)
            rows = shapes.setdefault(names, [])
            pick = _picker(names)
            converts = [(at, convert) for at, convert in enumerate(_converters(names, numbers)) if convert]
        assert pick is not None
        values = list(pick(columns))
        for at, convert in converts:
            values[at] = convert(values[at])
        step = columns["step"]
        rows.append((place, steps[step], stored_path(step, path), *values))
    return [(_upsert(names), json.dumps(found, separators=(",", ":"))) for names, found in shapes.items()]


@lru_cache(maxsize=64)
def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], _Row]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda columns: tuple(columns[name] for name in names)


def _converters(names: Sequence[str], numbers: RunNumbers) -> list[_Convert | None]:
    found: dict[str, _Convert] = {
        "state": lambda state: STATE_CODES.get(state, state),
        "started": grains,
        "finished": grains,
        "cpu": micros,
        "error": numbers.text,
        "info": numbers.text,
        "record": numbers.record,
        "log": numbers.log,
    }
    return [found.get(name) for name in names]


@lru_cache(maxsize=64)
def _upsert(names: tuple[str, ...]) -> str:
    values = []
    for at, name in enumerate(names, 3):
        value = f"json_extract(value, '$[{at}]')"
        if name in _TIMES:
            value = f"CASE json_type(value, '$[{at}]') WHEN 'integer' THEN {value} - :base ELSE {value} END"
        values.append(value)
    inserted = "".join(f", {name}" for name in names)
    extracted = "".join(f", {value}" for value in values)
    updated = ", ".join(f"{name} = excluded.{name}" for name in names)
    conflict = f"DO UPDATE SET {updated}" if updated else "DO NOTHING"
    return (
        f"INSERT INTO task (id, step, path{inserted}) "
        "SELECT :first + json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')"
        f"{extracted} FROM json_each(:rows) WHERE :base NOT NULL ON CONFLICT (step, path) {conflict}"
    )
