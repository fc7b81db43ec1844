"""`SqliteMetadata`: journal, index and leases in one SQLite file."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, PreconditionError, StaleFenceError
from dovetail.interfaces.events import INBOX_KINDS, Event, RowChanges, fold
from dovetail.interfaces.metadata import Holder, Lease, MetadataProvider, Page, Query, RunRef
from dovetail.interfaces.runs import new_run_id
from dovetail.interfaces.states import RunState
from dovetail.local import _leases
from dovetail.local._database import Database
from dovetail.local._event_rows import Written, encode, group_by_writer, read_events
from dovetail.local._queries import query, run_values
from dovetail.local._task_rows import STATE_CODES, state_sql, write_tasks

if TYPE_CHECKING:
    import sqlite3

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["SqliteMetadata"]

_SHORTEST, _LONGEST = 0.01, 0.1
"""Seconds between two looks of `watch` at what other processes wrote."""
_RUNS = 64
"""Runs whose steps are remembered."""


class SqliteMetadata(MetadataProvider):
    """Journal, index and leases in one SQLite file, for the processes of one machine.

    An `append` is one transaction: events and rows appear together, power-durable, or not at all. Readers never wait
    for writers; writers take turns.

    Args:
        path: The database file. Made, with its folder, when missing.
        busy_timeout: Seconds to wait for other writers before an error is raised.
        journal: Journal mode of a new file.
        clock: Gives the time that leases are measured by, in seconds since the epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout: float = 60.0,
        journal: Literal["auto", "wal", "truncate"] = "auto",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(os.path.abspath(path))
        """The database file."""
        self._clock = clock
        self._database = Database(str(self.path), busy_timeout=busy_timeout, journal=journal)
        # Run → step → number, of what is committed. Numbers are never used twice, so this never gets stale.
        self._steps: dict[int, dict[str, int]] = {}
        self._appended = threading.Condition()

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the database at `target`, a path.

        Empty: the `path` of the settings, or else `metadata.db` in `ctx.home` (for an instance with a name of its
        own: in its folder there).
        """
        where = target or getattr(settings, "path", "")
        if where.startswith("sqlite:"):
            where = "/" + where[len("sqlite:") :].lstrip("/")
        home = ctx.home if ctx.instance in ("", "sqlite") else ctx.home / ctx.instance
        return cls(
            os.path.expanduser(where) if where else home / "metadata.db",
            busy_timeout=getattr(settings, "busy_timeout", 60.0),
            journal=getattr(settings, "journal", "auto"),
        )

    def close(self) -> None:
        self._database.close()

    def __repr__(self) -> str:
        return f"SqliteMetadata({str(self.path)!r})"

    # Journal

    def create_run(self, flow: str, *, run_id: str | None = None, created: float | None = None) -> RunRef:
        now = time.time() if created is None else created
        run = new_run_id(now) if run_id is None else run_id
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO run (run, flow, state, created, base) VALUES (?, ?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
                (run, flow, RunState.RUNNING.value, now, int(now)),
            )
            known, now = connection.execute("SELECT flow, created FROM run WHERE run = ?", (run,)).fetchone()
            if known != flow:
                raise AlreadyExistsError(f"run {run} is of flow {known}, not {flow}")
        return RunRef(run=run, flow=flow, created=now)

    def append(self, run: str, events: Sequence[Event], *, fence: int | None = None) -> int:
        if fence is None:
            for event in events:
                if event.kind not in INBOX_KINDS:
                    raise PreconditionError(
                        f"an event of kind {event.kind} needs a driver's fence",
                        hint=f"Without one only {', '.join(sorted(INBOX_KINDS))} can be appended.",
                    )
        data = encode(events)  # before anybody has to wait for this
        with self._database.write() as connection:
            row = connection.execute("SELECT id, fence, seq, tasks, base FROM run WHERE run = ?", (run,)).fetchone()
            if row is None:
                raise self._missing(run)
            number, newest, seq, places, base = row
            if fence is not None and fence < newest:
                raise StaleFenceError(
                    f"a newer driver owns run {run} (fence {newest}, this one has {fence})",
                    hint="This process must stop; the newer one goes on.",
                )
            fresh = _take_fresh(connection, number, events)
            changes = fold(fresh)
            changes.fence = max(changes.fence, fence or 0)
            if fresh:
                if len(fresh) != len(events):
                    data = encode(fresh)
                connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (number << 32 | seq + 1, len(fresh), data))
                steps = self._apply(connection, number, changes, first=number << 32 | places, base=base)
            if fresh or changes.fence > newest:
                _update_run(connection, number, changes, seq=seq + len(fresh), tasks=places + len(changes.tasks))
        if fresh:
            self._remember(number, steps)
            with self._appended:
                self._appended.notify_all()
        return int(seq) + len(fresh)

    def _apply(
        self, connection: sqlite3.Connection, run: int, changes: RowChanges, *, first: int, base: int
    ) -> dict[str, int]:
        """Apply the fold of a batch; the numbers of the run's steps."""
        steps: dict[str, int] = {}
        if changes.tasks or changes.counts:
            names = {row["step"]: None for row in changes.tasks.values()}
            names.update((step, None) for step, _ in changes.counts)
            steps = self._numbers(connection, run, list(names))
            if changes.tasks:
                write_tasks(connection, changes.tasks, steps=steps, first=first, base=base)
            _count(connection, steps, changes)
        if changes.add_tags or changes.remove_tags:
            _change_tags(connection, run, changes)
        return steps

    def _remember(self, run: int, steps: dict[str, int]) -> None:
        if len(self._steps) > _RUNS:
            self._steps.clear()
        if steps:
            self._steps[run] = steps

    def _numbers(self, connection: sqlite3.Connection, run: int, names: Sequence[str]) -> dict[str, int]:
        """Numbers of steps, given where they have none."""
        known = self._steps.get(run, {})
        if all(name in known for name in names):
            return known
        for name in names:
            if name not in known:
                connection.execute(
                    "INSERT INTO step (run, name) VALUES (?, ?) ON CONFLICT (run, name) DO NOTHING", (run, name)
                )
        return dict(connection.execute("SELECT name, id FROM step WHERE run = ?", (run,)).fetchall())

    def read(self, run: str, *, since: int = 0) -> Iterator[Event]:
        number = self._number(run)

        def events() -> Iterator[Event]:
            at = since
            while True:
                with self._database.read() as connection:
                    batches = list(_first(read_events(connection, number, at)))
                if not batches:
                    return
                for batch in batches:
                    yield from batch
                at = batches[-1][-1].seq

        return events()

    def watch(self, run: str, *, since: int = 0) -> Iterator[Event]:
        return self._watch(self._number(run), since)

    def _watch(self, number: int, since: int) -> Iterator[Event]:
        with self._database.watching() as connection:
            while True:
                version = connection.execute("PRAGMA data_version").fetchone()
                row = connection.execute("SELECT state, seq FROM run WHERE id = ?", (number,)).fetchone()
                if row is None:
                    return  # deleted
                if row[1] > since:
                    for batch in read_events(connection, number, since):
                        yield from batch
                        since = batch[-1].seq
                    continue
                if RunState(row[0]).final:
                    return
                self._wait(connection, version)

    def _wait(self, connection: sqlite3.Connection, version: tuple[int]) -> None:
        """Return when somebody wrote: at once for this process, soon for another."""
        pause = _SHORTEST
        while connection.execute("PRAGMA data_version").fetchone() == version:
            with self._appended:
                self._appended.wait(pause)
            pause = min(1.5 * pause, _LONGEST)

    # Index

    def query(self, query: Query, *, columns: Sequence[str] | None = None) -> Page:
        return _query(self._database, query, columns)

    def counts(self, run: str) -> dict[str, dict[str, int]]:
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT s.name, {state_sql('c.state')}, c.count FROM step s JOIN counter c ON c.step = s.id "
                "WHERE s.run = (SELECT id FROM run WHERE run = ?) ORDER BY s.id, c.state",
                (run,),
            ).fetchall()
        found: dict[str, dict[str, int]] = {}
        for step, state, count in rows:
            found.setdefault(step, {})[state] = count
        return found

    def delete_run(self, run: str) -> None:
        with self._database.write() as connection:
            row = connection.execute("SELECT id FROM run WHERE run = ?", (run,)).fetchone()
            if row is None:
                return
            number = row[0]
            begin, end = number << 32, number << 32 | 0xFFFFFFFF
            connection.execute("DELETE FROM task WHERE id BETWEEN ? AND ?", (begin, end))
            connection.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (begin, end))
            connection.execute("DELETE FROM counter WHERE step IN (SELECT id FROM step WHERE run = ?)", (number,))
            for table in ("step", "tag", "written"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
            connection.execute("DELETE FROM run WHERE id = ?", (number,))
        self._steps.pop(number, None)

    # Leases

    def lease(self, name: str, *, holder: Holder, slots: int = 1, ttl: float = 30.0) -> Lease | None:
        with self._database.write() as connection:
            return _leases.take(connection, name, holder=holder, slots=slots, ttl=ttl, clock=self._clock)

    def renew(self, lease: Lease) -> Lease:
        with self._database.write() as connection:
            return _leases.renew(connection, lease, clock=self._clock)

    def release(self, lease: Lease) -> None:
        with self._database.write() as connection:
            _leases.release(connection, lease)

    def leases(self, prefix: str = "") -> list[Lease]:
        with self._database.read() as connection:
            return _leases.held(connection, prefix, clock=self._clock)

    def _number(self, run: str) -> int:
        with self._database.read() as connection:
            row = connection.execute("SELECT id FROM run WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise self._missing(run)
        return int(row[0])

    def _missing(self, run: str) -> NotFoundError:
        return NotFoundError(f"run {run} is not in {self.path}", hint="`dovetail runs` lists what is there.")


def _query(database: Database, asked: Query, columns: Sequence[str] | None) -> Page:
    with database.read() as connection:
        connection.execute("BEGIN")  # several statements, one state of the database
        try:
            return query(connection, asked, columns)
        finally:
            connection.execute("COMMIT")


def _first(batches: Iterator[list[Event]], limit: int = 4) -> Iterator[list[Event]]:
    """The first batches: a reader that stops in between holds no more than these."""
    for _, batch in zip(range(limit), batches, strict=False):
        yield batch


def _take_fresh(connection: sqlite3.Connection, run: int, events: Sequence[Event]) -> list[Event]:
    """Those of the events that are not in the journal yet; they are noted as written."""
    groups = group_by_writer(events)
    kept: set[int] = set()
    for writer, group in groups.items():
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
    return list(events) if len(kept) == len(events) else [event for event in events if id(event) in kept]


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


def _update_run(connection: sqlite3.Connection, run: int, changes: RowChanges, *, seq: int, tasks: int) -> None:
    columns = dict(changes.run)
    if columns.get("info"):
        before = json.loads(connection.execute("SELECT info FROM run WHERE id = ?", (run,)).fetchone()[0])
        columns["info"] = {**before, **columns["info"]}
    if "system_tags" in columns:
        connection.execute("DELETE FROM tag WHERE run = ? AND system = 1", (run,))
        connection.executemany(
            "INSERT INTO tag VALUES (?, ?, 1) ON CONFLICT DO NOTHING", [(tag, run) for tag in columns["system_tags"]]
        )
    values = run_values(columns)
    assignments = "".join(f", {name} = ?" for name in values)
    connection.execute(
        f"UPDATE run SET seq = ?, tasks = ?, fence = max(fence, ?){assignments} WHERE id = ?",
        (seq, tasks, changes.fence, *values.values(), run),
    )
