"""`json`: None, booleans, 64-bit integers, finite floats, text, and lists and dictionaries of these.

One frame of UTF-8 JSON without spaces, no header. A dictionary keeps its order, which counts in the identity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any, ClassVar

from dovetail.interfaces.artifacts import SerializedValue, Serializer

__all__ = ["NODE_LIMIT", "JsonSerializer", "json_frame", "json_value"]

NODE_LIMIT = 10_000
"""Items that one value may have in all its containers: beyond, pickle is both smaller and faster."""
DEPTH_LIMIT = 64
"""Containers inside each other; so that what could be written can be read wherever the stack is deeper already."""


def _make_encoder() -> Callable[[Any], str]:
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    make: Any = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:  # another Python than CPython
        return encoder.encode
    # `encode` makes one for each call, which takes longer than a small dictionary.
    encode = make(None, encoder.default, encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


_encode = _make_encoder()
_decode = json.JSONDecoder().decode
_INT_MAX = 2**63


def json_frame(value: object) -> bytes | None:
    """The JSON text of a value; None where it would not read back as an equal value of the same types."""
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        return scalar(value)
    if type(value) not in _CONTAINERS or not _is_plain(value):
        return None
    try:
        return _encode(value).encode()
    except ValueError:  # not finite, or text with lone surrogates
        return None


def json_value(frame: bytes | memoryview) -> Any:
    """The inverse of `json_frame`."""
    return _decode(str(frame, "utf-8"))


def _text(value: Any) -> bytes | None:
    try:
        return encode_basestring(value).encode()
    except UnicodeEncodeError:
        return None


def _int(value: Any) -> bytes | None:
    return b"%d" % value if -_INT_MAX <= value < _INT_MAX else None


def _float(value: Any) -> bytes | None:
    return repr(value).encode() if value - value == 0.0 else None  # inf - inf and nan - nan are nan


_SCALARS: dict[type, Callable[[Any], bytes | None]] = {
    int: _int,
    float: _float,
    str: _text,
    bool: lambda value: b"true" if value else b"false",
    type(None): lambda value: b"null",
}
_LEAVES = frozenset({str, float, bool, type(None)})
_CONTAINERS = frozenset({list, dict})


def _is_plain(value: Any) -> bool:
    """Whether only exact built-in types are inside, each container met once (JSON keeps no sharing)."""
    level = [value]
    seen = {id(value)}
    count = 0
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for container in level:
            count += len(container)
            if count > NODE_LIMIT:
                return False
            if type(container) is dict:
                for key in container:
                    if type(key) is not str:
                        return False
                items = container.values()
            else:
                items = container
            for item in items:
                kind = type(item)
                if kind in _LEAVES:
                    continue
                if kind is int:
                    if not -_INT_MAX <= item < _INT_MAX:
                        return False
                elif kind in _CONTAINERS and id(item) not in seen:
                    seen.add(id(item))
                    below.append(item)
                else:
                    return False
        if not below:
            return True
        level = below
    return False


class JsonSerializer(Serializer):
    """Plain data as JSON text."""

    id: ClassVar[str] = "json"

    def accepts(self, value: object) -> bool:
        return json_frame(value) is not None

    def dump(self, value: Any) -> SerializedValue:
        frame = json_frame(value)
        if frame is None:
            raise TypeError(f"{type(value).__name__} is not plain data")
        return SerializedValue(self.id, b"", [frame], type(value).__name__)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        return json_value(frames[0])
