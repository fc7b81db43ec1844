"""Arrow arrays as a tree of nodes and raw buffers, the same for equal values whatever their chunks and offsets.

A node is `{"type", "length"}` and, where there are any, `"nulls"` (how many) and `"children"`. Its frames, before those
of its children: the validity bitmap where there are nulls, then offsets that begin at 0, then the data. Under nulls
there are zeros, or nothing; bits behind the end of a bitmap are 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute

from dovetail.artifacts.serializers.arrow_ipc import is_ipc, read_ipc, write_ipc
from dovetail.artifacts.serializers.arrow_types import (
    UnknownTypeError,
    is_wide,
    type_from_plain,
    type_to_plain,
    width_of,
)
from dovetail.interfaces.artifacts import LazyFrame
from dovetail.interfaces.errors import CorruptDataError

__all__ = [
    "field_to_plain",
    "metadata_from_plain",
    "metadata_to_plain",
    "read_array",
    "read_column",
    "write_array",
    "write_column",
]

pc: Any = pyarrow.compute  # its functions are made at run time
Frames = list[memoryview | bytes]
_WORDS = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}
_VIEWS = {"utf8_view": pa.large_utf8(), "binary_view": pa.large_binary()}


# -- writing ------------------------------------------------------------------------------------------------------


def write_column(array: Any, frames: Frames) -> dict[str, Any]:
    """Append the frames of an array or chunked array of any type; its node.

    Raises:
        ArrowException: Arrow itself can't write it.
    """
    count = len(frames)
    try:
        return write_array(array, frames)
    except UnknownTypeError:
        del frames[count:]
        return write_ipc(array, frames)


def write_array(array: Any, frames: Frames) -> dict[str, Any]:
    """Append the frames of an array or chunked array; its node.

    Raises:
        UnknownTypeError: It has a type that the layout does not cover, or strings too long for one array.
    """
    plain = type_to_plain(array.type)
    if isinstance(array, pa.ChunkedArray):
        array = _in_one_piece(array)
    if isinstance(plain, str) and plain in _VIEWS:
        array = array.cast(_VIEWS[plain])
    node: dict[str, Any] = {"type": plain, "length": len(array)}
    kind = array.type
    if pa.types.is_null(kind):
        return node
    nulls = array.null_count
    if nulls:
        node["nulls"] = nulls
        # Of a dictionary's rows those that have no index: a null among its values is one of them.
        frames.append(_bitmap((array.indices if pa.types.is_dictionary(kind) else array).is_valid()))
    if pa.types.is_dictionary(kind):
        write_values(array.indices, frames)
        node["children"] = [write_array(array.dictionary, frames)]
    elif pa.types.is_nested(kind):
        node["children"] = _write_children(array, frames)
    else:
        write_values(array, frames)
    return node


def _in_one_piece(array: Any) -> Any:
    if array.num_chunks == 1:  # `combine_chunks` would copy it
        return array.chunk(0)
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    try:
        whole = array.combine_chunks()
    except pa.ArrowInvalid as error:
        raise UnknownTypeError(f"{array.type} of more than 2 GiB") from error
    if isinstance(whole, pa.ChunkedArray):
        if whole.num_chunks != 1:
            raise UnknownTypeError(f"{array.type} of more than 2 GiB")
        whole = whole.chunk(0)
    return whole


def write_values(array: Any, frames: Frames) -> None:
    """Append the buffers of an array without children, but for its validity."""
    kind = array.type
    if pa.types.is_boolean(kind):
        frames.append(_bitmap(pc.fill_null(array, False) if array.null_count else array))
    elif (
        pa.types.is_fixed_size_binary(kind)
        or pa.types.is_primitive(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_interval(kind)
    ):
        frames.append(_words(array, width_of(kind)))
    else:
        empty = pa.scalar(b"" if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else "", kind)
        array = pc.fill_null(array, empty) if array.null_count else array
        first, last = _write_offsets(array, frames)
        frames.append(_view(array.buffers()[2], first, last - first))


def _words(array: Any, width: int) -> memoryview | bytes:
    """The values of an array of fixed width, zeros for null."""
    words = pa.Array.from_buffers(
        _WORDS.get(width) or pa.binary(width), len(array), array.buffers()[:2], offset=array.offset
    )
    if array.null_count:
        words = pc.fill_null(words, 0 if width in _WORDS else pa.scalar(bytes(width), words.type))
    return _view(words.buffers()[1], words.offset * width, len(words) * width)


def _write_offsets(array: Any, frames: Frames) -> tuple[int, int]:
    """Append offsets that begin at 0; where the values begin and end in the array's own buffer."""
    kind = array.type
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
    width = 8 if wide else 4
    if not len(array):
        frames.append(bytes(width))
        return 0, 0
    integer = pa.int64() if wide else pa.int32()
    offsets = pa.Array.from_buffers(integer, len(array) + 1, [None, array.buffers()[1]], offset=array.offset)
    first, last = offsets[0].as_py(), offsets[len(array)].as_py()
    if first:
        offsets = pc.subtract(offsets, pa.scalar(first, integer))
    frames.append(_view(offsets.buffers()[1], offsets.offset * width, len(offsets) * width))
    return first, last


