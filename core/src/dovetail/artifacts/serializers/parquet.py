"""`parquet`: frames and tables as one Parquet file, for values that other programs shall read from the store.

Chosen by `Stored(value, "parquet")` alone. The header is `{"kind"}` and what listings show; frame 0 is the file. The
identity follows the bytes, so another version of pyarrow may give an equal frame another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, SerializedValue, Serializer
from dovetail.interfaces.errors import PluginLoadError

__all__ = ["ParquetSerializer"]

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

    def accepts(self, value: object) -> bool:
        return type_name(type(value)) in _KINDS

    def dump(self, value: Any) -> SerializedValue:
        pa = _parquet()
        kind = _KINDS[type_name(type(value))]
        try:
            table = _table(pa, kind, value)
            sink = pa.BufferOutputStream()
            pa.parquet.write_table(table, sink, compression="zstd")
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DeclinedError(str(error)) from error
        columns = [[field.name, str(field.type)] for field in table.schema]
        content = {"kind": kind, "rows": table.num_rows, "columns": columns}
        return SerializedValue(self.id, encode_header(content), [memoryview(sink.getvalue())], type_name(type(value)))

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        pa = _parquet()
        kind = decode_header(header)["kind"]
        table = pa.parquet.read_table(pa.BufferReader(pa.py_buffer(frames[0])))
        if kind == "pandas":
            return table.to_pandas()
        if kind == "polars":
            import polars

            return polars.from_arrow(table)
        return table

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        return {
            "rows": content["rows"],
            "shape": [content["rows"], len(content["columns"])],
            "columns": content["columns"],
        }
