"""Queries of the index: filtered, ordered and paged in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.events import RUN_COLUMNS, TASK_COLUMNS
from dovetail.interfaces.metadata import Page, Query
from dovetail.interfaces.paths import step_of
from dovetail.local._packing import STATE_CODES, stored_path
from dovetail.local._schema import CACHE_FORMAT
from dovetail.local._task_columns import TaskSelect, state_codes, state_sql

if TYPE_CHECKING:
    import sqlite3

__all__ = ["query"]

_JSON = frozenset({"tags", "system_tags", "parameters", "origin", "error", "info"})
_FLOWS = ("flow", "runs", "latest")
_STEPS = ("run", "step", "state", "count")
_FINISHED = 1
"""Highest code of the states that the index of unfinished tasks leaves out."""
_FEW = 8
"""A step with less than this part of a run's tasks is found by its index, others by reading the run."""


def query(connection: sqlite3.Connection, asked: Query, columns: Sequence[str] | None) -> Page:
    """Answer a query, inside the caller's read transaction."""
    if asked.limit is not None and asked.limit < 0:
        raise UsageError("a query's limit can't be negative")
    if asked.kind == "runs":
        return _runs(connection, asked, columns)
    if asked.kind == "tasks":
        return _tasks(connection, asked, columns)
    if asked.kind == "steps":
        return _picked(_steps(connection, asked), columns)
    if asked.kind == "flows":
        return _picked(_flows(connection, asked), columns)
    raise UsageError(f"{asked.kind!r} is no kind of a query", hint="Use flows, runs, steps or tasks.")


# Runs


def _runs(connection: sqlite3.Connection, asked: Query, columns: Sequence[str] | None) -> Page:
    names = tuple(RUN_COLUMNS if columns is None else columns)
    _check_columns(names, RUN_COLUMNS)
    parameters: list[Any] = []
    where = _run_conditions(asked, parameters)
    if asked.states:
        where.append(f"r.state IN ({_marks(asked.states)})")
        parameters += asked.states
    if asked.since is not None:
        where.append("r.created >= ?")
        parameters.append(asked.since)
    if asked.until is not None:
        where.append("r.created < ?")
        parameters.append(asked.until)
    if asked.cursor is not None:
        created, number = _position(asked.cursor, 2)
        where.append(f"(r.created, r.id) {'>' if asked.oldest_first else '<'} (?, ?)")
        parameters += [created, number]
    way = "ASC" if asked.oldest_first else "DESC"
    sql = (
        f"SELECT r.created, r.id{''.join(f', r.{name}' for name in names)} FROM run r "
        f"{_where(where)} ORDER BY r.created {way}, r.id {way} LIMIT ?"
    )
    rows = connection.execute(sql, (*parameters, -1 if asked.limit is None else asked.limit + 1)).fetchall()
    cursor = None
    if asked.limit is not None and len(rows) > asked.limit:
        del rows[asked.limit :]
        cursor = _cursor(rows[-1][:2]) if rows else asked.cursor
    decoded = [at for at, name in enumerate(names) if name in _JSON]
    return Page(columns=names, rows=[_decoded(row[2:], decoded) for row in rows], cursor=cursor)


def _decoded(row: tuple[Any, ...], positions: Iterable[int]) -> tuple[Any, ...]:
    values = list(row)
    for at in positions:
        if values[at] is not None:
            values[at] = json.loads(values[at])
    return tuple(values)


def _run_conditions(asked: Query, parameters: list[Any]) -> list[str]:
    """Conditions on runs `r` that hold for every kind of query."""
    where = []
    if asked.flow is not None:
        where.append("r.flow = ?")
        parameters.append(asked.flow)
    if asked.run is not None:
        where.append("r.run >= ? AND r.run < ?")
        parameters += [asked.run, asked.run + "\U0010ffff"]
    if asked.user is not None:
        where.append("r.user = ?")
        parameters.append(asked.user)
    for tag in asked.tags:
        where.append("EXISTS (SELECT 1 FROM tag WHERE tag.tag = ? AND tag.run = r.id)")
        parameters.append(tag)
    for name, value in asked.parameters.items():
        where.append(_parameter_condition(name, value, parameters))
    return where


def _parameter_condition(name: str, value: Any, parameters: list[Any]) -> str:
    found = "FROM json_each(r.parameters) p WHERE p.key = ?"
    parameters.append(name)
    if value is None or isinstance(value, bool):
        parameters.append("null" if value is None else "true" if value else "false")
        return f"EXISTS (SELECT 1 {found} AND p.type = ?)"
    if isinstance(value, (int, float)):
        parameters.append(value)
        return f"EXISTS (SELECT 1 {found} AND p.type IN ('integer', 'real') AND p.value = ?)"
    if isinstance(value, str):
        parameters.append(value)
        return f"EXISTS (SELECT 1 {found} AND p.type = 'text' AND p.value = ?)"
    parameters.append(json.dumps(value, sort_keys=True, separators=(",", ":")))
    return f"EXISTS (SELECT 1 {found} AND p.type IN ('array', 'object') AND p.value = ?)"


