"""Writes a small store with a value of every serializer in every form of an object file, and what must be read from it.

    python values.py FOLDER

`values1/` beside this file was made by it, with the first release that has this format, and is never made again: what
a release has written must be readable by every later one. It therefore refuses a folder that exists.
"""

from __future__ import annotations

import datetime
import json
import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dovetail.artifacts.caught import CaughtError
from dovetail.artifacts.extents import KnownObject
from dovetail.artifacts.layout import MARKER
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.saving import ObjectSaver
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import SerializedValue
from dovetail.interfaces.files import ArtifactDirectory, ArtifactFile
from dovetail.interfaces.stored import Stored
from dovetail.local.store import LocalStore

UUID = "0e0f4c1e-58a1-4f43-9d5f-3a9b5f3f6c12"
FORMS = ("plain", "extents", "zstd", "zeros")
"""In one piece; with the extents of `plain`; compressed; with leaves of zeros that take no room."""
FEWER = {"sequence": ("plain", "zeros"), "parquet": ("plain",)}
"""A sequence always lies in one piece; a Parquet file is compressed itself, and another one with other versions."""
ROWS = 20_000


def numbers(form: str) -> list[int]:
    """Integers that a value of this form is made of."""
    if form == "zeros":
        return [0] * ROWS
    found = [n * 7 % 1000 for n in range(ROWS)]
    if form == "extents":
        found[-100:] = range(100)
    return found if form != "zstd" else [n + 1 for n in found]


def text(form: str) -> bytes:
    """The integers as text of a fixed width."""
    return bytes(8 * ROWS) if form == "zeros" else b"".join(b"%07d\n" % n for n in numbers(form))


def _array(form: str) -> Any:
    import numpy

    return numpy.array(numbers(form), dtype="<i8").reshape(100, 200)


def _columns(form: str) -> dict[str, Any]:
    import pandas

    values = numbers(form)
    moment = pandas.Timestamp("2024-02-29T12:00", tz="Europe/Berlin")
    words = [None if n == 3 else f"w{n % 10}" for n in values]
    text = pandas.StringDtype(na_value=float("nan"))  # by itself pandas 2 makes objects of words
    return {
        "n": values,
        "real": [n / 4 for n in values],
        "word": pandas.array(words, text),
        "when": pandas.DatetimeIndex([moment + datetime.timedelta(hours=n % 24) for n in values]).as_unit("ns"),
        "kind": pandas.Categorical.from_codes([n % 3 for n in values], ["x", "y", "z"]),
    }


def _pandas(form: str) -> Any:
    import pandas

    return pandas.DataFrame(_columns(form), index=pandas.RangeIndex(0, 2 * ROWS, 2, name="at"))


def _arrow(form: str) -> Any:
    import pyarrow

    values = numbers(form)
    return pyarrow.table(
        {
            "n": pyarrow.array(values, pyarrow.int64()),
            "word": pyarrow.array([None if n == 3 else f"w{n % 10}" for n in values], pyarrow.utf8()),
            "pair": pyarrow.array([[n, n + 1] if n % 2 else [] for n in values], pyarrow.list_(pyarrow.int32())),
        }
    )


def _polars(form: str) -> Any:
    import polars

    values = numbers(form)
    return polars.DataFrame({"n": values, "word": [None if n == 3 else f"w{n % 10}" for n in values]})


def _file(form: str, folder: Path) -> Any:
    path = folder / f"{form}.txt"
    path.write_bytes(text(form))
    return ArtifactFile(path)


def _directory(form: str, folder: Path) -> Any:
    root = folder / form
    (root / "inner" / "empty").mkdir(parents=True)
    (root / "inner" / "data.bin").write_bytes(text(form))
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    return ArtifactDirectory(root)


def _pickled(form: str) -> SerializedValue:
    buffers: list[pickle.PickleBuffer] = []
    value = [pickle.PickleBuffer(bytearray(text(form))), (1, "two")]
    stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return SerializedValue("pickle", b"", [stream, *(buffer.raw() for buffer in buffers)], "list")


def _caught(form: str) -> Any:
    return CaughtError(type="ValueError", message=text(form).decode(), traceback="t\n", kind="exception")


def _sequence(form: str) -> SerializedValue:
    """Items in their packed form; none is an object of its own."""
    from dovetail.artifacts.objects import StoredObject
    from dovetail.testing.memory_store import MemoryStore

    store = MemoryStore()
    artifacts = ArtifactStore({"": store}, default="")
    ref, _ = OutputWriter(artifacts, inline=False).write_sequence(
        [text(form)[at : at + 8000] for at in range(0, 8 * ROWS, 8000)] + [7]
    )
    stored = StoredObject(store, ref.digest, "a sequence")
    return SerializedValue("sequence", stored.header.header, [stored.frame(0), stored.frame(1)], "list")


def makers(folder: Path) -> dict[str, Callable[[str], Any]]:
    """Serializer → what makes a value of a form, or has serialized it already."""
    return {
        "json": lambda form: [f"{n:018d}" for n in numbers(form)[-10_000:]],
        "bytes": text,
        "pickle": _pickled,
        "caught-error": _caught,
        "sequence": _sequence,
        "ndarray": _array,
        "pandas": _pandas,
        "arrow": _arrow,
        "polars": _polars,
        "tensors": lambda form: {"weights": _array(form), "bias": _array("plain")[0]},
        "file": lambda form: _file(form, folder),
        "directory": lambda form: _directory(form, folder),
        "parquet": lambda form: Stored(_arrow(form), "parquet"),
    }


def build(store: LocalStore, folder: Path) -> dict[str, dict[str, str]]:
    """Fill a store; serializer → form → digest."""
    store.put(MARKER, json.dumps({"format": 1, "uuid": UUID}).encode())
    artifacts = ArtifactStore({UUID: store}, default=UUID)
    registry = SerializerRegistry()
    expected: dict[str, dict[str, str]] = {}
    for serializer, make in makers(folder).items():
        known: list[KnownObject] = []
        for form in FEWER.get(serializer, FORMS):
            value = make(form)
            if not isinstance(value, SerializedValue):
                value = registry.serialize(value)
            assert value.serializer == serializer, (serializer, value.serializer)
            value = SerializedValue(value.serializer, value.header, value.frames, value.type, raw=form != "zstd")
            saved = ObjectSaver(store, artifacts.reuse).save(value, known if form == "extents" else ())
            if form == "plain":
                assert saved.header is not None
                known = [KnownObject(saved.digest, saved.header)]
            expected.setdefault(serializer, {})[form] = saved.digest.hex()
    return expected


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "store")
        expected = build(LocalStore(root), Path(scratch))
        with zipfile.ZipFile(folder / "store.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file() and "%" not in path.as_posix()[len(os.fspath(root)) :]:
                    archive.write(path, path.relative_to(root).as_posix())
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
