"""Arrow types as JSON: a name, or a list of a name and its parameters. Children are described by nodes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dovetail.interfaces.errors import CorruptDataError

__all__ = ["UnknownTypeError", "is_wide", "label_of", "type_from_plain", "type_to_plain", "width_of"]


class UnknownTypeError(Exception):
    """A type that the layout of ours does not cover."""


_SIMPLE: dict[str, Any] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "interval": pa.month_day_nano_interval(),
    "utf8": pa.utf8(),
    "large_utf8": pa.large_utf8(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
}
if hasattr(pa, "string_view"):
    _SIMPLE |= {"utf8_view": pa.string_view(), "binary_view": pa.binary_view()}
_NAMES = {kind: name for name, kind in _SIMPLE.items()}
_DECIMALS: dict[str, Any] = {f"decimal{bits}": getattr(pa, f"decimal{bits}", None) for bits in (32, 64, 128, 256)}


def type_to_plain(kind: pa.DataType) -> Any:
    """A type without its children.

    Raises:
        UnknownTypeError: The layout does not cover it.
    """
    if isinstance(kind, pa.BaseExtensionType):  # of which some have no hash
        raise UnknownTypeError(str(kind))
    if kind in _NAMES:
        return _NAMES[kind]
    types = pa.types
    if types.is_timestamp(kind):
        return ["timestamp", kind.unit, kind.tz]
    for name, test in (("time32", types.is_time32), ("time64", types.is_time64), ("duration", types.is_duration)):
        if test(kind):
            return [name, kind.unit]
    if types.is_decimal(kind):
        return [f"decimal{kind.bit_width}", kind.precision, kind.scale]
    if types.is_fixed_size_binary(kind) and kind.byte_width > 0 and type(kind) is pa.FixedSizeBinaryType:
        return ["fixed_size_binary", kind.byte_width]
    if types.is_dictionary(kind):
        return ["dictionary", type_to_plain(kind.index_type), kind.ordered]
    if types.is_map(kind):
        return ["map", kind.keys_sorted]
    if types.is_list(kind):
        return ["list"]
    if types.is_large_list(kind):
        return ["large_list"]
    if types.is_fixed_size_list(kind):
        return ["fixed_size_list", kind.list_size]
    if types.is_struct(kind):
        return ["struct"]
    raise UnknownTypeError(str(kind))


def type_from_plain(plain: Any, children: Sequence[Any]) -> pa.DataType:
    """The inverse of `type_to_plain`.

    Args:
        plain: The type.
        children: Fields of its children.

    Raises:
        CorruptDataError: There is no such type.
    """
    try:
        if isinstance(plain, str):
            return _SIMPLE[plain]
        name, *parameters = plain
        if name in _DECIMALS:
            return _DECIMALS[name](*parameters)
        return _MADE[name](children, *parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"an Arrow value has an unknown type {plain!r}") from error


_MADE: dict[str, Callable[..., Any]] = {
    "timestamp": lambda children, unit, zone: pa.timestamp(unit, zone),
    "time32": lambda children, unit: pa.time32(unit),
    "time64": lambda children, unit: pa.time64(unit),
    "duration": lambda children, unit: pa.duration(unit),
    "fixed_size_binary": lambda children, width: pa.binary(width),
    "dictionary": lambda children, index, ordered: pa.dictionary(_SIMPLE[index], children[0].type, ordered),
    "map": lambda children, ordered: pa.map_(children[0].type[0], children[0].type[1], keys_sorted=ordered),
    "list": lambda children: pa.list_(children[0]),
    "large_list": lambda children: pa.large_list(children[0]),
    "fixed_size_list": lambda children, size: pa.list_(children[0], size),
    "struct": pa.struct,
}


def width_of(kind: pa.DataType) -> int:
    """Bytes of a value of a type of fixed width."""
    return int(kind.bit_width) // 8


def is_wide(plain: Any) -> bool:
    """Whether offsets have 64 bits."""
    return plain in ("large_utf8", "large_binary", "utf8_view", "binary_view", ["large_list"])


def label_of(node: Mapping[str, Any]) -> str:
    """The type of a node as listings show it: `int64`, `timestamp[ns, UTC]`, `list<utf8>`."""
    plain = node["type"]
    if isinstance(plain, str):
        return plain
    name, *parameters = plain
    if name == "ipc":
        return str(parameters[0])
    children: list[str] = [label_of(child) for child in node.get("children", ())]
    if name == "struct":
        children = [f"{child['name']}: {label}" for child, label in zip(node["children"], children, strict=True)]
    shown = [str(p) for p in parameters if p is not None and p is not False]
    return str(name) + (f"[{', '.join(shown)}]" if shown else "") + (f"<{', '.join(children)}>" if children else "")