# Tasks


def _tasks(connection: sqlite3.Connection, asked: Query, columns: Sequence[str] | None) -> Page:
    names = tuple(TASK_COLUMNS if columns is None else columns)
    _check_columns([name for name in names if not name.startswith("artifact:")], (*TASK_COLUMNS, "run"))
    asks = "cache" in names or asked.cache is not None
    cached = not asks or connection.execute("PRAGMA user_version").fetchone()[0] >= CACHE_FORMAT
    if asked.cache is not None:
        return Page(columns=names, rows=_cached_tasks(connection, asked, names) if cached else [])
    after = None if asked.cursor is None else int(_position(asked.cursor, 1)[0])
    parameters: list[Any] = []
    where = _run_conditions(asked, parameters)
    if after is not None:
        where.append(f"r.id {'>=' if asked.oldest_first else '<='} ?")
        parameters.append(after >> 32)
    way = "ASC" if asked.oldest_first else "DESC"
    runs = connection.execute(
        f"SELECT r.id, r.run, r.base, r.tasks FROM run r {_where(where)} ORDER BY r.id {way}", parameters
    ).fetchall()
    rows: list[tuple[Any, ...]] = []
    room = None if asked.limit is None else asked.limit + 1
    for run in runs:
        left = None if room is None else room - len(rows)
        found = _tasks_of(connection, asked, names, run, after, left, cached=cached)
        rows = rows + found if rows else found
        if room is not None and len(rows) >= room:
            break
    if asked.limit is None:
        return Page(columns=names, rows=rows)
    cursor = None
    if len(rows) > asked.limit:
        del rows[asked.limit :]
        cursor = _cursor(rows[-1][-1:]) if rows else asked.cursor
    return Page(columns=names, rows=[row[:-1] for row in rows], cursor=cursor)


def _tasks_of(
    connection: sqlite3.Connection,
    asked: Query,
    names: Sequence[str],
    run: tuple[int, str, int, int],
    after: int | None,
    room: int | None,
    *,
    cached: bool,
) -> list[tuple[Any, ...]]:
    """Rows of one run; with their row id at the end where pages are asked for."""
    number, run_id, base, places = run
    parameters: list[Any] = []
    select = TaskSelect(number=number, run=run_id, base=base, cached=cached)
    selected = []
    for name in names:
        sql, values = select.column(name)
        selected.append(sql)
        parameters += values
    if room is not None:
        selected.append("t.id")
    low, high = number << 32, number << 32 | 0xFFFFFFFF
    if after is not None:
        low, high = (max(low, after + 1), high) if asked.oldest_first else (low, min(high, after - 1))
    where = ["t.id BETWEEN ? AND ?"]
    parameters += [low, high]
    # By row id, unless a condition below is better served: left alone, SQLite takes the index of steps and sorts.
    index = "NOT INDEXED"
    if asked.path is not None:
        step = step_of(asked.path)
        where.append("t.step = (SELECT id FROM step WHERE run = ? AND name = ?) AND t.path = ?")
        parameters += [number, step, stored_path(step, asked.path)]
        index = "INDEXED BY task_path"
    codes = state_codes(asked.states)
    if codes:
        where.append(f"t.state IN ({_marks(codes)})")
        parameters += codes
    unfinished = bool(codes) and all(isinstance(code, str) or code > _FINISHED for code in codes)
    if asked.step is not None:
        where.append("t.step = (SELECT id FROM step WHERE run = ? AND name = ?)")
        parameters += [number, asked.step]
    if asked.path is None and unfinished:
        index = "INDEXED BY task_unfinished"
        where.append(f"t.state > {_FINISHED}")
        if asked.step is None:
            where.append("t.step IN (SELECT id FROM step WHERE run = ?)")
            parameters.append(number)
    elif asked.path is None and asked.step is not None and _few(connection, number, asked.step, places):
        index = "INDEXED BY task_path"
    for value, sign in ((asked.since, ">="), (asked.until, "<")):
        if value is not None:
            where.append(f"{select.column('started')[0]} {sign} ?")
            parameters.append(value)
    way = "ASC" if asked.oldest_first else "DESC"
    # CROSS JOIN keeps the order of the loops: tasks outside, the few steps inside.
    sql = (
        f"SELECT {', '.join(selected)} FROM task t {index} CROSS JOIN step s ON s.id = t.step "
        f"{_where(where)} ORDER BY t.id {way} LIMIT ?"
    )
    return connection.execute(sql, (*parameters, -1 if room is None else room)).fetchall()


