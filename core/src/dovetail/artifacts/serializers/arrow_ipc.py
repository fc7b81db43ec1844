"""Arrow columns of types that `arrow_layout` does not cover: extensions, unions, run ends, views of lists.

A node is `{"type": ["ipc", label], "length", "batches"}` with the rows of each batch; its only frame is an Arrow IPC
file of one column in batches of 65,536 rows, which are read alone. Its bytes, and so the identity, can differ by
version of pyarrow.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pyarrow as pa

from dovetail.artifacts.serializers.lazy_file import LazyFile
from dovetail.interfaces.artifacts import LazyFrame
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["is_ipc", "read_ipc", "write_ipc"]

_BATCH = 1 << 16
"""Rows of a batch."""


def is_ipc(node: dict[str, Any]) -> bool:
    """Whether a node is one of these."""
    plain = node["type"]
    return isinstance(plain, list) and plain[0] == "ipc"


def write_ipc(array: Any, frames: list[memoryview | bytes]) -> dict[str, Any]:
    """Append the frame of an array or chunked array; its node.

    Raises:
        ArrowException: Arrow itself can't write it.
    """
    table = pa.Table.from_arrays([array], names=[""])
    with suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):  # chunks that can't be joined stay
        table = table.combine_chunks()
    batches = table.to_batches(max_chunksize=_BATCH)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    frames.append(memoryview(sink.getvalue()))
    counts = [batch.num_rows for batch in batches]
    return {"type": ["ipc", str(array.type)], "length": len(array), "batches": counts}


def read_ipc(node: dict[str, Any], frame: LazyFrame, start: int, stop: int) -> tuple[Any, Any]:
    """Rows of a node as (chunked array, its field), reading the batches that they are in.

    The field has metadata where the type is an extension that is not registered here.

    Raises:
        CorruptDataError: The frame is no such file.
    """
    source: Any = LazyFile(frame)
    if stop - start == node["length"]:
        source = pa.BufferReader(pa.py_buffer(frame.read(0, frame.length)))
    chosen: list[Any] = []
    first = at = 0
    try:
        with pa.ipc.open_file(source) as reader:
            for number, count in enumerate(node["batches"]):
                if max(at, start) < min(at + count, stop):
                    first = first if chosen else at
                    chosen.append(reader.get_batch(number))
                at += count
            table = pa.Table.from_batches(chosen, reader.schema)
            table.validate(full=True)  # Arrow itself trusts offsets and indexes in such a file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptDataError(f"an Arrow column is malformed: {error}") from error
    if start == stop:
        return table.column(0), table.schema.field(0)
    if table.num_rows < stop - first:
        raise CorruptDataError("an Arrow column has too few rows")
    return table.column(0).slice(start - first, stop - start), table.schema.field(0)
