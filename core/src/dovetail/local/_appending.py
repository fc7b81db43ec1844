"""Appending to a run's journal: events and the rows that follow from them, in one transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import NotFoundError, StaleFenceError
from dovetail.interfaces.events import RUN_COLUMNS, Event, RowChanges, fold
from dovetail.local._event_rows import Written, encode, group_by_writer
from dovetail.local._packing import GRAIN, STATE_CODES, RunNumbers
from dovetail.local._task_rows import task_statements

if TYPE_CHECKING:
    import sqlite3

    from dovetail.local._database import Database

__all__ = ["JournalWriter"]

_RUNS = 64
"""Runs whose numbers are remembered."""
_JSON = frozenset({"system_tags", "parameters", "origin", "error", "info"})


class JournalWriter:
    """Appends events. Thread-safe.

    Whatever needs Python is done before the transaction begins, as far as the numbers of the run are known from the
    batch before: other processes wait for SQLite and the disk only.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._numbers: dict[str, RunNumbers] = {}

    def append(self, run: str, events: Sequence[Event], fence: int | None) -> int:
        """As `MetadataProvider.append`, of events that may be appended."""
        with self._lock:
            try:
                return self._append(run, events, fence)
            except BaseException:
                self._numbers.pop(run, None)  # it may name what was not committed
                raise

    def forget(self, run: str) -> None:
        """Drop what is remembered of a run."""
        with self._lock:
            self._numbers.pop(run, None)

    def _append(self, run: str, events: Sequence[Event], fence: int | None) -> int:
        data = encode(events)
        changes = fold(events)
        numbers = self._numbers.get(run)
        statements = None
        if numbers is not None and _steps_of(changes).keys() <= numbers.steps.keys():
            statements = task_statements(changes.tasks, numbers)
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT id, fence, seq, tasks, base, texts FROM run WHERE run = ?", (run,)
            ).fetchone()
            if row is None:
                raise NotFoundError(
                    f"run {run} is not in {self._database.path}", hint="`dovetail runs` lists what is there."
                )
            number, newest, seq, places, base, texts = row
            if fence is not None and fence < newest:
                raise StaleFenceError(
                    f"a newer driver owns run {run} (fence {newest}, this one has {fence})",
                    hint="This process must stop; the newer one goes on.",
                )
            fresh = _take_fresh(connection, number, events)
            if len(fresh) != len(events):
                data, changes, statements = encode(fresh), fold(fresh), None
            changes.fence = max(changes.fence, fence or 0)
            if not fresh and changes.fence <= newest:
                return int(seq)
            if fresh:
                connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (number << 32 | seq + 1, len(fresh), data))
            known = 0 if numbers is None else len(numbers.texts) - len(numbers.added)
            if numbers is None or statements is None or numbers.number != number or known != texts:
                numbers = _load_numbers(connection, number, base, _steps_of(changes))
                statements = task_statements(changes.tasks, numbers)
            _write_rows(connection, numbers, changes, statements, places)
            _update_run(
                connection,
                number,
                changes,
                seq=seq + len(fresh),
                tasks=places + len(changes.tasks),
                texts=len(numbers.texts),
            )
        numbers.added.clear()
        if len(self._numbers) >= _RUNS:
            self._numbers.clear()
        self._numbers[run] = numbers
        return int(seq) + len(fresh)


def _steps_of(changes: RowChanges) -> dict[str, None]:
    """Steps that are named, in order of appearance."""
    names = dict.fromkeys([row["step"] for row in changes.tasks.values()])
    names.update((step, None) for step, _ in changes.counts)
    return names


def _load_numbers(connection: sqlite3.Connection, run: int, base: int, steps: Iterable[str]) -> RunNumbers:
    """The numbers of a run; steps that have none are given one."""
    known = dict(connection.execute("SELECT name, id FROM step WHERE run = ?", (run,)).fetchall())
    missing = [name for name in steps if name not in known]
    if missing:
        connection.executemany("INSERT INTO step (run, name) VALUES (?, ?)", [(run, name) for name in missing])
        known = dict(connection.execute("SELECT name, id FROM step WHERE run = ?", (run,)).fetchall())
    texts = dict(connection.execute("SELECT text, n FROM text WHERE run = ?", (run,)).fetchall())
    return RunNumbers(run, base, known, texts)


