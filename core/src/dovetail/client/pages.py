"""Pages of task rows: what makes iterating over a run's tasks one query a page, whatever is asked of each task.

A page holds the three columns that nearly every reader wants. The others are fetched for the whole page when the
first task is asked for one, and the outputs are decoded for the whole page when several tasks were asked for one.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.events import TASK_COLUMNS
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from dovetail.client.connection import Connection

__all__ = ["NARROW", "TaskPage", "decode_outputs", "single", "task_pages"]

NARROW = ("path", "state", "outputs")
"""Columns of every page, in this order."""
_FIRST, _LARGEST, _GROWTH = 128, 32768, 8
"""Rows of the first page, so that looking at one task costs little; of the largest; and how fast pages grow."""
_ALONE = 2
"""How many tasks of a page have their outputs decoded alone before the page's are decoded together."""


def decode_outputs(texts: list[str | None]) -> list[dict[str, list[Any]]]:
    """The index entries of many tasks' outputs, decoded in one go: a third of the time of one by one."""
    text = f"[{','.join([text or '{}' for text in texts])}]"
    # Each new container counts towards a collection that can find no garbage here: of 100,000 tasks those take longer
    # than the decoding.
    collecting = gc.isenabled()
    gc.disable()
    try:
        decoded: list[dict[str, list[Any]]] = json.loads(text)
    finally:
        if collecting:
            gc.enable()
    return decoded


class TaskPage:
    """Task rows of one run, as one query gave them."""

    __slots__ = ("_alone", "_decoded", "_wide", "fetched", "query", "rows")

    def __init__(
        self, rows: list[tuple[Any, ...]], query: Query, wide: dict[str, tuple[Any, ...]] | None = None
    ) -> None:
        self.rows = rows
        """One tuple a task, of the columns in `NARROW`."""
        self.query = query
        """What gave them; asks for the other columns."""
        self.fetched = time.monotonic()
        """When they were read."""
        self._alone: dict[int, dict[str, list[Any]]] = {}
        self._decoded: list[dict[str, list[Any]]] | None = None
        self._wide = wide

    def outputs(self, at: int) -> dict[str, list[Any]]:
        """Name → index entry of the outputs of a task."""
        if self._decoded is not None:
            return self._decoded[at]
        alone = self._alone.get(at)
        if alone is not None:
            return alone
        if len(self._alone) < _ALONE:
            found = self._alone[at] = decode_outputs([self.rows[at][2]])[0]
            return found
        self._decoded = decode_outputs([row[2] for row in self.rows])
        self._alone = {}
        return self._decoded[at]

    def wide(self, at: int, connection: Connection) -> tuple[Any, ...]:
        """All of TASK_COLUMNS of a task, those of the whole page in one query."""
        path = self.rows[at][0]
        if self._wide is None:
            page = connection.provider.query(self.query, columns=TASK_COLUMNS)
            self._wide = {row[0]: row for row in page.rows}
        row = self._wide.get(path)
        if row is None:  # newer tasks have come in front of this one since
            alone = replace(self.query, path=path, cursor=None, limit=1)
            row = self._wide[path] = connection.provider.query(alone, columns=TASK_COLUMNS).rows[0]
        return row

    def __reduce__(self) -> tuple[Any, ...]:
        return TaskPage, (self.rows, self.query, self._wide)


def single(row: tuple[Any, ...], query: Query) -> TaskPage:
    """The page of one task whose TASK_COLUMNS are known."""
    return TaskPage([(row[0], row[2], row[6])], query, {row[0]: row})


def task_pages(connection: Connection, query: Query) -> Iterator[TaskPage]:
    """Pages of the tasks that `query` finds, each read when it is reached; `limit` counts tasks in all."""
    left, size, cursor = query.limit, _FIRST, query.cursor
    while left is None or left > 0:
        asked = replace(query, limit=size if left is None else min(size, left), cursor=cursor)
        page = connection.provider.query(asked, columns=NARROW)
        if page.rows:
            yield TaskPage(page.rows, asked)
        if page.cursor is None:
            return
        cursor = page.cursor
        if left is not None:
            left -= len(page.rows)
        size = min(size * _GROWTH, _LARGEST)
