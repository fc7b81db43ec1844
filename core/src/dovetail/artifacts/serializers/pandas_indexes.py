"""Indexes of pandas as nodes and frames.

`{"kind": "range", "start", "stop", "step"}`; `{"kind": "labels", "labels"}` for the names of columns, where these are
plain: readable in the header, and with `"dtype": "object"` only where pandas would not choose the dtype itself;
`{"kind": "multi", "levels", "names"}` with a frame of codes a level, unused values of levels left out; else a column
(see `pandas_columns`) with `"freq"` where it has one. Each but the last but one has `"name"`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dovetail.artifacts.serializers.numpy_arrays import array_frame, array_of, dtype_from_plain, dtype_to_plain
from dovetail.artifacts.serializers.pandas_columns import read_column, write_column
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame

__all__ = ["label_from_plain", "label_to_plain", "read_index", "write_index"]

LABEL_LIMIT = 10_000
"""Labels that stand in the header."""
_KNOWN = {
    "CategoricalIndex",
    "DatetimeIndex",
    "Index",
    "IntervalIndex",
    "MultiIndex",
    "PeriodIndex",
    "RangeIndex",
    "TimedeltaIndex",
}


def label_to_plain(label: Any) -> Any:
    """A name as JSON-able data; a list stands for a tuple.

    Raises:
        DeclinedError: It is something else than text, a number, a boolean, None or a tuple of these.
    """
    if type(label) is tuple:
        return [label_to_plain(part) for part in label]
    if label is None or type(label) in (str, int, bool) or (type(label) is float and math.isfinite(label)):
        return label
    raise DeclinedError(f"a name is a {type(label).__qualname__}")


def label_from_plain(plain: Any) -> Any:
    """The inverse of `label_to_plain`."""
    return tuple([label_from_plain(part) for part in plain]) if isinstance(plain, list) else plain


def write_index(index: Any, frames: list[memoryview | bytes], *, readable: bool = False) -> dict[str, Any]:
    """Append the frames of an index; its node.

    Args:
        index: The index.
        frames: Takes the frames.
        readable: Whether plain labels shall stand in the node.

    Raises:
        DeclinedError: It would not read back equal.
    """
    if type(index).__name__ not in _KNOWN or not type(index).__module__.startswith("pandas"):
        raise DeclinedError(f"an index is a {type(index).__qualname__}")
    if isinstance(index, pd.MultiIndex):
        return _write_multi(index, frames)
    node: dict[str, Any] | None = None
    if isinstance(index, pd.RangeIndex):
        # In one form: several ranges have the same items.
        start, step = (index.start if len(index) else 0), (index.step if len(index) > 1 else 1)
        node = {"kind": "range", "start": start, "stop": start + len(index) * step, "step": step}
    elif readable and len(index) <= LABEL_LIMIT:
        node = _labels(index)
    if node is None:
        node = write_column(index.array, frames)
        freq = getattr(index, "freq", None)
        if freq is not None and node["kind"] != "period":
            node["freq"] = _freq(freq)
    if index.name is not None or "name" in node:  # a masked column has one of its own
        node["name"] = label_to_plain(index.name)
    return node


def _labels(index: Any) -> dict[str, Any] | None:
    if type(index) is not pd.Index:
        return None
    labels = index.tolist()
    try:
        plain = [label_to_plain(label) for label in labels]
    except DeclinedError:
        return None
    if any(type(label) is tuple for label in labels):
        return None
    chosen = pd.Index(labels)
    if labels and type(chosen) is pd.Index and chosen.dtype == index.dtype:
        return {"kind": "labels", "labels": plain}
    return {"kind": "labels", "labels": plain, "dtype": "object"} if index.dtype == object else None


def _freq(freq: Any) -> str:
    name = str(freq.freqstr)
    try:
        same = pd.tseries.frequencies.to_offset(name) == freq
    except ValueError:
        same = False
    if not same:
        raise DeclinedError(f"an index has the frequency {freq!r}, which has no exact name")
    return name


def _write_multi(index: Any, frames: list[memoryview | bytes]) -> dict[str, Any]:
    used = index.remove_unused_levels()
    levels, codes = [], []
    for level, code in zip(used.levels, used.codes, strict=True):
        plain = np.asarray(code)
        codes.append(dtype_to_plain(plain.dtype))
        frames.append(array_frame(plain)[0])
        levels.append(write_index(level.rename(None), frames))
    names = [label_to_plain(name) for name in index.names]
    return {"kind": "multi", "length": len(index), "levels": levels, "codes": codes, "names": names}


def read_index(node: dict[str, Any], frames: Iterator[LazyFrame], start: int = 0, stop: int | None = None) -> Any:
    """The index of a node, or rows of it."""
    name = label_from_plain(node.get("name"))
    kind = node["kind"]
    if kind == "range":
        whole = pd.RangeIndex(node["start"], node["stop"], node["step"], name=name)
        return whole if stop is None else whole[start:stop]
    if kind == "labels":
        labels = node["labels"] if stop is None else node["labels"][start:stop]
        return pd.Index(labels, dtype=node.get("dtype"), name=name)
    end: int = node["length"] if stop is None else stop
    if kind == "multi":
        return _read_multi(node, frames, start, end)
    values = read_column(node, frames, start, end)
    if "freq" in node and kind != "period":
        made = pd.TimedeltaIndex if values.dtype.kind == "m" else pd.DatetimeIndex
        return made(values, freq=node["freq"], name=name, copy=False)
    return pd.Index(values, dtype=object if kind == "object" else None, name=name, copy=False)


def _read_multi(node: dict[str, Any], frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    levels, codes = [], []
    for level, plain in zip(node["levels"], node["codes"], strict=True):
        dtype = dtype_from_plain(plain)
        size = dtype.itemsize
        codes.append(array_of(dtype, [stop - start], "C", next(frames).read(start * size, stop * size)))
        levels.append(read_index(level, frames))
    names = [label_from_plain(name) for name in node["names"]]
    return pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=True)
