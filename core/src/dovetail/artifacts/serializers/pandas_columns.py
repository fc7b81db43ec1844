"""Columns and indexes of pandas as nodes and frames, each with its exact dtype.

A node is `{"kind", "length"}` and what the kind needs. NumPy columns are one frame, as they are in memory: NaN and NaT
stay what they are. Masked ones have zeros where they are missing. Text and Arrow columns are Arrow arrays, see
`arrow_layout`; columns of Python objects: `object_cells`. The frames of a node's parts follow its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from dovetail.artifacts.serializers.numpy_arrays import array_frame, array_of, dtype_from_plain, dtype_to_plain
from dovetail.artifacts.serializers.object_cells import read_cells, write_cells
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["apart", "dtype_label", "read_column", "write_column"]

Frames = list[memoryview | bytes]
Node = dict[str, Any]


def _numpy(array: Any, frames: Frames) -> Node:
    values = np.asarray(array)
    plain = dtype_to_plain(values.dtype)
    frames.append(array_frame(values)[0])
    return {"kind": "numpy", "dtype": plain, "length": len(values)}


def _read_numpy(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    dtype = dtype_from_plain(node["dtype"])
    return array_of(dtype, [stop - start], "C", next(frames).read(start * dtype.itemsize, stop * dtype.itemsize))


def _zoned(array: Any, frames: Frames) -> Node:
    dtype = array.dtype
    zone = str(dtype.tz)
    try:
        same = pd.DatetimeTZDtype(dtype.unit, zone) == dtype
    except Exception as error:
        raise DeclinedError(f"the time zone {zone} has no name that is known") from error
    if not same:
        raise DeclinedError(f"the time zone {zone} has no name that is known")
    node = _numpy(array.asi8.view(f"<M8[{dtype.unit}]"), frames)
    return {**node, "kind": "zoned", "zone": zone}


def _read_zoned(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    moments = pd.DatetimeIndex(_read_numpy(node, frames, start, stop), tz="UTC")
    return moments.tz_convert(node["zone"]).array


def _period(array: Any, frames: Frames) -> Node:
    freq = str(array.dtype)[len("period[") : -1]  # `freqstr` may be one that only moments have
    if pd.PeriodDtype(freq) != array.dtype:
        raise DeclinedError(f"periods of {freq} have no exact name")
    return {**_numpy(array.asi8, frames), "kind": "period", "freq": freq}


def _read_period(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    ordinals = _read_numpy(node, frames, start, stop)
    return pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(node["freq"]))


def _category(array: Any, frames: Frames) -> Node:
    from dovetail.artifacts.serializers.pandas_indexes import write_index

    node = {**_numpy(array.codes, frames), "kind": "category", "ordered": bool(array.ordered)}
    return {**node, "categories": write_index(array.categories, frames, readable=True)}


def _read_category(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    from dovetail.artifacts.serializers.pandas_indexes import read_index

    codes = _read_numpy(node, frames, start, stop)
    dtype = pd.CategoricalDtype(read_index(node["categories"], frames), node["ordered"])
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _interval(array: Any, frames: Frames) -> Node:
    left, right = (write_column(side.array, frames) for side in (array.left, array.right))
    return {"kind": "interval", "length": len(array), "closed": array.closed, "left": left, "right": right}


def _read_interval(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    sides = [read_column(node[side], frames, start, stop) for side in ("left", "right")]
    return pd.arrays.IntervalArray.from_arrays(*sides, closed=node["closed"])


def _masked(array: Any, frames: Frames) -> Node:
    missing = np.asarray(array.isna())
    # Public ways to the numbers below copy them.
    values = array._data
    if missing.any():
        values = np.where(missing, values.dtype.type(0), values)
    node = {**_numpy(values, frames), "kind": "masked", "name": str(array.dtype)}
    if missing.any():
        node["nulls"] = int(missing.sum())
        frames.append(array_frame(missing)[0])
    return node


def _read_masked(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    values = _read_numpy(node, frames, start, stop)
    missing = np.zeros(stop - start, bool)
    if node.get("nulls"):
        missing = array_of(np.dtype(bool), [stop - start], "C", next(frames).read(start, stop))
    made = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(values.dtype.kind, pd.arrays.IntegerArray)
    return made(values, missing)  # type: ignore[abstract, unused-ignore]


def _text(array: Any, frames: Frames) -> Node:
    pa = _arrow()
    dtype = array.dtype
    node = {"kind": "text", "length": len(array), "storage": dtype.storage, "na": _na_name(dtype)}
    if _string_dtype(node) != dtype:
        raise DeclinedError(f"{dtype!r} differs by version")
    chunks = array.__arrow_array__() if hasattr(array, "__arrow_array__") else pa.array(array, pa.large_string())
    return {**node, "node": _write_arrow(chunks.cast(pa.large_string()), frames)}


def _na_name(dtype: Any) -> str:
    missing = getattr(dtype, "na_value", pd.NA)
    return "NA" if missing is pd.NA else "nan"


def _string_dtype(node: Node) -> Any:
    if node["na"] == "NA":
        return pd.StringDtype(node["storage"])
    return pd.StringDtype(node["storage"], na_value=np.nan)


def _read_text(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    return _string_dtype(node).__from_arrow__(_read_arrow(node, frames, start, stop))


def _of_arrow(array: Any, frames: Frames) -> Node:
    return {"kind": "arrow", "length": len(array), "node": _write_arrow(array.__arrow_array__(), frames)}


def _read_of_arrow(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    return pd.arrays.ArrowExtensionArray(_read_arrow(node, frames, start, stop))


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise DeclinedError("text columns are written by pyarrow, which is not installed") from error
    return pyarrow


def _write_arrow(array: Any, frames: Frames) -> dict[str, Any]:
    from dovetail.artifacts.serializers.arrow_layout import write_column as write_arrow

    try:
        return write_arrow(array, frames)
    except _arrow().ArrowException as error:
        raise DeclinedError(f"Arrow can't write it: {error}") from error


def _read_arrow(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    from dovetail.artifacts.serializers.arrow_layout import read_column as read_arrow

    return read_arrow(node["node"], frames, start, stop)[0]


_WRITERS: dict[str, Callable[[Any, Frames], Node]] = {
    "DatetimeTZDtype": _zoned,
    "PeriodDtype": _period,
    "CategoricalDtype": _category,
    "IntervalDtype": _interval,
    "StringDtype": _text,
    "ArrowDtype": _of_arrow,
    "BooleanDtype": _masked,
    **{f"{sign}Int{bits}Dtype": _masked for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"Float{bits}Dtype": _masked for bits in (32, 64)},
}
_THIN = ("NumpyExtensionArray", "PandasArray")
"""What `Series.array` wraps a NumPy array in."""
_BLOCK = 1 << 20
"""Bytes of a column that is large."""
_ROWS = 1 << 14
"""Rows that are copied together: a processor's cache holds them."""
_READERS: dict[str, Callable[[Node, Iterator[LazyFrame], int, int], Any]] = {
    "numpy": _read_numpy,
    "object": read_cells,
    "zoned": _read_zoned,
    "period": _read_period,
    "category": _read_category,
    "interval": _read_interval,
    "masked": _read_masked,
    "text": _read_text,
    "arrow": _read_of_arrow,
}