def _cached_tasks(connection: sqlite3.Connection, asked: Query, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The newest row of each key, all found with one statement."""
    parameters: list[Any] = []
    select = TaskSelect(number="r.id", base="r.base")
    selected = []
    for name in names:
        sql, values = select.column(name)
        selected.append(sql)
        parameters += values
    others = ""
    if asked.besides is not None:
        others = "AND c.id >> 32 IS NOT (SELECT id FROM run WHERE run = ?)"
    sql = (
        f"SELECT {', '.join(selected)} FROM json_each(?) k CROSS JOIN task t ON t.id = "
        f"(SELECT c.id FROM task c INDEXED BY task_cache WHERE c.cache = k.value {others} ORDER BY c.id DESC LIMIT 1) "
        "CROSS JOIN step s ON s.id = t.step CROSS JOIN run r ON r.id = t.id >> 32"
    )
    parameters.append(json.dumps(asked.cache))
    return connection.execute(sql, (*parameters, *((asked.besides,) if others else ()))).fetchall()


def _few(connection: sqlite3.Connection, run: int, step: str, places: int) -> bool:
    count = connection.execute(
        "SELECT coalesce(sum(count), 0) FROM counter WHERE state != ? AND step = "
        "(SELECT id FROM step WHERE run = ? AND name = ?)",
        (STATE_CODES["expected"], run, step),
    ).fetchone()[0]
    return bool(count * _FEW < places)


# Steps and flows


def _steps(connection: sqlite3.Connection, asked: Query) -> Page:
    parameters: list[Any] = []
    where = ["c.count != 0", *_run_conditions(asked, parameters)]
    if asked.since is not None:
        where.append("r.created >= ?")
        parameters.append(asked.since)
    if asked.until is not None:
        where.append("r.created < ?")
        parameters.append(asked.until)
    if asked.step is not None:
        where.append("s.name = ?")
        parameters.append(asked.step)
    codes = state_codes(asked.states)
    if codes:
        where.append(f"c.state IN ({_marks(codes)})")
        parameters += codes
    if asked.cursor is not None:
        where.append(f"(r.id, s.id, c.state) {'>' if asked.oldest_first else '<'} (?, ?, ?)")
        parameters += _position(asked.cursor, 3)
    way = "ASC" if asked.oldest_first else "DESC"
    sql = (
        f"SELECT r.run, s.name, {state_sql('c.state')}, c.count, r.id, s.id, c.state "
        f"FROM run r JOIN step s ON s.run = r.id JOIN counter c ON c.step = s.id {_where(where)} "
        f"ORDER BY r.id {way}, s.id {way}, c.state {way} LIMIT ?"
    )
    rows = connection.execute(sql, (*parameters, -1 if asked.limit is None else asked.limit + 1)).fetchall()
    return _cut(_STEPS, rows, asked)


def _flows(connection: sqlite3.Connection, asked: Query) -> Page:
    parameters: list[Any] = []
    where = _run_conditions(asked, parameters)
    after = ""
    way = "ASC" if asked.oldest_first else "DESC"
    values = parameters * 2
    if asked.cursor is not None:
        after = f"WHERE (g.created, l.id) {'>' if asked.oldest_first else '<'} (?, ?)"
        values += _position(asked.cursor, 2)
    sql = (
        "SELECT g.flow, g.runs, l.run, g.created, l.id FROM ("
        f"SELECT r.flow, count(*) AS runs, max(r.created) AS created FROM run r {_where(where)} GROUP BY r.flow"
        ") g JOIN run l ON l.id = (SELECT max(r.id) FROM run r "
        f"{_where([*where, 'r.flow = g.flow', 'r.created = g.created'])}"
        f") {after} ORDER BY g.created {way}, l.id {way} LIMIT ?"
    )
    rows = connection.execute(sql, (*values, -1 if asked.limit is None else asked.limit + 1)).fetchall()
    return _cut(_FLOWS, rows, asked)


def _cut(names: tuple[str, ...], rows: list[tuple[Any, ...]], asked: Query) -> Page:
    """A page of rows that have their position behind the columns."""
    cursor = None
    width = len(names)
    if asked.limit is not None and len(rows) > asked.limit:
        del rows[asked.limit :]
        cursor = _cursor(rows[-1][width:]) if rows else asked.cursor
    return Page(columns=names, rows=[row[:width] for row in rows], cursor=cursor)


def _picked(page: Page, columns: Sequence[str] | None) -> Page:
    if columns is None or tuple(columns) == page.columns:
        return page
    _check_columns(columns, page.columns)
    positions = [page.columns.index(name) for name in columns]
    rows = [tuple(row[at] for at in positions) for row in page.rows]
    return Page(columns=tuple(columns), rows=rows, cursor=page.cursor)


# Parts of statements


def _where(conditions: Sequence[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _check_columns(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise UsageError(f"{name!r} is no column of this query", hint=hint)


def _cursor(position: Sequence[Any]) -> str:
    return json.dumps(list(position))


def _position(cursor: str, length: int) -> list[Any]:
    try:
        position = json.loads(cursor)
    except ValueError:
        position = None
    if not isinstance(position, list) or len(position) != length:
        raise UsageError(f"{cursor!r} is no cursor of this query", hint="Pass on the cursor of the page before.")
    return position
