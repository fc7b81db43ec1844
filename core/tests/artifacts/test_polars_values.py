"""polars frames and series."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from importlib import import_module
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from serialized import REGISTRY, describe, digest, round_trip, rows

from dovetail.interfaces.errors import UnpicklableError

import_module("pyarrow")
FRAME = pl.DataFrame(
    {
        "int": [1, None, 3],
        "float": [1.5, float("nan"), None],
        "text": ["a", None, "longer than twelve bytes"],
        "bool": [True, None, False],
        "date": [dt.date(2020, 1, 1)] * 3,
        "moment": [dt.datetime(2020, 1, 1)] * 3,
        "span": [dt.timedelta(1)] * 3,
        "time": [dt.time(1)] * 3,
        "list": [[1], [], None],
        "struct": [{"a": 1, "b": "x"}] * 3,
        "bytes": [b"x", None, b""],
        "decimal": [Decimal("1.5"), None, Decimal("2")],
        "nothing": [None] * 3,
        "zoned": pl.Series([dt.datetime(2020, 1, 1)] * 3).dt.replace_time_zone("Europe/Berlin"),
        "array": pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int8, 2)),
        "category": pl.Series(["u", "v", None], dtype=pl.Categorical),
        "enum": pl.Series(["u", None, "v"], dtype=pl.Enum(["v", "u"])),
        "categories": pl.Series([["u"], None, []], dtype=pl.List(pl.Categorical)),
    }
)


def test_every_dtype() -> None:
    loaded = round_trip(FRAME, "polars")
    assert loaded.schema == FRAME.schema
    assert_frame_equal(loaded, FRAME, check_exact=True)
    for name in FRAME.columns:
        series = round_trip(FRAME[name], "polars")
        assert series.dtype == FRAME[name].dtype
        assert series.equals(FRAME[name], null_equal=True) or name == "float"


def test_chunks_slices_and_the_cache_of_categories_do_not_count() -> None:
    parts = pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)
    assert digest(parts) == digest(FRAME)
    assert digest(pl.concat([FRAME] * 3)[3:6]) == digest(FRAME)
    first = pl.Series("c", ["only here", "u"], dtype=pl.Categorical)[1:]
    assert digest(first) == digest(pl.Series("c", ["u"], dtype=pl.Categorical))


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame({"a": []}), FRAME[:0]], ids=["none", "null", "empty"])
def test_empty_frames(frame: Any) -> None:
    loaded = round_trip(frame, "polars")
    assert loaded.schema == frame.schema
    assert loaded.shape == frame.shape


@pytest.mark.parametrize("series", [FRAME[name].alias("") for name in FRAME.columns], ids=FRAME.columns)
def test_a_series_without_a_name(series: Any) -> None:
    loaded = round_trip(series, "polars")
    assert loaded.name == ""
    assert loaded.dtype == series.dtype
    part, _ = rows(series, 1, 3)
    assert part.to_frame().equals(series[1:3].to_frame(), null_equal=True) or series.dtype == pl.Float64


def test_a_column_without_a_name() -> None:
    frame = pl.DataFrame({"a": [1], "": ["x"]})
    assert_frame_equal(round_trip(frame, "polars"), frame)


@pytest.mark.skipif("height" not in pl.DataFrame.__init__.__code__.co_varnames, reason="an earlier polars")
def test_rows_without_columns() -> None:
    assert round_trip(pl.DataFrame(height=5), "polars").shape == (5, 0)


def test_rows_and_description() -> None:
    assert_frame_equal(rows(FRAME, 1, 3)[0], FRAME[1:3])
    told = describe(FRAME.select("int", "text", "enum", "zoned"))
    assert told == {
        "rows": 3,
        "shape": [3, 4],
        "columns": [
            ["int", "int64"],
            ["text", "large_utf8"],
            ["enum", "enum"],
            ["zoned", "timestamp[us, Europe/Berlin]"],
        ],
    }
    assert describe(FRAME["int"]) == {"rows": 3, "shape": [3], "dtype": "int64"}


def test_a_query_is_refused() -> None:
    with pytest.raises(UnpicklableError, match="query") as refused:
        REGISTRY.serialize(FRAME.lazy())
    assert "collect()" in str(refused.value.hint)


def test_integers_of_128_bits() -> None:
    values = [None, 0, 1, -1, 2**64, -(2**64) - 1, 2**127 - 1, -(2**127)]
    series = pl.Series("x", values, dtype=pl.Int128)
    loaded = round_trip(series, "polars")
    assert (loaded.dtype, loaded.to_list(), loaded.name) == (pl.Int128, values, "x")
    assert rows(series, 3, 5)[0].to_list() == values[3:5]
    assert digest(pl.concat([series[:3], series[3:]], rechunk=False)) == digest(series)
    frame = pl.DataFrame({"": series, "b": series.is_null()})
    assert_frame_equal(round_trip(frame, "polars"), frame)
    assert describe(frame)["columns"] == [["", "int128"], ["b", "bool"]]
    assert round_trip(series[:0], "polars").dtype == pl.Int128
    if hasattr(pl, "UInt128"):
        unsigned = pl.Series([2**128 - 1, None, 5], dtype=pl.UInt128)
        assert round_trip(unsigned, "polars").to_list() == unsigned.to_list()


def test_columns_that_have_no_exact_layout_are_pickled() -> None:
    assert REGISTRY.serialize(pl.Series("x", [[2**100]], dtype=pl.List(pl.Int128))).serializer == "pickle"