def _take_fresh(connection: sqlite3.Connection, run: int, events: Sequence[Event]) -> Sequence[Event]:
    """Those of the events that are not in the journal yet; they are noted as written."""
    kept: set[int] = set()
    for writer, group in group_by_writer(events).items():
        ranges = connection.execute(
            "SELECT first, last FROM written WHERE run = ? AND writer = ? ORDER BY first", (run, writer)
        ).fetchall()
        written = Written(ranges)
        fresh = written.take(group)
        kept.update(map(id, fresh))
        if not fresh:
            continue
        if len(ranges) == 1 and len(written.ranges) == 1 and ranges[0][0] == written.ranges[0][0]:
            connection.execute(
                "UPDATE written SET last = ? WHERE run = ? AND writer = ? AND first = ?",
                (written.ranges[0][1], run, writer, ranges[0][0]),
            )
            continue
        connection.execute("DELETE FROM written WHERE run = ? AND writer = ?", (run, writer))
        connection.executemany(
            "INSERT INTO written VALUES (?, ?, ?, ?)", [(run, writer, first, last) for first, last in written.ranges]
        )
    return events if len(kept) == len(events) else [event for event in events if id(event) in kept]


def _write_rows(
    connection: sqlite3.Connection,
    numbers: RunNumbers,
    changes: RowChanges,
    statements: Sequence[tuple[str, str]],
    places: int,
) -> None:
    if numbers.added:
        connection.executemany(
            "INSERT INTO text VALUES (?, ?, ?)", [(numbers.number, n, text) for n, text in numbers.added]
        )
    first = numbers.number << 32 | places
    for sql, rows in statements:
        connection.execute(sql, {"first": first, "base": numbers.base * GRAIN, "rows": rows})
    _count(connection, numbers.steps, changes)
    if changes.add_tags or changes.remove_tags:
        _change_tags(connection, numbers.number, changes)


def _count(connection: sqlite3.Connection, steps: dict[str, int], changes: RowChanges) -> None:
    changed = {key: n for key, n in changes.counts.items() if n}
    if not changed:
        return
    rows = [[steps[step], STATE_CODES.get(state, state), n] for (step, state), n in changed.items()]
    connection.execute(
        "INSERT INTO counter SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), "
        "json_extract(value, '$[2]') FROM json_each(?) WHERE true "
        "ON CONFLICT (step, state) DO UPDATE SET count = count + excluded.count",
        (json.dumps(rows),),
    )
    lowered = {str(steps[step]) for (step, _), n in changed.items() if n < 0}
    if lowered:
        connection.execute(f"DELETE FROM counter WHERE count = 0 AND step IN ({', '.join(lowered)})")


def _change_tags(connection: sqlite3.Connection, run: int, changes: RowChanges) -> None:
    for tag in changes.add_tags:
        connection.execute("INSERT INTO tag VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (tag, run))
    for tag in changes.remove_tags:
        connection.execute("DELETE FROM tag WHERE tag = ? AND run = ? AND system = 0", (tag, run))
    tags = set(json.loads(connection.execute("SELECT tags FROM run WHERE id = ?", (run,)).fetchone()[0]))
    tags = (tags | changes.add_tags) - changes.remove_tags
    connection.execute("UPDATE run SET tags = ? WHERE id = ?", (json.dumps(sorted(tags)), run))


def _update_run(
    connection: sqlite3.Connection, run: int, changes: RowChanges, *, seq: int, tasks: int, texts: int
) -> None:
    columns = dict(changes.run)
    if "info" in columns:
        before = json.loads(connection.execute("SELECT info FROM run WHERE id = ?", (run,)).fetchone()[0])
        columns["info"] = {**before, **columns["info"]}
    if "system_tags" in columns:
        connection.execute("DELETE FROM tag WHERE run = ? AND system = 1", (run,))
        connection.executemany(
            "INSERT INTO tag VALUES (?, ?, 1) ON CONFLICT DO NOTHING", [(tag, run) for tag in columns["system_tags"]]
        )
    values = _stored(columns)
    assignments = "".join(f", {name} = ?" for name in values)
    connection.execute(
        f"UPDATE run SET seq = ?, tasks = ?, texts = ?, fence = max(fence, ?){assignments} WHERE id = ?",
        (seq, tasks, texts, changes.fence, *values.values(), run),
    )


def _stored(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns of a run as stored."""
    found: dict[str, Any] = {}
    for name, value in columns.items():
        if name in _JSON and value is not None:
            # Sorted, so that a parameter that is an object can be compared as text.
            found[name] = json.dumps(value, sort_keys=name == "parameters", separators=(",", ":"))
        elif name in RUN_COLUMNS and name not in ("run", "tags"):
            found[name] = value
    return found
