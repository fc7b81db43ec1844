"""What a preview shows: text, or the cells of a table, for people and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dovetail.interfaces.dataclass import dataclass

__all__ = ["Preview", "list_cells", "shortened", "table_cells"]

_COLUMNS = 12
"""Columns that are shown."""
_CELL = 32
"""Characters of a cell."""
_TEXT = 400
"""Characters of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Text, or the first rows of a table."""

    text: str = ""
    """Where it is no table."""
    columns: tuple[str, ...] = ()
    """Headers of the table."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Its cells."""
    more: bool = False
    """Whether the table has more rows."""

    def __str__(self) -> str:
        """In lines, columns aligned."""
        if not self.columns:
            return self.text
        table = [self.columns, *self.rows]
        widths = [max(len(row[at]) for row in table) for at in range(len(self.columns))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([*lines, "…"] if self.more else lines)

    @property
    def line(self) -> str:
        """In one line: rows separated by semicolons."""
        if not self.columns:
            return self.text.replace("\n", " ")
        rows = [", ".join(row) for row in self.rows]
        return "; ".join([*rows, "…"] if self.more else rows)

    @property
    def html(self) -> str:
        """As HTML, everything escaped."""
        if not self.columns:
            return f"<pre>{escape(self.text)}</pre>"
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        dots = f'<tr><td colspan="{len(self.columns)}">…</td></tr>' if self.more else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{dots}</tbody></table>"


def shortened(text: str, limit: int = _TEXT) -> str:
    """A text of at most so many characters, all of which can be printed in a line."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else _escaped(char) for char in cut)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def table_cells(part: Any, *, more: bool) -> Preview:
    """The preview of a frame or table of pandas, polars or Arrow that is read already."""
    library = type(part).__module__.partition(".")[0]
    if library == "pandas":
        levels = part.index.names
        names = [*("" if name is None else name for name in levels), *part.columns]
        columns = [part.index.get_level_values(at) for at in range(len(levels))]
        columns += [part.iloc[:, at].array for at in range(min(part.shape[1], _COLUMNS))]
    elif library == "polars":
        names, columns = part.columns, part.get_columns()[:_COLUMNS]
    else:
        names, columns = part.schema.names, [column.to_pylist() for column in part.columns[:_COLUMNS]]
    cells: Iterable[tuple[str, ...]] = zip(*[list(map(_cell, column)) for column in columns], strict=True)
    return _preview([str(name) for name in names], len(columns), list(cells), more)


def _preview(names: Sequence[str], shown: int, cells: list[tuple[str, ...]], more: bool) -> Preview:
    headers = [shortened(name, _CELL) for name in names[:shown]]
    if len(names) > shown:
        headers, cells = [*headers, "…"], [(*row, "…") for row in cells]
    return Preview(columns=tuple(headers), rows=tuple(cells), more=more)


def list_cells(part: Any, *, more: bool) -> Preview:
    """The preview of an array, series, index or tensor that is read already."""
    library = type(part).__module__.partition(".")[0]
    if library == "pandas" and hasattr(part, "index"):
        name = "" if part.index.name is None else str(part.index.name)
        pairs = zip(map(_cell, part.index), map(_cell, part.array), strict=True)
        cells: list[tuple[str, ...]] = list(pairs)
        return _preview([name, "value" if part.name is None else str(part.name)], 2, cells, more)
    if library == "numpy":
        import numpy as np

        text = np.array2string(part, separator=", ", threshold=60, edgeitems=3)
        items = text[1:-1] if text.startswith("[") else text
    else:
        items = ", ".join(map(_cell, part.tolist() if hasattr(part, "tolist") else part.to_pylist()))
    items = " ".join(items.split())
    return Preview(text=shortened(f"[{items}, …]" if more else f"[{items}]"))


def _cell(value: Any) -> str:
    return shortened(repr(value) if isinstance(value, bytes) else str(value), _CELL)
