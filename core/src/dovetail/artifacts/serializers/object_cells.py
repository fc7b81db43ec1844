"""Columns of Python objects, where these are text, bytes, numbers, booleans, missing values, or plain lists and
dictionaries.

Frames: offsets (int64, one more than there are cells) and the joined text of the cells; before them, unless all are
text, one byte a cell for its kind: 0 text, 1 None, 2 NaN, 3 False, 4 True, 5 integer in decimal digits, 6 float as in
Python's `repr`, 7 bytes, 8 `pandas.NA`, 9 `pandas.NaT`, 10 a date as in ISO 8601, 11 a decimal number in digits, 12 a
list or dictionary as the serializer `json` writes it. Text, with None and NaN between, is written and read by Arrow
where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from dovetail.artifacts.serializers.json_text import json_frame, json_value
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["read_cells", "write_cells"]

_TEXT, _NONE, _NAN, _FALSE, _TRUE, _INT, _FLOAT, _BYTES, _NA, _NAT, _DATE, _DECIMAL, _JSON = range(13)
_CONSTANTS = {_NONE: None, _NAN: float("nan"), _FALSE: False, _TRUE: True, _NA: pd.NA, _NAT: pd.NaT}


def write_cells(cells: Any, frames: list[memoryview | bytes]) -> dict[str, Any]:
    """Append the frames of an array of objects; the rest of its node.

    Raises:
        DeclinedError: It holds other objects.
    """
    kinds = set(map(type, cells))
    if kinds - _WRITERS.keys():
        strange = ", ".join(sorted(kind.__qualname__ for kind in kinds - _WRITERS.keys()))
        raise DeclinedError(f"a column of objects holds {strange}")
    if kinds <= {str, float, type(None)}:
        quickly = _write_text(cells, frames)
        if quickly is not None:
            return quickly
    tags = bytearray(len(cells))
    parts: list[bytes] = []
    try:
        for position, cell in enumerate(cells):
            tags[position], part = _WRITERS[type(cell)](cell)
            parts.append(part)
    except (UnicodeEncodeError, ValueError) as error:
        raise DeclinedError(f"a column of objects holds what can't be written: {error}") from error
    node: dict[str, Any] = {"kind": "object", "length": len(cells)}
    if any(tags):
        node["tags"] = True
        frames.append(bytes(tags))
    offsets = np.zeros(len(cells) + 1, "<i8")
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    plain: Any = offsets.view(np.uint8)
    frames += [memoryview(plain), b"".join(parts)]
    return node


def _float(cell: float) -> tuple[int, bytes]:
    return (_NAN, b"") if cell != cell else (_FLOAT, repr(cell).encode())


def _plain(cell: Any) -> tuple[int, bytes]:
    text = json_frame(cell)
    if text is None:
        raise ValueError(f"a {type(cell).__name__} with more than plain data")
    return _JSON, text


_WRITERS: dict[type, Callable[[Any], tuple[int, bytes]]] = {
    str: lambda cell: (_TEXT, cell.encode()),
    type(None): lambda cell: (_NONE, b""),
    float: _float,
    bool: lambda cell: (_TRUE if cell else _FALSE, b""),
    int: lambda cell: (_INT, b"%d" % cell),
    bytes: lambda cell: (_BYTES, cell),
    type(pd.NA): lambda cell: (_NA, b""),
    type(pd.NaT): lambda cell: (_NAT, b""),
    date: lambda cell: (_DATE, cell.isoformat().encode()),
    Decimal: lambda cell: (_DECIMAL, str(cell).encode()),
    list: _plain,
    dict: _plain,
}


def _write_text(cells: Any, frames: list[memoryview | bytes]) -> dict[str, Any] | None:
    """As `write_cells`, of text, None and NaN, by Arrow; None where it is not installed or refuses."""
    try:
        import pyarrow as pa
        import pyarrow.compute
    except ImportError:
        return None
    from dovetail.artifacts.serializers.arrow_layout import write_array

    try:
        array = pa.array(cells, pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError):  # other floats than NaN, lone surrogates
        return None
    node: dict[str, Any] = {"kind": "object", "length": len(cells)}
    if array.null_count:
        missing = np.where(cells == None, _NONE, _NAN)  # noqa: E711 - compared cell by cell
        tags = np.where(np.asarray(array.is_null()), missing, _TEXT)
        node["tags"] = True
        frames.append(tags.astype("u1").tobytes())
        array = pyarrow.compute.fill_null(array, "")  # type: ignore[attr-defined, unused-ignore]
    write_array(array, frames)
    return node


def read_cells(node: dict[str, Any], frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    """Cells `start` to `stop`, as an array of objects."""
    tags = bytes(next(frames).read(start, stop)) if node.get("tags") else bytes(stop - start)
    offsets = np.frombuffer(next(frames).read(start * 8, (stop + 1) * 8), "<i8")
    if len(offsets) != stop - start + 1 or len(tags) != stop - start or (np.diff(offsets) < 0).any():
        raise CorruptDataError("a column of objects has offsets that do not fit")
    begin = int(offsets[0])
    ends = offsets - begin
    data = next(frames).read(begin, int(offsets[-1]))
    if set(tags) <= {_TEXT, _NONE, _NAN} and (quickly := _read_text(tags, ends, data)) is not None:
        return quickly
    whole, places = bytes(data), ends.tolist()
    cells = np.empty(stop - start, object)
    for i, tag in enumerate(tags):  # one by one: lists of one length would pass for rows of an array
        cells[i] = _cell(tag, whole[places[i] : places[i + 1]])
    return cells


def _read_text(tags: bytes, ends: Any, data: memoryview) -> Any:
    """Cells that are text, None or NaN, by Arrow; None where it is not installed."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    buffers = [None, pa.py_buffer(np.ascontiguousarray(ends)), pa.py_buffer(data)]
    try:
        array = pa.Array.from_buffers(pa.large_string(), len(tags), buffers)
        cells = np.array(array.to_numpy(zero_copy_only=False), object)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise CorruptDataError(f"a column of objects holds what is no text: {error}") from error
    kinds = np.frombuffer(tags, "u1")
    cells[kinds == _NONE] = None
    cells[kinds == _NAN] = float("nan")
    return cells


def _cell(tag: int, part: bytes) -> Any:
    if tag == _TEXT:
        return part.decode()
    if tag in _CONSTANTS:
        return _CONSTANTS[tag]
    if tag == _INT:
        return int(part)
    if tag == _FLOAT:
        return float(part)
    if tag == _BYTES:
        return part
    if tag == _DATE:
        return date.fromisoformat(part.decode())
    if tag == _DECIMAL:
        return Decimal(part.decode())
    if tag == _JSON:
        return json_value(part)
    raise CorruptDataError(f"a column of objects has a cell of the unknown kind {tag}")
