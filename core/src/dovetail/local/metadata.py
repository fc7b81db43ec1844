"""`SqliteMetadata`: journal, index and leases in one SQLite file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, PreconditionError
from dovetail.interfaces.events import INBOX_KINDS, Event
from dovetail.interfaces.limits import Limit, LimitUse, SlotAnswer
from dovetail.interfaces.metadata import (
    Holder,
    Lease,
    MetadataCapability,
    MetadataProvider,
    Page,
    Query,
    RunRef,
)
from dovetail.interfaces.runs import new_run_id
from dovetail.interfaces.states import RunState
from dovetail.local import _leases, _limits
from dovetail.local._appending import JournalWriter
from dovetail.local._database import Database
from dovetail.local._event_rows import read_events
from dovetail.local._queries import query
from dovetail.local._task_columns import state_sql

if TYPE_CHECKING:
    import sqlite3

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["SqliteMetadata"]

_SHORTEST, _LONGEST = 0.01, 0.1
"""Seconds between two looks of `watch` at what other processes wrote."""


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

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.LIMITS

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
        self._journal = JournalWriter(self._database)
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
        with self._database.write(power_durable=False) as connection:  # on the disk with the first events
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
        if not isinstance(events, (list, tuple)):
            events = list(events)
        seq = self._journal.append(run, events, fence)
        with self._appended:
            self._appended.notify_all()
        return seq

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
                "WHERE s.run = (SELECT id FROM run WHERE run = ?) AND c.count != 0 ORDER BY s.id, c.state",
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
            for table in ("step", "tag", "text", "written"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
            connection.execute("DELETE FROM run WHERE id = ?", (number,))
        self._journal.forget(run)

    # Leases: a power cut ends every process that could hold one, so they need not survive it.

    def lease(self, name: str, *, holder: Holder, slots: int = 1, ttl: float = 30.0) -> Lease | None:
        with self._database.write(power_durable=False) as connection:
            return _leases.take(connection, name, holder=holder, slots=slots, ttl=ttl, clock=self._clock)

    def renew(self, lease: Lease) -> Lease:
        with self._database.write(power_durable=False) as connection:
            return _leases.renew(connection, lease, clock=self._clock)

    def release(self, lease: Lease) -> None:
        with self._database.write(power_durable=False) as connection:
            _leases.release(connection, lease)

    def leases(self, prefix: str = "") -> list[Lease]:
        with self._database.read() as connection:
            return _leases.held(connection, prefix, clock=self._clock)

    # Limits: a definition must survive a power cut, who uses them need not.

    def set_limit(self, limit: Limit) -> None:
        with self._database.write() as connection:
            _limits.put(connection, limit)

    def delete_limit(self, name: str) -> None:
        with self._database.write() as connection:
            _limits.delete(connection, name)

    def limits(self) -> list[Limit]:
        with self._database.read() as connection:
            return _limits.listed(connection)

    def take_slots(
        self,
        name: str,
        *,
        holder: Holder,
        occupy: int = 1,
        ttl: float = 30.0,
        note: str = "",
        turn: Lease | None = None,
    ) -> SlotAnswer:
        with self._database.write(power_durable=False) as connection:
            return _limits.take(
                connection, name, holder=holder, occupy=occupy, ttl=ttl, note=note, turn=turn, clock=self._clock
            )

    def may_take(self, name: str, *, occupy: int = 1, turn: Lease | None = None) -> bool:
        with self._database.snapshot() as connection:
            return _limits.may_take(connection, name, occupy=occupy, turn=turn, clock=self._clock)

    def limit_mark(self) -> int:
        return self._database.version()

    def limit_uses(self, name: str) -> list[LimitUse]:
        with self._database.snapshot() as connection:
            return _limits.uses(connection, name, clock=self._clock)

    def _number(self, run: str) -> int:
        with self._database.read() as connection:
            row = connection.execute("SELECT id FROM run WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise self._missing(run)
        return int(row[0])

    def _missing(self, run: str) -> NotFoundError:
        return NotFoundError(f"run {run} is not in {self.path}", hint="`dovetail runs` lists what is there.")


def _query(database: Database, asked: Query, columns: Sequence[str] | None) -> Page:
    with database.snapshot() as connection:
        return query(connection, asked, columns)


def _first(batches: Iterator[list[Event]], limit: int = 4) -> Iterator[list[Event]]:
    """The first batches: a reader that stops in between holds no more than these."""
    for _, batch in zip(range(limit), batches, strict=False):
        yield batch
