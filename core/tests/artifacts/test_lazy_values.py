"""Rows of stored values: what is asked for is read, and nothing else; what is read is verified."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from dovetail.artifacts.identity import LEAF_SIZE
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, UsageError
from dovetail.interfaces.stored import Stored
from dovetail.local.store import LocalStore

pa = import_module("pyarrow")
pl = import_module("polars")
HEAD = 1 << 16
N = 300_000
MATRIX = np.random.default_rng(1).random((N, 4))


class Reads:
    """Counts what is read of a store."""

    def __init__(self, store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranges: list[tuple[int, int]] = []
        get = store.get

        def counted(key: str, *, byte_range: Any = None) -> Any:
            found = get(key, byte_range=byte_range)
            if key.startswith("objects/"):
                self.ranges.append((0, found.length) if byte_range is None else byte_range)
            return found

        monkeypatch.setattr(store, "get", counted)

    @property
    def bytes(self) -> int:
        """How many."""
        return sum(end - begin for begin, end in self.ranges)


@pytest.fixture
def reads(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(store, monkeypatch)


def saved(artifacts: ArtifactStore, value: Any) -> ArtifactRef:
    ref = artifacts.save(value)
    assert isinstance(ref.place, ObjectPlace)
    return ref


def rows(artifacts: ArtifactStore, ref: ArtifactRef, start: int, stop: int) -> Any:
    return artifacts.open(ref, name="the value").load_rows(start, stop)


def header_size(artifacts: ArtifactStore, ref: ArtifactRef) -> int:
    """Bytes that opening a value costs: its digests, mostly."""
    return 2 * HEAD + 32 * (ref.size // LEAF_SIZE + 20)


def test_rows_of_an_array_are_read_alone(artifacts: ArtifactStore, reads: Reads) -> None:
    ref = saved(artifacts, MATRIX)
    value = artifacts.open(ref)
    assert dict(value.description) == {"dtype": "float64", "shape": [N, 4], "rows": N}
    assert reads.bytes <= header_size(artifacts, ref)
    for start, stop in ((0, 10), (N // 2, N // 2 + 1000), (N - 1, N), (7, 7)):
        reads.ranges.clear()
        part = value.load_rows(start, stop)
        assert np.array_equal(part, MATRIX[start:stop])
        assert part.flags.writeable
        assert reads.bytes <= (stop - start) * 32 + 2 * LEAF_SIZE
        assert len(reads.ranges) <= 1
    part[:] = 0  # its own
    assert np.array_equal(value.load_rows(0, 1), MATRIX[:1])


def test_rows_in_fortran_order_are_read_by_columns(artifacts: ArtifactStore, reads: Reads) -> None:
    array = np.asfortranarray(MATRIX)
    value = artifacts.open(saved(artifacts, array))
    reads.ranges.clear()
    part = value.load_rows(1000, 1100)
    assert np.array_equal(part, array[1000:1100])
    assert part.flags.f_contiguous
    assert reads.bytes <= 4 * 2 * LEAF_SIZE
    reads.ranges.clear()
    assert np.array_equal(value.load_rows(5, N), array[5:])  # most of it: in one go
    cube = np.asfortranarray(np.arange(30_000_0.0).reshape(10_000, 5, 6))
    assert np.array_equal(rows(artifacts, saved(artifacts, cube), 3, 70), cube[3:70])


FRAME = pd.DataFrame(
    {
        "x": np.arange(N),
        "word": [f"w{i % 977}" for i in range(N)],
        "kind": pd.Categorical(np.where(np.arange(N) % 3, "a", "b")),
        "when": pd.date_range("2020", periods=N, freq="s", tz="Europe/Berlin"),
        "gaps": pd.array(np.where(np.arange(N) % 5, np.arange(N), None).tolist(), "Int64"),
    }
)


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars", "multi"])
def test_rows_of_frames_are_read_alone(artifacts: ArtifactStore, reads: Reads, kind: str) -> None:
    table = pa.table({"x": FRAME["x"], "word": FRAME["word"], "gaps": pa.array(FRAME["gaps"])})
    value: Any = {
        "pandas": FRAME,
        "arrow": table,
        "polars": pl.from_arrow(table),
        "multi": FRAME[["x", "gaps"]].set_index(pd.MultiIndex.from_arrays([FRAME["x"] % 7, FRAME["x"] // 7])),
    }[kind]
    ref = saved(artifacts, value)
    opened = artifacts.open(ref)
    assert opened.rows == N
    reads.ranges.clear()
    part = opened.load_rows(N // 3, N // 3 + 1000)
    if kind in ("pandas", "multi"):
        assert_frame_equal(part, value.iloc[N // 3 : N // 3 + 1000])
    elif kind == "arrow":
        assert part.equals(value.slice(N // 3, 1000))
    else:
        assert part.equals(value[N // 3 : N // 3 + 1000])
    levels = 600_000 if kind == "multi" else 0  # the values of an index of several levels are read whole
    assert reads.bytes < levels + 24 * LEAF_SIZE < ref.size / 2


@pytest.mark.parametrize("kind", ["pandas", "indexed", "stepped", "arrow", "polars"])
def test_rows_of_parquet_are_read_by_row_groups(artifacts: ArtifactStore, reads: Reads, kind: str) -> None:
    table = pa.table({"x": MATRIX[:, 0], "y": MATRIX[:, 1]})
    value: Any = {
        "pandas": table.to_pandas(),
        "indexed": table.to_pandas().set_index(pd.Index(np.arange(N) ** 2, name="t")),
        "stepped": table.to_pandas().set_index(pd.RangeIndex(7, 7 + 3 * N, 3, name="t")),
        "arrow": table,
        "polars": pl.from_arrow(table),
    }[kind]
    ref = saved(artifacts, Stored(value, "parquet"))
    opened = artifacts.open(ref)
    assert opened.rows == N
    assert opened.description["shape"] == [N, 3 if kind == "indexed" else 2]
    for start, stop, groups in ((200_000, 200_010, 1), (131_000, 131_100, 2), (0, N, 4), (5, 5, 0)):
        reads.ranges.clear()
        part = opened.load_rows(start, stop)
        if kind in ("pandas", "indexed", "stepped"):
            assert_frame_equal(part, value.iloc[start:stop])
        else:
            assert part.equals(value[start:stop] if kind == "polars" else value.slice(start, stop - start))
        assert reads.bytes <= ref.size * groups * 0.45 + 16 * LEAF_SIZE


def test_columns_of_other_types_are_read_by_batches(artifacts: ArtifactStore, reads: Reads) -> None:
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([i.to_bytes(16, "big") for i in range(N)], pa.binary(16)))
    table = pa.table({"id": ids, "x": range(N)})
    ref = saved(artifacts, table)
    assert artifacts.load(ref).equals(table)
    opened = artifacts.open(ref)
    assert opened.description["columns"] == [["id", "extension<arrow.uuid>"], ["x", "int64"]]
    reads.ranges.clear()
    assert opened.load_rows(70_000, 70_010).equals(table.slice(70_000, 10))
    assert reads.bytes < ref.size / 3
    assert opened.load_rows(65_000, 140_000).equals(table.slice(65_000, 75_000))


def test_bytes_are_read_in_part(artifacts: ArtifactStore, reads: Reads) -> None:
    blob = MATRIX.tobytes()
    value = artifacts.open(saved(artifacts, blob))
    assert value.rows == len(blob)
    reads.ranges.clear()
    assert value.load_rows(1_000_000, 1_000_100) == blob[1_000_000:1_000_100]
    assert reads.bytes <= 2 * LEAF_SIZE


def test_small_values_have_rows_too(artifacts: ArtifactStore) -> None:
    ref = artifacts.save(np.arange(5, dtype="i1"))
    assert rows(artifacts, ref, 1, 3).tolist() == [1, 2]
    assert artifacts.open(ref).description["shape"] == [5]


@pytest.mark.parametrize("value", [{"a": "x" * 100_000}, {1, 2}, np.float64(1), {"w": np.zeros(9000)}], ids=str)
def test_what_has_no_rows_says_why(artifacts: ArtifactStore, value: Any) -> None:
    opened = artifacts.open(artifacts.save(value), name="Flow/1/start/x")
    assert opened.rows is None
    with pytest.raises(UsageError, match=r"Flow/1/start/x can't be read in part: .*(first byte|no rows)") as caught:
        opened.load_rows(0, 1)
    assert "artifact.data" in (caught.value.hint or "")


def test_pickles_stay_closed_in_safe_mode(artifacts: ArtifactStore) -> None:
    uuid = artifacts.default
    ref = artifacts.save({1, 2})
    safe = ArtifactStore({uuid: artifacts.store(uuid)}, default=uuid, safe=True)
    assert dict(safe.open(ref).description) == {}


def test_what_is_read_is_verified(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = saved(artifacts, MATRIX)
    at = artifacts.open(ref).frames[0]._stored.header.frames[0].offset  # type: ignore[attr-defined]
    key = object_key(ref.digest)
    data = bytearray(store.get(key).read())
    data[at + 100 * LEAF_SIZE + 5] ^= 1
    store.delete([key])
    store.put(key, bytes(data))
    per_leaf = LEAF_SIZE // 32
    assert np.array_equal(rows(artifacts, ref, 0, 100 * per_leaf), MATRIX[: 100 * per_leaf])
    with pytest.raises(CorruptDataError, match=r"the value .* is corrupt: bytes 6553600 to 6619136 of frame 0"):
        rows(artifacts, ref, 101 * per_leaf - 1, 101 * per_leaf)
    store.delete([key])
    with pytest.raises(ArtifactGoneError, match="the value"):
        rows(artifacts, ref, 0, 1)


def test_large_parts_are_mapped(tmp_path: Path) -> None:
    with closing(LocalStore(tmp_path / "store")) as store:
        uuid = open_store(store)
        ref = saved(ArtifactStore({uuid: store}, default=uuid), MATRIX)
        for verify in ("sample", "never", "always"):
            artifacts = ArtifactStore({uuid: store}, default=uuid, verify=verify)
            part = rows(artifacts, ref, 1000, 1000 + (4 << 20) // 32)
            assert np.array_equal(part, MATRIX[1000 : 1000 + len(part)])
            part[:] = 0
            assert np.array_equal(rows(artifacts, ref, 1000, 2000), MATRIX[1000:2000])
        path = Path(store.local_path(object_key(ref.digest)))
        at = artifacts.open(ref).frames[0]._stored.header.frames[0].offset  # type: ignore[attr-defined]
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(at + 3 * LEAF_SIZE)
            file.write(bytes([MATRIX.view("u1").reshape(-1)[3 * LEAF_SIZE] ^ 1]))
        never = ArtifactStore({uuid: store}, default=uuid, verify="never")
        assert len(rows(never, ref, 0, N)) == N  # as the setting says
        with pytest.raises(CorruptDataError, match="of frame 0"):
            rows(artifacts, ref, 0, N)


def test_parts_of_values_that_share_with_others(artifacts: ArtifactStore) -> None:
    first = saved(artifacts, MATRIX)
    changed = MATRIX.copy()
    changed[1000:3000] = 1
    second = saved(artifacts, changed)
    assert np.array_equal(rows(artifacts, second, 500, 3500), changed[500:3500])
    assert np.array_equal(rows(artifacts, second, 0, N), changed)
    assert np.array_equal(rows(artifacts, first, 500, 3500), MATRIX[500:3500])
    text = saved(artifacts, b"abc" * 2_000_000)  # compressed
    assert rows(artifacts, text, 2_999_999, 3_000_005) == (b"abc" * 2_000_000)[2_999_999:3_000_005]
