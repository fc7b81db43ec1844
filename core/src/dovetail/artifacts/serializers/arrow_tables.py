"""`arrow`: Arrow tables, record batches, arrays and chunked arrays.

The header is `{"kind", "rows", "fields"}` of a table or batch, where each field is a node with a name, and
`{"kind", "node"}` of an array; the frames are their buffers, see `arrow_layout`. A value with a type that the layout
does not cover is `{"kind", "ipc": true}` with an Arrow IPC stream as its frame; its identity can differ by version.
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
    read_array,
    write_array,
)
from dovetail.artifacts.serializers.arrow_types import UnknownTypeError, label_of
from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.loaded_frames import LoadedFrame
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["ArrowSerializer", "read_table", "write_table"]


def write_table(table: Any, frames: list[memoryview | bytes]) -> dict[str, Any]:
    """Append the frames of a table or record batch; `{"rows", "fields"}`, and `"metadata"` where there is some.

    Raises:
        UnknownTypeError: The layout does not cover it.
    """
    fields = [
        {**field_to_plain(table.schema.field(i)), **write_array(table.column(i), frames)}
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
    arrays = [read_array(node, source, start, stop) for node in content["fields"]]
    fields = [
        pa.field(node["name"], array.type, node.get("nullable", True), metadata_from_plain(node.get("metadata")))
        for node, array in zip(content["fields"], arrays, strict=True)
    ]
    schema = pa.schema(fields, metadata_from_plain(content.get("metadata")))
    if not arrays:
        return pa.table({"_": pa.nulls(stop - start)}).select([]).replace_schema_metadata(schema.metadata)
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
                content = {"node": write_array(value, frames)}
                content["rows"] = len(value)
        except UnknownTypeError:
            frames, content = [_ipc(value, kind)], {"ipc": True, "rows": len(value)}
        content["kind"] = kind
        kin = ",".join(f"{n['name']}:{label_of(n)}" for n in content.get("fields", ()))[:500]
        return SerializedValue(self.id, encode_header(content), frames, type_name(type(value)), raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        if content.get("ipc"):
            return _from_ipc(frames[0], content["kind"])
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
        """Of a value in an IPC stream everything is read."""
        content = decode_header(header)
        kind = content["kind"]
        if content.get("ipc"):
            return _from_ipc(frames[0].read(0, frames[0].length), kind).slice(start, stop - start)
        try:
            if kind in ("table", "batch"):
                table = read_table(content, frames, start, stop)
                return table if kind == "table" else _batch(table)
            array = read_array(content["node"], iter(frames), start, stop)
        except StopIteration:
            raise CorruptDataError("an Arrow value has too few frames") from None
        return pa.chunked_array([array]) if kind == "chunked" else array


def _kind_of(value: Any) -> str:
    kinds: Iterator[tuple[Any, str]] = iter(
        ((pa.Table, "table"), (pa.RecordBatch, "batch"), (pa.ChunkedArray, "chunked"))
    )
    return next((name for cls, name in kinds if isinstance(value, cls)), "array")


def _batch(table: Any) -> Any:
    if not table.num_columns:
        rows = pa.array([{}] * table.num_rows, pa.struct([]))
        return pa.RecordBatch.from_struct_array(rows).replace_schema_metadata(table.schema.metadata)
    columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _ipc(value: Any, kind: str) -> memoryview:
    table = value if kind in ("table", "batch") else pa.Table.from_arrays([value], names=[""])
    batches = [table] if kind == "batch" else table.combine_chunks().to_batches()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return memoryview(sink.getvalue())


def _from_ipc(frame: memoryview, kind: str) -> Any:
    with pa.ipc.open_stream(pa.py_buffer(frame)) as reader:
        table = reader.read_all()
    if kind == "table":
        return table
    if kind == "batch":
        return _batch(table.combine_chunks())
    column = table.column(0)
    if kind == "chunked":
        return column
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
