"""`parquet`: frames and tables as one Parquet file, for values that other programs shall read from the store.

Chosen by `Stored(value, "parquet")` alone. The header is `{"kind"}` and what listings show; frame 0 is the file. The
identity follows the bytes, so another version of pyarrow may give an equal frame another one.


Rows are read by row groups of 131,072 rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.lazy_file import LazyFile
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError, PluginLoadError

__all__ = ["ParquetSerializer"]

_GROUP = 1 << 17
"""Rows of a row group: what must be read to read one of them."""
_KINDS = {
    "pandas.DataFrame": "pandas",
    "pandas.core.frame.DataFrame": "pandas",
    "pyarrow.lib.Table": "arrow",
    "polars.dataframe.frame.DataFrame": "polars",
}


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise PluginLoadError("the serializer 'parquet' needs pyarrow", hint="pip install pyarrow") from error
    return pyarrow


def _table(pa: Any, kind: str, value: Any) -> Any:
    if kind == "pandas":
        return pa.Table.from_pandas(value)
    return value.to_arrow() if kind == "polars" else value


class ParquetSerializer(Serializer):
    """Tables as Parquet."""

    id: ClassVar[str] = "parquet"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        return type_name(type(value)) in _KINDS

    def dump(self, value: Any) -> SerializedValue:
        pa = _parquet()
        kind = _KINDS[type_name(type(value))]
        try:
            table = _table(pa, kind, value)
            sink = pa.BufferOutputStream()
            pa.parquet.write_table(table, sink, compression="zstd", row_group_size=_GROUP)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DeclinedError(str(error)) from error
        columns = [[field.name, str(field.type)] for field in table.schema]
        content = {"kind": kind, "rows": table.num_rows, "columns": columns}
        return SerializedValue(self.id, encode_header(content), [memoryview(sink.getvalue())], type_name(type(value)))

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        pa = _parquet()
        kind = decode_header(header)["kind"]
        return _of_kind(kind, pa.parquet.read_table(pa.BufferReader(pa.py_buffer(frames[0]))))

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        return {
            "rows": content["rows"],
            "shape": [content["rows"], len(content["columns"])],
            "columns": content["columns"],
        }

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        """Rows, reading the row groups that they are in."""
        pa = _parquet()
        file = pa.parquet.ParquetFile(LazyFile(frames[0]))
        groups: list[int] = []
        first = at = 0
        for number in range(file.metadata.num_row_groups):
            behind = at + file.metadata.row_group(number).num_rows
            if max(at, start) < min(behind, stop):
                first = first if groups else at
                groups.append(number)
            at = behind
        if at < stop:
            raise CorruptDataError(f"a Parquet file has {at} rows instead of {decode_header(header)['rows']}")
        table = file.read_row_groups(groups) if groups else file.schema_arrow.empty_table()
        part = table.slice(start - first, stop - start)
        kind = decode_header(header)["kind"]
        made = _of_kind(kind, part)
        if kind == "pandas":
            index = _range_index(part, start, stop)
            made = made if index is None else made.set_axis(index, axis=0)
        return made


def _of_kind(kind: str, table: Any) -> Any:
    """What a table was before."""
    if kind == "pandas":
        return table.to_pandas()
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    return table


def _range_index(table: Any, start: int, stop: int) -> Any:
    """The part of a range that is the index of a frame, which its table has only in the metadata; else None."""
    columns = (table.schema.pandas_metadata or {}).get("index_columns", [])
    if len(columns) != 1 or not isinstance(columns[0], dict):
        return None
    import pandas as pd

    told = columns[0]
    return pd.RangeIndex(told["start"], told["stop"], told["step"], name=told["name"])[start:stop]
