"""A second reader, written from the pages `store-layout.md` and `artifact-format.md` with nothing of ours."""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from second_reader import digest, identity, read_object

from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import SerializedValue
from dovetail.local.store import LocalStore

ROOT = Path(__file__).parents[3]
DOC = ROOT / "docs" / "reference" / "store-layout.md"
STORES = sorted(Path(__file__).parent.glob("golden/format*/store"))


def unpack(serializer: str, packed: bytes) -> tuple[bytes, list[bytes]]:
    if serializer == "json":
        return b"", [packed]
    header, frames = msgpack.unpackb(packed)
    return header, frames


class Reader:
    """Records of one run, by the rules of the page."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (self.run,) = (root / "runs").iterdir()
        self.fences = {int(p.name): json.loads(p.read_bytes())["ends"] for p in (self.run / "fences").iterdir()}

    def frames(self, path: Path, magic: bytes, end: int | None = None) -> Iterator[tuple[Any, bytes]]:
        data = path.read_bytes()[:end]
        at = 0
        while at + 16 <= len(data):
            found, meta_size, size, crc = struct.unpack_from("<4sIII", data, at)
            body = data[at + 16 : at + 16 + meta_size + size]
            if found != magic or len(body) != meta_size + size or zlib.crc32(body) != crc:
                return
            meta = body[41 if body[0] & 2 else 1 : meta_size]  # behind the flag byte, and a signature
            meta = zlib.decompress(meta) if body[0] & 1 else meta
            yield msgpack.unpackb(meta), body[meta_size:]
            at += 16 + len(body)

    def records(self) -> dict[tuple[str, bytes], tuple[list[Any], list[Any], bytes]]:
        found: dict[tuple[str, bytes], tuple[list[Any], list[Any], bytes]] = {}
        sources: list[tuple[Path, int | None]] = [(p, None) for p in (self.run / "commits").rglob("*") if p.is_file()]
        for path in sorted((self.run / "segments").iterdir()):
            later = [n for n in self.fences if n > int(path.name[:6])]
            sources.append((path, self.fences[min(later)].get(path.name, 0) if later else None))
        for path, end in sources:
            for items, values in self.frames(path, b"DVF1", end):
                for record, offset, length in items:
                    head, body = msgpack.unpackb(record)
                    assert head[0] == 1
                    found.setdefault(
                        (head[1], head[2]), (head, msgpack.unpackb(body), values[offset : offset + length])
                    )
        return found

    def value(self, row: list[Any], values: bytes) -> tuple[str, bytes, list[bytes]]:
        name, size, serializer, place, _ = row
        if isinstance(place, str):
            found = read_object(self.root / "objects" / name.hex()[:2] / name.hex())
            assert found[0] == serializer
            header, frames = found[1:]
        else:
            if isinstance(place, bytes):
                packed = place
            elif len(place) == 2:
                packed = values[place[0] : place[0] + place[1]]
            else:
                path = self.root / "objects" / place[1].hex()[:2] / place[1].hex()
                assert read_object(path)[0] == "pack"
                packed = path.read_bytes()[place[2] : place[2] + place[3]]
            header, frames = unpack(serializer, packed)
        assert identity(serializer, header, frames) == name
        assert sum(map(len, frames)) == size
        return serializer, header, frames


@pytest.mark.parametrize("root", STORES, ids=lambda path: path.parent.name)
def test_objects_have_the_identity_that_names_them(root: Path) -> None:
    paths = [path for path in (root / "objects").rglob("*") if path.is_file()]
    assert paths
    for path in paths:
        assert identity(*read_object(path)).hex() == path.name
        assert path.parent.name == path.name[:2]


@pytest.mark.parametrize("root", STORES, ids=lambda path: path.parent.name)
def test_records_and_their_values(root: Path) -> None:
    reader = Reader(root)
    records = reader.records()
    assert len(records) == 17
    kinds = set()
    for head, body, values in records.values():
        table = msgpack.unpackb(body[0])
        for row in table.values():
            kinds.add(reader.value(row, values)[0])
        pairs = [[name, table[name][0]] for name in sorted(table)]
        assert body[1] == digest(msgpack.packb(pairs))
        assert head[8] == json.loads((root / "dovetail-store.json").read_bytes())["uuid"]
    assert kinds == {"json", "bytes", "pickle", "caught-error", "sequence"}


@pytest.mark.parametrize("root", STORES, ids=lambda path: path.parent.name)
def test_sequences(root: Path) -> None:
    reader = Reader(root)
    (fan,) = [found for (path, _), found in reader.records().items() if path == "fan"]
    head, body, values = fan
    assert body[3][2] == "_foreach"
    row = msgpack.unpackb(body[0])["_foreach"]
    _, header, (index, data) = reader.value(row, values)
    count, serializers = msgpack.unpackb(header)
    assert count == body[3][3] == 4
    found = []
    for at in range(0, len(index), 64):
        offset, size, length, number, flags, name = struct.unpack_from("<QQIHH32s", index, at)
        serializer = serializers[number]
        if flags & 1:
            place: Any = head[8]
            found.append(reader.value([name, size, serializer, place, ""], b""))
        else:
            found.append(reader.value([name, size, serializer, data[offset : offset + length], ""], b""))
    assert found[0] == ("json", b"", [b"1"])
    assert found[3] == ("bytes", b"", [b"4" * 70_000])


@pytest.mark.parametrize("root", STORES, ids=lambda path: path.parent.name)
def test_logs(root: Path) -> None:
    reader = Reader(root)
    segment, begin, end = json.loads((root.parent / "expected.json").read_bytes())["log"]
    assert begin == 0
    lines = []
    for items, data in reader.frames(reader.run / "logs" / segment, b"DVL1", end):
        at = 0
        for path, attempt, _, _, _, length in items:
            if (path, attempt) == ("train[3]", 1):
                lines.append(data[at : at + length])
            at += length
    assert lines == [b"line %04d" % i for i in (3, 15, 27, 39)]


def test_objects_that_share_bytes_and_are_compressed(local: LocalStore) -> None:
    artifacts = ArtifactStore({"u": local}, default="u")
    data = bytearray(random.Random(1).randbytes(30 * 65536))
    text = b"".join(b"%d bottles\n" % number for number in range(300_000))
    keys: list[str] = []
    for step in range(3):
        data[step * 5 * 65536] ^= 1
        frames = [bytes(data), text + bytes(step)]
        keys += artifacts.save_value(SerializedValue("x", b"h", frames, "t", raw=False)).keys
        keys += artifacts.save_value(SerializedValue("bytes", b"", frames[:1], "t", raw=True)).keys
    paths = [local.local_path(key) for key in keys if key.startswith("objects/")]
    assert len(set(paths)) == 6
    for path in paths:
        assert identity(*read_object(path)).hex() == path.name


@pytest.mark.skipif(not DOC.exists(), reason="the documentation is not beside an installed package")
def test_the_pages_own_examples() -> None:
    text = DOC.with_name("artifact-format.md").read_text()
    assert f"`{identity('json', b'', [b'7']).hex()}`" in text
    keys = re.findall(r"^\| `([a-z]+)/", DOC.read_text(), re.MULTILINE)
    assert keys
    assert set(keys) <= {"objects", "edges", "hints", "pins", "guests", "runs"}