def write_column(array: Any, frames: Frames) -> Node:
    """Append the frames of an array of pandas; its node.

    Raises:
        DeclinedError: It has a dtype, or objects, that would not read back equal.
    """
    dtype = getattr(array.dtype, "numpy_dtype", array.dtype) if type(array).__name__ in _THIN else array.dtype
    if isinstance(dtype, np.dtype):
        return write_cells(np.asarray(array), frames) if dtype.hasobject else _numpy(array, frames)
    write = _WRITERS.get(type(dtype).__name__)
    if write is None or not type(dtype).__module__.startswith("pandas"):
        raise DeclinedError(f"columns of {dtype} have no layout of ours")
    return write(array, frames)


def apart(columns: list[Any]) -> list[Any]:
    """Columns of a frame; large ones that lie between each other in memory, as those of a frame made of one array,
    copied to one piece each. All at once, so that what is read of that array is used for all of them."""
    mixed: dict[int, Any] = {}
    for number, column in enumerate(columns):
        if type(column).__name__ in _THIN:
            values = np.asarray(column)
            if not values.flags.c_contiguous and not values.dtype.hasobject and values.nbytes >= _BLOCK:
                mixed[number] = values
    if not mixed:
        return columns
    from dovetail.artifacts.parallel import for_each

    copies = {number: np.empty(len(values), values.dtype) for number, values in mixed.items()}

    def copy(begin: int) -> None:
        for number, values in mixed.items():
            copies[number][begin : begin + _ROWS] = values[begin : begin + _ROWS]

    for_each(range(0, len(next(iter(mixed.values()))), _ROWS), copy)
    return [copies.get(number, column) for number, column in enumerate(columns)]


def read_column(node: Node, frames: Iterator[LazyFrame], start: int, stop: int) -> Any:
    """Rows `start` to `stop` of a column."""
    read = _READERS.get(node["kind"])
    if read is None:
        raise CorruptDataError(f"a column has the unknown kind {node['kind']!r}")
    return read(node, frames, start, stop)


def dtype_label(node: Node) -> str:
    """The dtype of a column as listings show it."""
    kind = node["kind"]
    if kind in ("object", "category", "text"):
        return {"text": "string"}.get(kind, str(kind))
    if kind == "numpy":
        return str(dtype_from_plain(node["dtype"]))
    if kind == "zoned":
        return str(dtype_from_plain(node["dtype"])).replace("]", f", {node['zone']}]")
    if kind == "period":
        return f"period[{node['freq']}]"
    if kind == "interval":
        return f"interval[{dtype_label(node['left'])}, {node['closed']}]"
    if kind == "arrow":
        from dovetail.artifacts.serializers.arrow_types import label_of

        return f"{label_of(node['node'])}[pyarrow]"
    return str(node.get("name", kind))