def _write_children(array: Any, frames: Frames) -> list[dict[str, Any]]:
    kind = array.type
    if pa.types.is_struct(kind):
        # `flatten` makes children null where the struct is.
        children = array.flatten() if array.null_count else [array.field(i) for i in range(kind.num_fields)]
        return [_write_field(kind.field(i), child, frames) for i, child in enumerate(children)]
    if pa.types.is_fixed_size_list(kind):
        return [_write_field(kind.value_field, _items_of_fixed(array), frames)]
    entry = pa.field("entries", kind.value_type) if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
    if entry is not None:
        entry = kind.value_field
    else:
        entry = pa.field("entries", pa.struct([kind.key_field, kind.item_field]), nullable=False)
        array = array.cast(pa.list_(entry))
    if array.null_count:
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        start = pa.array([0], lengths.type)
        offsets = pa.concat_arrays([start, pc.cumulative_sum(lengths)])
        frames.append(_view(offsets.buffers()[1], 0, len(offsets) * width_of(offsets.type)))
        values = array.flatten()
    else:
        first, last = _write_offsets(array, frames)
        values = array.values[first:last]
    return [_write_field(entry, values, frames)]


def _items_of_fixed(array: Any) -> Any:
    size = array.type.list_size
    items = array.values[array.offset * size : (array.offset + len(array)) * size]
    if not array.null_count or not size:
        return items
    import numpy as np

    absent = np.repeat(np.asarray(array.is_null()), size)
    return items.take(pa.array(np.arange(len(items)), mask=absent))


def _write_field(field: Any, values: Any, frames: Frames) -> dict[str, Any]:
    return {**field_to_plain(field), **write_array(values, frames)}


def _bitmap(array: Any) -> memoryview | bytes:
    """The bits of a boolean array without nulls."""
    length = len(array)
    if array.offset % 8:
        array = pa.concat_arrays([array, array[:0]])
    view = _view(array.buffers()[1], array.offset // 8, (length + 7) // 8)
    if length % 8 and view[-1] >> (length % 8):
        copy = bytearray(view)
        copy[-1] &= (1 << (length % 8)) - 1
        return bytes(copy)
    return view


def _view(buffer: Any, begin: int, length: int) -> memoryview | bytes:
    return memoryview(buffer.slice(begin, length)).cast("B") if length else b""


def field_to_plain(field: Any) -> dict[str, Any]:
    """Name, and what is unusual of a field."""
    plain: dict[str, Any] = {"name": field.name}
    if not field.nullable:
        plain["nullable"] = False
    if field.metadata:
        plain["metadata"] = metadata_to_plain(field.metadata)
    return plain


def metadata_to_plain(metadata: Any) -> dict[str, str]:
    """Metadata as text: every byte is the code point of the same number."""
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in metadata.items()}


def metadata_from_plain(plain: dict[str, str] | None) -> dict[bytes, bytes] | None:
    """The inverse of `metadata_to_plain`."""
    if not plain:
        return None
    return {key.encode("latin-1"): value.encode("latin-1") for key, value in plain.items()}


# -- reading ------------------------------------------------------------------------------------------------------


def read_column(node: dict[str, Any], frames: Iterator[LazyFrame], start: int, stop: int) -> tuple[Any, Any]:
    """Rows of what `write_column` wrote, as (array or chunked array, its field).

    Raises:
        CorruptDataError: Frames and node do not fit.
    """
    metadata = metadata_from_plain(node.get("metadata"))
    if is_ipc(node):
        array, field = read_ipc(node, next(frames), start, stop)
        metadata = {**(metadata or {}), **(field.metadata or {})} or None
    else:
        array = read_array(node, frames, start, stop)
    return array, pa.field(node.get("name", ""), array.type, node.get("nullable", True), metadata)


