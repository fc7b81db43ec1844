"""Rows of an artifact, without loading the others."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.client.artifact import DataArtifact

__all__ = ["part_of"]


def part_of(artifact: DataArtifact, index: Any) -> Any:
    """`artifact[index]`: of a slice its rows, of a number one element, or a frame of one row.

    Raises:
        IndexError: There is no such row.
        TypeError: It is neither a slice nor a number.
        UsageError: The value can only be loaded whole, or the slice leaves rows out.
    """
    if isinstance(index, slice):
        if index.step not in (None, 1):
            raise UsageError(
                f"{artifact.pathspec}[{_text(index.start)}:{_text(index.stop)}:{index.step}] leaves rows out",
                hint="Read a whole range, artifact[a:b], and take what you want of it.",
            )
    else:
        try:
            index = operator.index(index)
        except TypeError:
            raise TypeError(
                f"an artifact is read by rows, artifact[i] or artifact[a:b], not by {type(index).__name__}; "
                "artifact.data is the value"
            ) from None
    value = artifact._open()
    rows = value.rows
    if rows is None:
        return value.load_rows(0, 0)  # says why not
    if isinstance(index, slice):
        start, stop, _ = index.indices(rows)
        return value.load_rows(start, max(start, stop))
    start = index + rows if index < 0 else index
    if not 0 <= start < rows:
        raise IndexError(f"{artifact.pathspec} has {rows:,} rows, and none at {index:,}")
    part = value.load_rows(start, start + 1)
    if artifact.columns is not None:
        return part
    return part.iloc[0] if hasattr(part, "iloc") else part[0]


def _text(bound: Any) -> str:
    return "" if bound is None else str(bound)
