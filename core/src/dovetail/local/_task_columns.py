"""How the columns of task rows read: the inverse of `_task_rows`, in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dovetail.interfaces.events import TASK_COLUMNS
from dovetail.local._packing import BEGIN_BITS, GRAIN, LENGTH_BITS, MICROS, STATE_CODES

__all__ = ["TaskSelect", "state_codes", "state_sql"]


def state_codes(states: Iterable[str]) -> Sequence[int | str]:
    """States as stored."""
    return [STATE_CODES.get(state, state) for state in states]


def state_sql(column: str) -> str:
    """SQL for the name of a stored state."""
    cases = " ".join(f"WHEN {code} THEN '{name}'" for name, code in STATE_CODES.items())
    return f"CASE {column} {cases} ELSE {column} END"


_TEXT = "(SELECT x.text FROM text x WHERE x.run = {run} AND x.n = {n})"
_PLAIN = {
    "path": "CASE WHEN substr(t.path, 1, 1) = '=' THEN substr(t.path, 2) ELSE s.name || t.path END",
    "step": "s.name",
    "state": state_sql("t.state"),
    "cpu": f"CASE typeof(t.cpu) WHEN 'integer' THEN t.cpu / {MICROS}.0 ELSE t.cpu END",
}


class TaskSelect:
    """Columns of the tasks `t`, joined with steps `s`, as SQL.

    Args:
        number: Number of the run that they are of, or SQL for that of each.
        base: What its times count from, or SQL for it.
        run: Id of the run; None: `r.run`.
        cached: Whether the table has keys of cached values.
    """

    def __init__(self, *, number: int | str, base: int | str, run: str | None = None, cached: bool = True) -> None:
        self._number = number
        self._run = run
        self._base = base
        self._cached = cached

    def column(self, name: str) -> tuple[str, tuple[Any, ...]]:
        """SQL of a column and its parameters.

        Raises:
            KeyError: There is no such column.
        """
        if name in ("started", "finished"):
            exact = f"{self._base} + t.{name} / {GRAIN}.0"
            return f"CASE typeof(t.{name}) WHEN 'integer' THEN {exact} ELSE t.{name} END", ()
        if name in ("error", "info"):
            text = _TEXT.format(run=self._number, n=f"t.{name}")
            return f"CASE typeof(t.{name}) WHEN 'integer' THEN {text} ELSE t.{name} END", ()
        if name == "record":
            head = _TEXT.format(run=self._number, n=f"t.record >> {BEGIN_BITS}")
            packed = f"{head} || ',' || (t.record & {_mask(BEGIN_BITS)}) || ']'"
            return f"CASE typeof(t.record) WHEN 'integer' THEN {packed} ELSE t.record END", ()
        if name == "log":
            head = _TEXT.format(run=self._number, n=f"t.log >> {BEGIN_BITS + LENGTH_BITS}")
            begin = f"((t.log >> {LENGTH_BITS}) & {_mask(BEGIN_BITS)})"
            packed = f"{head} || ',' || {begin} || ',' || ({begin} + (t.log & {_mask(LENGTH_BITS)})) || ']'"
            return f"CASE typeof(t.log) WHEN 'integer' THEN {packed} ELSE t.log END", ()
        if name == "run":
            return ("r.run", ()) if self._run is None else ("?", (self._run,))
        if name == "cache" and not self._cached:
            return "NULL", ()
        if name.startswith("artifact:"):
            return _artifact(name[len("artifact:") :])
        if name not in TASK_COLUMNS:
            raise KeyError(name)
        return _PLAIN.get(name, f"t.{name}"), ()


def _mask(bits: int) -> int:
    return (1 << bits) - 1


def _artifact(name: str) -> tuple[str, tuple[Any, ...]]:
    if '"' in name or "\\" in name:  # what a path of SQLite's can't name
        return (
            "(SELECT CASE e.type WHEN 'array' THEN e.value WHEN 'object' THEN e.value ELSE json_quote(e.value) END "
            "FROM json_each(t.outputs) e WHERE e.key = ?)",
            (name,),
        )
    # SQLite parses the text once for all of them.
    return (
        "CASE WHEN json_type(t.outputs, ?) = 'array' THEN json_extract(t.outputs, ?) "
        "WHEN json_type(t.outputs, ?) NOT NULL THEN json_quote(json_extract(t.outputs, ?)) END",
        (f'$."{name}"',) * 4,
    )
