"""A second reader of artifacts, written from `docs/reference/artifact-format.md` and `serializers.md` alone.

Nothing of ours is imported. Values come out as plain lists, texts and bytes: another language could do the same.
"""

from __future__ import annotations

import datetime
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import zstandard
from blake3 import blake3

__all__ = ["decode", "digest", "identity", "read_object"]


def digest(data: bytes) -> bytes:
    return bytes(blake3(data).digest())


def identity(serializer: str, header: bytes, frames: list[bytes]) -> bytes:
    leaves = [[len(f), [digest(f[i : i + 65536]) for i in range(0, len(f), 65536)]] for f in frames]
    return digest(b"dovetail-value-1\0" + msgpack.packb([serializer, header, leaves]))


def read_object(path: Path) -> tuple[str, bytes, list[bytes]]:
    data = path.read_bytes()
    magic, major, _, must, _, at, length, header_crc, crc = struct.unpack_from("<8sHHIIQQII", data)
    assert (magic, major, must & ~1) == (b"\x8bDVO\r\n\x1a\n", 1, 0)
    assert zlib.crc32(data[:40]) == crc
    assert zlib.crc32(data[at : at + length]) == header_crc
    serializer, header, frames = msgpack.unpackb(data[at : at + length])
    found = []
    for size, offset, leaves, *extents in frames:
        if offset is None:
            assert must == 1
            frame = b"".join(read_extent(path, *extent) for extent in extents[0])
            assert len(frame) == size
        else:
            assert offset % (4096 if size >= 4096 else 64) == 0
            frame = data[offset : offset + size]
        assert leaves == b"".join(digest(frame[i : i + 65536]) for i in range(0, size, 65536))
        found.append(frame)
    return serializer, header, found


def read_extent(path: Path, owner: bytes | None, offset: int, stored: int, raw: int, codec: int, *more: int) -> bytes:
    file = path
    if owner is not None:
        root, name = path.parents[2], owner.hex()
        assert (root / "edges" / path.name[:2] / path.name / name).read_bytes() == b""
        file = root / "objects" / name[:2] / name
    with file.open("rb") as opened:
        opened.seek(offset)
        found = opened.read(stored)
    if codec == 2:
        assert zlib.crc32(found) == more[0]
        found = zstandard.ZstdDecompressor().decompress(found, max_output_size=raw)
    assert len(found) == raw
    return found


# -- values -----------------------------------------------------------------------------------------------------------


def decode(serializer: str, header: bytes, frames: list[bytes]) -> Any:
    """What a value is: of tables, column name → list."""
    return _DECODERS[serializer](header, frames)


_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}
_CODES |= {"M8[ns]": "q", "M8[us]": "q"}
_ARROW = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "float32": "f", "float64": "d"}


def _numbers(code: str, frame: bytes) -> list[Any]:
    return [value for (value,) in struct.iter_unpack("<" + code, frame)]


def _json(header: bytes, frames: list[bytes]) -> Any:
    assert header == b""
    return json.loads(frames[0])


def _sequence(header: bytes, frames: list[bytes]) -> list[Any]:
    count, serializers = msgpack.unpackb(header)
    items = []
    for at in range(0, len(frames[0]), 64):
        offset, size, length, number, flags, name = struct.unpack_from("<QQIHH32s", frames[0], at)
        assert flags == 0
        packed, serializer = frames[1][offset : offset + length], serializers[number]
        inner, parts = (b"", [packed]) if serializer == "json" else msgpack.unpackb(packed)
        assert identity(serializer, inner, parts) == name
        assert sum(map(len, parts)) == size
        items.append(decode(serializer, inner, parts))
    assert len(items) == count
    return items


def _ndarray(header: bytes, frames: list[bytes]) -> Any:
    plain = json.loads(header)
    assert plain["order"] == "C"
    return _shaped(_numbers(_CODES[plain["dtype"].lstrip("<|")], frames[0]), plain["shape"])


def _shaped(flat: list[Any], shape: list[int]) -> Any:
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)]
    return flat


