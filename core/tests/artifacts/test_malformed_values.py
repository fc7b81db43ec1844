"""What an attacker writes has the digest that its reference names: the serializers alone can tell that it is none of
theirs. They raise, and what they raise names the artifact."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from serialized import REGISTRY

from dovetail.artifacts.identity import frame_leaves, value_digest
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace
from dovetail.interfaces.errors import StoreError
from dovetail.testing.memory_store import MemoryStore

VALUES: dict[str, Any] = {
    "ndarray": np.arange(12.0).reshape(3, 4),
    "structure": np.zeros(3, [("a", "i4"), ("b", "f8")]),
    "pandas": pd.DataFrame({"a": ["x", None], "b": pd.Categorical(["u", "v"]), "c": [[1], {"k": 2}]}, index=["i", "j"]),
    "moments": pd.Series(pd.date_range("2020", periods=3, tz="Europe/Berlin")),
    "levels": pd.MultiIndex.from_product([["a", "b"], [1, 2]]),
    "arrow": pa.table(
        {"a": ["x", None, "z"], "b": [[1], [], None], "c": pa.array(["u", "v", "u"]).dictionary_encode()}
    ),
    "extension": pa.array([b"0" * 16, None], pa.uuid()),
    "polars": pl.DataFrame({"a": ["x", None], "b": pl.Series([1, None], dtype=pl.Int128), "c": [[1], None]}),
    "tensors": {"w": np.ones((2, 3)), "b": np.zeros(2)},
    "json": {"a": [1, 2]},
}


@pytest.mark.parametrize("name", VALUES)
def test_malformed_headers_and_frames_raise_and_name_the_artifact(name: str) -> None:
    store = MemoryStore()
    artifacts = ArtifactStore({"u": store}, default="u", safe=True)
    written = REGISTRY.serialize(VALUES[name])
    header = bytes(written.header)
    frames = [bytes(memoryview(frame).cast("B")) for frame in written.frames]
    forms: list[tuple[bytes, list[bytes]]] = [(header, frames[:-1]), (header, [*frames, b"more"]), (b"{}", frames)]
    forms += [
        (header[:at] + bytes([header[at] ^ bit]) + header[at + 1 :], frames)
        for at in range(len(header))
        for bit in (1, 2, 16)
    ]
    for number, frame in enumerate(frames):
        for other in (frame[:-1], frame + b"\0" * 9, bytes(255 - byte for byte in frame), b"\x7f" * len(frame)):
            forms.append((header, [*frames[:number], other, *frames[number + 1 :]]))
    refused: list[StoreError] = []
    for head, parts in forms:
        leaves = [frame_leaves(part) for part in parts]
        digest = value_digest(written.serializer, head, leaves)
        artifacts.save_frames(written.serializer, head, [memoryview(part) for part in parts], leaves, digest)
        place = ObjectPlace(store="u")
        ref = ArtifactRef(digest=digest, size=1, serializer=written.serializer, place=place, type="t")
        try:
            opened = artifacts.open(ref, name="Flow/run/start/x")
            opened.description, opened.rows  # noqa: B018
        except (StoreError, MemoryError) as error:
            refused += [error] if isinstance(error, StoreError) else []
        try:
            value = artifacts.load(ref, name="Flow/run/start/x")
        except StoreError as error:
            refused.append(error)
        except MemoryError:  # a shape that nobody has room for
            pass
        else:
            with suppress(Exception):  # text that is none may be told late; other memory must never be read
                str(value)
    assert refused
    assert [error for error in refused if "artifact Flow/run/start/x" not in error.message or not error.hint] == []