def read_array(node: dict[str, Any], frames: Iterator[LazyFrame], start: int = 0, stop: int | None = None) -> Any:
    """The array of a node, or rows of it. The buffers are the frames' own.

    Raises:
        CorruptDataError: Frames and node do not fit.
    """
    try:
        # Arrow compares buffers and lengths itself.
        return _read_field(node, frames, start, node["length"] if stop is None else stop)[1]
    except (pa.ArrowInvalid, pa.ArrowIndexError) as error:
        raise CorruptDataError(f"an Arrow array is malformed: {error}") from error


def _read_field(node: dict[str, Any], frames: Iterator[LazyFrame], start: int, stop: int) -> tuple[Any, Any]:
    plain, length = node["type"], stop - start
    name: str
    parameters: list[Any]
    name, *parameters = [plain] if isinstance(plain, str) else plain
    validity = _read_bits(next(frames), start, stop) if node.get("nulls") else None
    children: list[tuple[Any, Any]] = []
    buffers: list[Any] = [validity]
    nodes = node.get("children", [])
    if name == "struct":
        children = [_read_field(child, frames, start, stop) for child in nodes]
    elif name == "fixed_size_list":
        children = [_read_field(nodes[0], frames, start * parameters[0], stop * parameters[0])]
    elif name == "dictionary":
        width = width_of(type_from_plain(parameters[0], ()))
        buffers.append(pa.py_buffer(next(frames).read(start * width, stop * width)))
        children = [_read_field(nodes[0], frames, 0, nodes[0]["length"])]
    elif name in ("list", "large_list", "map"):
        offsets, first, last = _read_offsets(next(frames), start, stop, wide=is_wide(plain))
        buffers.append(offsets)
        children = [_read_field(nodes[0], frames, first, last)]
    elif name in ("utf8", "large_utf8", "binary", "large_binary", *_VIEWS):
        offsets, first, last = _read_offsets(next(frames), start, stop, wide=is_wide(plain))
        buffers += [offsets, pa.py_buffer(next(frames).read(first, last))]
    elif name == "bool":
        buffers.append(_read_bits(next(frames), start, stop))
    elif name != "null":
        width = width_of(type_from_plain(plain, ()))
        buffers.append(pa.py_buffer(next(frames).read(start * width, stop * width)))
    kind = type_from_plain(plain, [field for field, _ in children])
    array = _build(kind, plain, length, buffers, [child for _, child in children])
    metadata = metadata_from_plain(node.get("metadata"))
    return pa.field(node.get("name", ""), kind, node.get("nullable", True), metadata), array


def _build(kind: Any, plain: Any, length: int, buffers: list[Any], children: list[Any]) -> Any:
    if pa.types.is_dictionary(kind):
        indices = pa.Array.from_buffers(kind.index_type, length, buffers)
        return pa.DictionaryArray.from_arrays(indices, children[0], ordered=kind.ordered, safe=True)
    if isinstance(plain, str) and plain in _VIEWS:
        return pa.Array.from_buffers(_VIEWS[plain], length, buffers).cast(kind)
    return pa.Array.from_buffers(kind, length, buffers, children=children or None)


def _read_offsets(frame: LazyFrame, start: int, stop: int, *, wide: bool) -> tuple[Any, int, int]:
    width = 8 if wide else 4
    integer = pa.int64() if wide else pa.int32()
    buffer = pa.py_buffer(frame.read(start * width, (stop + 1) * width))
    if buffer.size != (stop - start + 1) * width:
        raise CorruptDataError("the offsets of an Arrow array have another length")
    offsets = pa.Array.from_buffers(integer, stop - start + 1, [None, buffer])
    first, last = offsets[0].as_py(), offsets[stop - start].as_py()
    # All of them, not only the ends: who reads the array later trusts them, and would read other memory.
    if first < 0 or not pc.all(pc.less_equal(offsets[:-1], offsets[1:]), min_count=0).as_py():
        raise CorruptDataError("the offsets of an Arrow array do not rise")
    if first:
        buffer = pc.subtract(offsets, pa.scalar(first, integer)).buffers()[1]
    return buffer, first, last


def _read_bits(frame: LazyFrame, start: int, stop: int) -> Any:
    buffer = pa.py_buffer(frame.read(start // 8, (stop + 7) // 8))
    if start % 8:
        bits = pa.Array.from_buffers(pa.bool_(), stop - start, [None, buffer], offset=start % 8)
        buffer = pa.concat_arrays([bits, bits[:0]]).buffers()[1]
    return buffer