def _tensors(header: bytes, frames: list[bytes]) -> dict[str, Any]:
    plain = json.loads(header)
    assert plain["kind"] == "dict"
    found = {}
    for tensor, frame in zip(plain["tensors"], frames, strict=True):
        assert tensor["dtype"] == "I64"
        found[tensor["name"]] = _shaped(_numbers("q", frame), tensor["shape"])
    return found


def _node(node: dict[str, Any], frames: Iterator[bytes]) -> list[Any]:
    """The values of an Arrow node."""
    length, kind = node["length"], node["type"]
    valid = [True] * length
    if node.get("nulls"):
        bits = next(frames)
        valid = [bool(bits[n // 8] >> n % 8 & 1) for n in range(length)]
        assert valid.count(False) == node["nulls"]
    if kind in ("utf8", "large_utf8"):
        ends, data = _numbers("i" if kind == "utf8" else "q", next(frames)), next(frames)
        values: list[Any] = [data[ends[n] : ends[n + 1]].decode() for n in range(length)]
    elif kind == ["list"]:
        ends = _numbers("i", next(frames))
        items = _node(node["children"][0], frames)
        values = [items[ends[n] : ends[n + 1]] for n in range(length)]
    else:
        values = _numbers(_ARROW[kind], next(frames))
    return [value if is_valid else None for value, is_valid in zip(values, valid, strict=True)]


def _fields(header: bytes, frames: list[bytes]) -> dict[str, list[Any]]:
    rest = iter(frames)
    found = {field["name"]: _node(field, rest) for field in json.loads(header)["fields"]}
    assert next(rest, None) is None
    return found


def _pandas(header: bytes, frames: list[bytes]) -> dict[str, Any]:
    plain, rest = json.loads(header), iter(frames)
    index = plain["index"]
    assert index["kind"] == "range"
    found: dict[str, Any] = {index["name"]: list(range(index["start"], index["stop"], index["step"]))}
    for name, column in zip(plain["labels"]["labels"], plain["columns"], strict=True):
        found[name] = _column(column, rest)
    assert next(rest, None) is None
    return found


def _column(column: dict[str, Any], frames: Iterator[bytes]) -> list[Any]:
    if column["kind"] == "text":
        return _node(column["node"], frames)
    values = _numbers(_CODES[column["dtype"].lstrip("<|")], next(frames))
    if column["kind"] == "category":
        return [None if code < 0 else column["categories"]["labels"][code] for code in values]
    if column["kind"] == "zoned":
        assert column["dtype"] == "<M8[ns]"
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return [epoch + datetime.timedelta(microseconds=moment // 1000) for moment in values]
    return values


def _file(header: bytes, frames: list[bytes]) -> tuple[str, bytes]:
    plain = json.loads(header)
    assert plain["size"] == len(frames[0])
    return plain["name"], frames[0]


def _directory(header: bytes, frames: list[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest = iter(frames)
    for name, kind, *more in json.loads(header)["entries"]:
        found[name] = (kind, next(rest)) if kind in ("file", "executable") else (kind, *more)
    return found


def _parquet(header: bytes, frames: list[bytes]) -> dict[str, Any]:
    import io

    import pyarrow.parquet

    assert frames[0][:4] == frames[0][-4:] == b"PAR1"
    found: dict[str, Any] = pyarrow.parquet.read_table(io.BytesIO(frames[0])).to_pydict()
    assert list(found) == [name for name, _ in json.loads(header)["columns"]]
    return found


_DECODERS: dict[str, Callable[[bytes, list[bytes]], Any]] = {
    "json": _json,
    "bytes": lambda header, frames: frames[0],
    "pickle": lambda header, frames: pickle.loads(frames[0], buffers=frames[1:]),
    "caught-error": _json,
    "sequence": _sequence,
    "ndarray": _ndarray,
    "pandas": _pandas,
    "arrow": _fields,
    "polars": _fields,
    "tensors": _tensors,
    "file": _file,
    "directory": _directory,
    "parquet": _parquet,
}
