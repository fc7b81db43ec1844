"""`arrow`: Arrow tables, record batches, arrays and chunked arrays.

The header is `{"kind", "rows", "fields"}` of a table or batch, where each field is a node with a name, and
`{"kind", "node"}` of an array; the frames are their buffers, see `arrow_layout`, and `arrow_ipc` for the types that it
does not cover.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from dovetail.artifacts.serializers.arrow_layout import (
    field_to_plain,
    metadata_from_plain,
    metadata_to_plain,
    read_column,
    write_column,
)
from dovetail.artifacts.serializers.arrow_types import label_of
from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.loaded_frames import LoadedFrame
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["ArrowSerializer", "read_table", "write_table"]


def write_table(table: Any, frames: list[memoryview | bytes]) -> dict[str, Any]:
    """Append the frames of a table or record batch; `{"rows", "fields"}`, and `"metadata"` where there is some.

    Raises:
        ArrowException: Arrow itself can't write it.
    """
    fields = [
        {**field_to_plain(table.schema.field(i)), **write_column(table.column(i), frames)}
        for i in range(table.num_columns)
    ]
    content: dict[str, Any] = {"rows": table.num_rows, "fields": fields}
    if table.schema.metadata:
        content["metadata"] = metadata_to_plain(_without_versions(table.schema.metadata))
    return content


def _without_versions(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Metadata without the versions of the libraries that made a table of a pandas frame."""
    kept = dict(metadata)
    if b"pandas" in kept:
        try:
            told = json.loads(kept[b"pandas"])
            told.pop("pandas_version", None)
            told.pop("creator", None)
            kept[b"pandas"] = json.dumps(told, sort_keys=True).encode()
        except (ValueError, AttributeError):  # someone else's
            pass
    return kept


def read_table(content: dict[str, Any], frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
    """The table, or rows of it."""
    source = iter(frames)
    columns = [read_column(node, source, start, stop) for node in content["fields"]]
    arrays = [array for array, _ in columns]
    schema = pa.schema([field for _, field in columns], metadata_from_plain(content.get("metadata")))
    if not arrays:
        # Not by `replace_schema_metadata`, which forgets how many rows there are.
        return pa.table({"_": pa.nulls(stop - start)}, metadata=schema.metadata).select([])
    return pa.Table.from_arrays(arrays, schema=schema)


class ArrowSerializer(Serializer):
    """Arrow data."""

    id: ClassVar[str] = "arrow"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        return type(value) in (pa.Table, pa.RecordBatch, pa.ChunkedArray) or isinstance(value, pa.Array)

    def dump(self, value: Any) -> SerializedValue:
        frames: list[memoryview | bytes] = []
        content: dict[str, Any]
        kind = _kind_of(value)
        try:
            if kind in ("table", "batch"):
                content = write_table(value, frames)
            else:
                content = {"node": write_column(value, frames)}
                content["rows"] = len(value)
        except pa.ArrowException as error:
            raise DeclinedError(str(error)) from error
        content["kind"] = kind
        kin = ",".join(f"{n['name']}:{label_of(n)}" for n in content.get("fields", ()))[:500]
        return SerializedValue(self.id, encode_header(content), frames, type_name(type(value)), raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        return self.load_rows(header, [LoadedFrame(frame) for frame in frames], 0, content["rows"])

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        told: dict[str, Any] = {"rows": content["rows"]}
        if "fields" in content:
            told["shape"] = [content["rows"], len(content["fields"])]
            told["columns"] = [[node["name"], label_of(node)] for node in content["fields"]]
        elif "node" in content:
            told |= {"dtype": label_of(content["node"]), "shape": [content["rows"]]}
        return told

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        content = decode_header(header)
        kind = content["kind"]
        try:
            if kind in ("table", "batch"):
                table = read_table(content, frames, start, stop)
                return table if kind == "table" else _batch(table)
            array, _ = read_column(content["node"], iter(frames), start, stop)
        except StopIteration:
            raise CorruptDataError("an Arrow value has too few frames") from None
        if kind == "chunked":
            return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
        return _one_chunk(array) if isinstance(array, pa.ChunkedArray) else array


def _kind_of(value: Any) -> str:
    kinds: Iterator[tuple[Any, str]] = iter(
        ((pa.Table, "table"), (pa.RecordBatch, "batch"), (pa.ChunkedArray, "chunked"))
    )
    return next((name for cls, name in kinds if isinstance(value, cls)), "array")


def _batch(table: Any) -> Any:
    if not table.num_columns:
        rows = pa.array([{}] * table.num_rows, pa.struct([]))
        return pa.RecordBatch.from_struct_array(rows).replace_schema_metadata(table.schema.metadata)
    return pa.RecordBatch.from_arrays([_one_chunk(column) for column in table.columns], schema=table.schema)


def _one_chunk(column: Any) -> Any:
    if column.num_chunks < 2:
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
