"""Values of every typed serializer whose digests are fixed for ever. Run as a program it prints them as JSON.

All dtypes are named: what pandas and polars choose by themselves differs between their versions.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any

MOMENT = dt.datetime(2020, 5, 17, 12)


def numpy_values() -> dict[str, Any]:
    import numpy as np

    array = np.arange(60, dtype="<f8").reshape(12, 5)
    return {
        "array": array,
        "array, Fortran order": np.asfortranarray(array),
        "array, copied": array[::-1][::-1].copy(),
        "array, sliced": np.arange(120, dtype="<f8").reshape(24, 5)[:12],
        "big-endian": np.arange(3, dtype=">i4"),
        "moments": np.array(["2020-01-01", "NaT"], "M8[ns]"),
        "structured": np.array([(1, b"x")], [("a", "<i4"), ("b", "S3")]),
        "scalar": np.float32(1.5),
        "arrays by name": {"a": np.arange(3, dtype="<i8"), "b": np.ones((2, 2), "<f4")},
    }


def arrow_values() -> dict[str, Any]:
    import pyarrow as pa

    words = pa.array(["a", None, "ü", "", "e"])
    table = pa.table({"n": pa.array([1, 2, None, 4, 5], pa.int32()), "w": words})
    nested = pa.array([{"l": [1, None], "m": [("k", MOMENT)]}, None], pa.struct(
        [("l", pa.list_(pa.int8())), ("m", pa.map_(pa.string(), pa.timestamp("us", "UTC")))]
    ))  # fmt: skip
    return {
        "table": table,
        "table, chunked": pa.concat_tables([table[:2], table[2:]]),
        "table, sliced": pa.concat_tables([table, table])[5:].combine_chunks(),
        "nested": nested,
        "dictionary": pa.array(["b", "a", None, "b"]).dictionary_encode(),
        "bits": pa.array([True, None, False] * 5)[4:],
    }


def pandas_values() -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    days = pd.DatetimeIndex(np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]"), freq="D", name="day")
    frame = pd.DataFrame(
        {
            "n": np.array([1.0, np.nan, 3.0]),
            "o": np.array(["a", None, 2], object),
            "c": pd.Categorical(["x", "y", None], categories=["y", "x"]),
            "i": pd.array([1, None, 3], "Int32"),
            "s": pd.array(["a", None, "ü"], pd.StringDtype("pyarrow")),
            "z": days.tz_localize("Europe/Berlin"),
        },
        index=days,
    )
    numbers = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "b", "c"])
    multi = pd.MultiIndex.from_arrays([np.array([1, 1, 2]), np.array([3, 4, 3])], names=["x", "y"])
    return {
        "frame": frame,
        "frame, copied": frame.iloc[[0, 1, 2]].set_axis(days),
        "numbers": numbers,
        "numbers, sliced": pd.DataFrame(np.arange(24.0).reshape(8, 3), columns=["a", "b", "c"])[:4],
        "series": pd.Series(np.array([1, 2, 3], "i2"), index=multi, name="s"),
    }


def polars_values() -> dict[str, Any]:
    import polars as pl

    frame = pl.DataFrame(
        {"n": [1, None, 3], "w": ["a", None, "ü"], "c": ["x", "y", "x"], "l": [[1.5], [], None]},
        schema={"n": pl.Int64, "w": pl.String, "c": pl.Categorical, "l": pl.List(pl.Float64)},
    )
    return {"polars": frame, "polars, chunked": pl.concat([frame[:1], frame[1:]], rechunk=False)}


def file_values(folder: Path) -> dict[str, Any]:
    from dovetail import ArtifactDirectory, ArtifactFile

    (folder / "d" / "empty").mkdir(parents=True)
    (folder / "d" / "b").write_bytes(b"b" * 70_000)
    (folder / "d" / "a").write_bytes(b"")
    (folder / "d" / "a").chmod(0o755)
    (folder / "d" / "link").symlink_to("b")
    return {"file": ArtifactFile(folder / "d" / "b"), "directory": ArtifactDirectory(folder / "d")}


def digests() -> dict[str, str]:
    """Name → digest of the value as it is, and of what it is loaded as."""
    from dovetail.artifacts.identity import digest_of
    from dovetail.artifacts.serializers.registry import SerializerRegistry

    registry = SerializerRegistry()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        values = {
            **numpy_values(),
            **arrow_values(),
            **pandas_values(),
            **polars_values(),
            **file_values(Path(folder)),
        }
        for name, value in values.items():
            written = registry.serialize(value)
            assert written.serializer != "pickle", name
            frames = [memoryview(bytearray(frame)) for frame in written.frames]
            loaded = registry.by_id(written.serializer).load(written.header, frames)
            digest = digest_of(written)
            assert digest_of(registry.serialize(loaded)) == digest, name
            found[name] = digest.hex()
    return found


if __name__ == "__main__":
    print(json.dumps(digests(), indent=2, ensure_ascii=False))
