"""`pandas`: frames, series and indexes with their exact dtypes.

The header is `{"kind", "rows"}` and, of a frame, `"index"`, `"labels"` (the names of its columns, an index too) and
`"columns"`; of a series `"index"`, `"columns"` with one, and `"name"`; of an index `"index"`. The frames follow in
this order. See `pandas_columns` and `pandas_indexes` for the nodes. Plain `attrs` are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.artifacts.serializers.loaded_frames import LoadedFrame
from dovetail.artifacts.serializers.pandas_columns import apart, dtype_label, read_column, write_column
from dovetail.artifacts.serializers.pandas_indexes import label_from_plain, label_to_plain, read_index, write_index
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["PandasSerializer"]


class PandasSerializer(Serializer):
    """pandas frames, series and indexes."""

    id: ClassVar[str] = "pandas"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        return type(value) in (pd.DataFrame, pd.Series) or isinstance(value, pd.Index)

    def dump(self, value: Any) -> SerializedValue:
        """Write a value.

        Raises:
            DeclinedError: It holds what would not read back equal, or what this version of pandas can't tell.
        """
        try:
            return self._dump(value)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise DeclinedError(str(error)) from error

    def _dump(self, value: Any) -> SerializedValue:
        frames: list[memoryview | bytes] = []
        content: dict[str, Any] = {"rows": len(value)}
        if isinstance(value, pd.Index):
            content |= {"kind": "index", "index": write_index(value, frames)}
        else:
            content["index"] = write_index(value.index, frames)
            if isinstance(value, pd.Series):
                content |= {"kind": "series", "name": label_to_plain(value.name)}
                content["columns"] = [write_column(value.array, frames)]
            else:
                content |= {"kind": "frame", "labels": write_index(value.columns, frames, readable=True)}
                columns = [value.iloc[:, number].array for number in range(value.shape[1])]
                content["columns"] = [write_column(column, frames) for column in apart(columns)]
            content |= _attributes(value)
        kin = ",".join(dtype_label(node) for node in content.get("columns", ()))[:500]
        return SerializedValue(self.id, encode_header(content), frames, type_name(type(value)), raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        rows = decode_header(header)["rows"]
        return self.load_rows(header, [LoadedFrame(frame) for frame in frames], 0, rows)

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        rows = content["rows"]
        if content["kind"] == "index":
            return {"rows": rows, "shape": [rows]}
        types = [dtype_label(node) for node in content["columns"]]
        if content["kind"] == "series":
            return {"rows": rows, "shape": [rows], "dtype": types[0]}
        names = _names_of(content["labels"], len(types))
        return {
            "rows": rows,
            "shape": [rows, len(types)],
            "columns": [list(pair) for pair in zip(names, types, strict=True)],
        }

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        content = decode_header(header)
        source = iter(frames)
        kind = content["kind"]
        try:
            index = read_index(content["index"], source, start, stop)
            if kind == "index":
                return index
            labels = read_index(content["labels"], source) if kind == "frame" else None
            columns = [_series(read_column(node, source, start, stop), index) for node in content["columns"]]
        except StopIteration:
            raise CorruptDataError("a pandas value has too few frames") from None
        if kind == "series":
            made: Any = columns[0]
            made.name = label_from_plain(content["name"])
        elif columns:
            made = pd.DataFrame(dict(enumerate(columns)), index=index, copy=False)
            made.columns = labels
        else:
            made = pd.DataFrame(index=index, columns=labels)
        made.attrs.update(content.get("attrs", {}))
        return made


def _series(values: Any, index: Any) -> Any:
    # With its dtype said: from pandas 3 on, objects that are all text would become another one.
    return pd.Series(values, index=index, dtype=values.dtype, copy=False)


def _attributes(value: Any) -> dict[str, Any]:
    if not value.flags.allows_duplicate_labels:
        raise DeclinedError("it forbids duplicate labels")
    if not value.attrs:
        return {}
    if json_frame(value.attrs) is None:
        raise DeclinedError("its attrs hold more than plain data")
    return {"attrs": value.attrs}


def _names_of(labels: Mapping[str, Any], count: int) -> list[Any]:
    if labels["kind"] == "labels":
        return list(labels["labels"])
    if labels["kind"] == "range":
        return list(range(labels["start"], labels["stop"], labels["step"]))
    return list(np.arange(count).tolist())
