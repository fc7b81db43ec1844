"""Events in the database: a batch is one row."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.events import Event

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Written", "decode", "encode", "group_by_writer", "read_events"]

_BATCHES = 16
"""Rows read at a time: no statement stays open while the events are handed out."""
_LARGEST = 1 << 63


def encode(events: Iterable[Event]) -> bytes:
    """A batch as stored: zlib of JSON.

    Events that follow each other and have the same writer, kind and fields are a group: [writer, number of the
    first, kind, fields, columns], the columns being time, path and one for each field. Half the text that a list of
    events would be, and it compresses better.
    """
    groups: list[list[Any]] = []
    rows: list[tuple[Any, ...]] = []
    of: tuple[Any, ...] = ()
    n = 0
    for event in events:
        data = event.data
        this = (event.writer, event.kind, *data)
        if this != of or event.n != n:
            of, rows = this, []
            groups.append([event.writer, event.n, event.kind, list(data), rows])
        rows.append((event.time, event.path, *data.values()))
        n = event.n + 1
    for group in groups:
        group[4] = list(zip(*group[4], strict=True))
    return zlib.compress(json.dumps(groups, separators=(",", ":")).encode(), 1)


def decode(data: bytes, first: int) -> list[Event]:
    """The events of a stored batch, the first of which has sequence number `first`."""
    found: list[Event] = []
    for writer, n, kind, names, columns in json.loads(zlib.decompress(data)):
        for time, path, *values in zip(*columns, strict=True):
            fields = dict(zip(names, values, strict=True))
            found.append(Event(writer, n, kind, time, path, fields, first + len(found)))
            n += 1
    return found


def read_events(connection: sqlite3.Connection, run: int, since: int) -> Iterator[list[Event]]:
    """Batches of events behind sequence number `since`."""
    begin = run << 32
    start = connection.execute(
        "SELECT max(id) FROM batch WHERE id BETWEEN ? AND ?", (begin, begin + max(since, 0) + 1)
    ).fetchone()[0]
    at = begin if start is None else start
    while True:
        rows = connection.execute(
            "SELECT id, count, data FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (at, begin | 0xFFFFFFFF, _BATCHES),
        ).fetchall()
        for number, count, data in rows:
            first = number & 0xFFFFFFFF
            if first + count - 1 > since:
                events = decode(data, first)
                yield events[max(0, since - first + 1) :]
        if len(rows) < _BATCHES:
            return
        at = rows[-1][0] + 1


class Written:
    """Which event numbers of one writer are in the journal, as ranges: nearly always one."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.ranges = list(ranges)

    def take(self, events: Sequence[Event]) -> Sequence[Event]:
        """Add events; those that were not there yet."""
        first, last = events[0].n, events[-1].n
        if last - first + 1 == len(events) and all(e.n == n for n, e in enumerate(events, first)):
            if not self.ranges:
                self.ranges = [(first, last)]
                return events
            if self.ranges[-1][1] == first - 1:
                self.ranges[-1] = (self.ranges[-1][0], last)
                return events
        fresh = []
        numbers: set[int] = set()
        for event in events:
            if event.n not in numbers and not self._holds(event.n):
                numbers.add(event.n)
                fresh.append(event)
        if fresh:
            self.ranges = _joined(sorted([*self.ranges, *((n, n) for n in numbers)]))
        return fresh

    def _holds(self, number: int) -> bool:
        at = bisect_right(self.ranges, (number, _LARGEST)) - 1
        return at >= 0 and self.ranges[at][1] >= number


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted ranges, neighbouring ones made one."""
    found: list[tuple[int, int]] = []
    for begin, end in ranges:
        if found and found[-1][1] >= begin - 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def group_by_writer(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Writer → its events, in order."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(event.writer, []).append(event)
    return groups
