"""pandas: every dtype and index comes back as it was, without copies where there need be none."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal
from serialized import REGISTRY, describe, digest, round_trip, rows

pa = import_module("pyarrow")
DAYS = pd.date_range("2020-01-30", periods=5)
COLUMNS: dict[str, Any] = {
    "int8": np.arange(5, dtype="i1"),
    "float32": np.array([1, np.nan, 3, 4, -0.0], "f4"),
    "complex": np.arange(5) * 1j,
    "bool": np.array([True, False, True, False, True]),
    "naive": DAYS,
    "seconds": DAYS.as_unit("s"),
    "timedelta": pd.timedelta_range("1D", periods=5),
    "berlin": DAYS.tz_localize("Europe/Berlin"),
    "utc": DAYS.tz_localize("UTC"),
    "offset": DAYS.tz_localize(dt.timezone(dt.timedelta(hours=1))),
    "period": pd.period_range("2020", periods=5, freq="M"),
    "category": pd.Categorical(["b", "a", None, "b", "b"], categories=["z", "b", "a"], ordered=True),
    "numbers": pd.Categorical([3, 1, 3, 3, 1]),
    "interval": pd.interval_range(0, 5, closed="left"),
    "Int16": pd.array([1, None, 3, 4, 5], "Int16"),
    "UInt64": pd.array([1, 2, 3, 4, 2**64 - 1], "UInt64"),
    "boolean": pd.array([True, None, False, True, True], "boolean"),
    "Float64": pd.array([1.5, None, 3, 4, 5], "Float64"),
    "string": pd.array(["a", None, "ü", "", "x"], "string"),
    "string, python": pd.array(["a", None, "ü", "", "x"], pd.StringDtype("python")),
    "string, pyarrow": pd.array(["a", None, "ü", "", "x"], pd.StringDtype("pyarrow")),
    "arrow": pd.array([1, None, 3, 4, 5], pd.ArrowDtype(pa.int32())),
    "arrow lists": pd.array([[1], None, [], [4], [5]], pd.ArrowDtype(pa.list_(pa.int32()))),
    "words": np.array(["a", "b", "ü", "", "e"], object),
    "mixed": np.array([1, "a", None, 2.5, b"x"], object),
    "missing": np.array([float("nan"), pd.NA, pd.NaT, True, 2**80], object),
    "text with holes": np.array(["a", None, "ü", float("nan"), ""], object),
    "no text": np.array([None, None, float("nan"), None, None], object),
    "dates": np.array([dt.date(2020, 1, 30), None, dt.date(1, 1, 1), dt.date(9999, 12, 31), "x"], object),
    "decimals": np.array([Decimal("1.50"), Decimal("-0"), None, Decimal("1E+30"), 7], object),
    "default text": ["a", None, "c", "d", "e"],
}


def check(frame: pd.DataFrame) -> pd.DataFrame:
    loaded: pd.DataFrame = round_trip(frame, "pandas")
    assert_frame_equal(loaded, frame, check_exact=True, check_freq=True, check_column_type=True)
    assert list(loaded.dtypes) == list(frame.dtypes)
    assert (type(loaded.index), type(loaded.columns)) == (type(frame.index), type(frame.columns))
    assert loaded.attrs == frame.attrs
    assert digest(loaded) == digest(frame) == digest(frame.copy())
    return loaded


def test_columns_of_every_arrow_type() -> None:
    storage = pa.array([bytes([number]) * 16 for number in range(5)], pa.binary(16))
    arrays = {
        "id": pa.ExtensionArray.from_storage(pa.uuid(), storage),
        "views": pa.array([[1], None, [], [2], [3]], pa.list_view(pa.int8())),
        "runs": pa.RunEndEncodedArray.from_arrays([2, 5], ["a", "b"]),
    }
    frame = pd.DataFrame({name: pd.Series(pd.arrays.ArrowExtensionArray(array)) for name, array in arrays.items()})
    loaded = round_trip(frame, "pandas")
    part, _ = rows(frame, 1, 3)
    for name, array in arrays.items():
        assert loaded[name].dtype == frame[name].dtype
        assert loaded[name].array.__arrow_array__().combine_chunks().equals(array)
        assert part[name].tolist() == frame[name][1:3].tolist()


def test_all_columns_at_once() -> None:
    check(pd.DataFrame(COLUMNS))


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_every_dtype(values: Any) -> None:
    frame = pd.DataFrame({"x": values})
    loaded = check(frame)
    if frame["x"].dtype == "category":
        assert list(loaded["x"].cat.categories) == list(frame["x"].cat.categories)
        assert loaded["x"].cat.ordered == frame["x"].cat.ordered
    for part in (frame[1:4], frame[::-2], frame[:0], frame[frame.index > 2]):
        check(part)
    for start in range(6):
        assert_frame_equal(rows(frame, start, 5)[0], frame[start:], check_freq=False)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_series(values: Any) -> None:
    for name in ("x", None, ("a", 1), 3):
        series = pd.Series(values, name=name)
        assert_series_equal(round_trip(series, "pandas"), series, check_exact=True)


INDEXES = {name: values for name, values in COLUMNS.items() if name not in ("missing", "arrow lists")}


@pytest.mark.parametrize("values", INDEXES.values(), ids=INDEXES)
def test_every_index(values: Any) -> None:
    index = pd.Index(values, name="n")
    loaded = round_trip(index, "pandas")
    assert_index_equal(loaded, index, exact=True, check_exact=True)
    assert loaded.dtype == index.dtype
    assert getattr(loaded, "freq", None) == getattr(index, "freq", None)
    check(pd.DataFrame({"x": range(5)}, index=index))


@pytest.mark.parametrize("dtype", ["Int8", "UInt64", "Float64", "boolean"])
@pytest.mark.parametrize("name", [None, "n"])
def test_an_index_of_a_masked_dtype_keeps_its_name_or_none(dtype: str, name: str | None) -> None:
    index = pd.Index(pd.array([1, None, 0], dtype=dtype), name=name)
    assert_index_equal(round_trip(index, "pandas"), index, exact=True)
    check(pd.DataFrame({"x": range(3)}, index=index))
    check(pd.DataFrame([[1, 2, 3]], columns=index))
    series = pd.Series(pd.Categorical.from_codes([0, 1], pd.Index(pd.array([1, 0], dtype=dtype), name=name)))
    assert round_trip(series, "pandas").cat.categories.name == name


MULTI = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2020", periods=2)], names=["x", None])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame(index=[1, 2]),
        pd.DataFrame(columns=["a", "b"]),
        pd.DataFrame({"a": []}, index=pd.DatetimeIndex([])),
        pd.DataFrame([[1, 2.5], [3, 4]], columns=["a", "a"]),
        pd.DataFrame(np.arange(6).reshape(3, 2)),
        pd.DataFrame(np.arange(6).reshape(3, 2), columns=[5, 1.5]),
        pd.DataFrame({1: [1], "a": [2], None: [3]}),
        pd.DataFrame({(1, 2): [1]}),
        pd.DataFrame([[1]], columns=DAYS[:1]),
        pd.DataFrame({"v": range(4)}, index=MULTI),
        pd.DataFrame({"v": range(4)}, index=MULTI)[1:2],
        pd.DataFrame([range(4)], columns=MULTI),
        pd.DataFrame({"a": [1]}, columns=pd.Index(["a"], name="names", dtype=object)),
        pd.DataFrame({"a": [1]}, index=pd.RangeIndex(7, 8, name="r")),
        pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(3, 4)))[[3, 1]],
    ],
    ids=lambda frame: f"{frame.shape}",
)
def test_shapes(frame: pd.DataFrame) -> None:
    check(frame)


def test_attrs() -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["made"] = {"by": ["me"]}
    check(frame)
    frame.attrs["made"] = object()
    assert REGISTRY.serialize(frame).serializer == "pickle"


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()) | st.binary(),
        max_size=8,
    )
)
def test_columns_of_objects(cells: list[Any]) -> None:
    series = pd.Series(cells, dtype=object)
    if any(isinstance(cell, str) and any("\ud800" <= c <= "\udfff" for c in cell) for cell in cells):
        assert REGISTRY.serialize(series).serializer == "pickle"
        return
    loaded = round_trip(series, "pandas")
    assert [(type(cell), cell) for cell in loaded] == [(type(cell), cell) for cell in cells]


@pytest.mark.parametrize("has_arrow", [True, False])
def test_text_has_the_same_bytes_without_arrow(has_arrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.artifacts.serializers import object_cells

    if not has_arrow:
        monkeypatch.setattr(object_cells, "_write_text", lambda cells, frames: None)
        monkeypatch.setattr(object_cells, "_read_text", lambda tags, ends, data: None)
    series = pd.Series(["a", "", "ü" * 3], dtype=object)
    assert [bytes(frame) for frame in REGISTRY.serialize(series).frames] == [
        np.array([0, 1, 1, 7], "<i8").tobytes(),
        "aüüü".encode(),
    ]
    assert_series_equal(round_trip(series, "pandas"), series)
    holes = pd.Series([None, "a", float("nan"), ""], dtype=object)
    assert [bytes(frame) for frame in REGISTRY.serialize(holes).frames] == [
        bytes([1, 0, 2, 0]),
        np.array([0, 0, 1, 1, 1], "<i8").tobytes(),
        b"a",
    ]
    loaded = round_trip(holes, "pandas")
    assert loaded[0] is None
    assert loaded[2] != loaded[2]
    assert loaded[1::2].tolist() == ["a", ""]


def test_columns_between_each_other_are_written_as_those_apart() -> None:
    array = np.random.default_rng(1).random((140_000, 3))
    mixed = pd.DataFrame(array, columns=list("abc"))
    apart = pd.DataFrame({name: array[:, number].copy() for number, name in enumerate("abc")})
    assert digest(mixed) == digest(apart)
    assert_frame_equal(round_trip(mixed, "pandas"), apart)
    assert digest(mixed[::-2]) == digest(apart[::-2].copy())


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 2], [3, 4]],
        [[0.5] * 3, [], None],
        [{"a": {"b": [1, None]}, "c": -0.0}, {}, float("nan"), "text", [True]],
        [[[1]], [["é\0"]]],
    ],
    ids=range(4),
)
def test_columns_of_plain_lists_and_dictionaries(cells: list[Any]) -> None:
    series = pd.Series(cells, dtype=object)
    loaded = round_trip(series, "pandas")
    assert repr(loaded.tolist()) == repr(cells)
    assert repr(rows(series, 1, len(cells))[0].tolist()) == repr(cells[1:])
    for cell in ([1, (2,)], {1: 2}, [float("nan")], [2**70]):  # more than plain data
        assert REGISTRY.serialize(pd.Series([*cells, cell], dtype=object)).serializer == "pickle"


CUSTOM = pd.offsets.CustomBusinessDay(holidays=["2020-01-01"])


class Frame(pd.DataFrame):
    pass


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [object]}),
        pd.DataFrame({"a": [(1, 2)]}),
        pd.DataFrame({"a": [np.float64(1)]}, dtype=object),
        pd.DataFrame({"a": pd.arrays.SparseArray([1, 0])}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pd.DataFrame({"a": ["\ud800"]}, dtype=object),
        pd.Series([1], name=frozenset()),
        pd.Series([1], index=pd.DatetimeIndex(["2020-01-02"], freq=CUSTOM)),
        Frame({"a": [1]}),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_has_no_exact_layout_is_pickled(value: Any) -> None:
    assert REGISTRY.serialize(value).serializer == "pickle"


def test_columns_are_borrowed_both_ways() -> None:
    frame = pd.DataFrame({name: np.random.default_rng(1).random(1000) for name in "abcd"})
    written = REGISTRY.serialize(frame)
    assert written.raw
    for number, content in enumerate(written.frames):
        assert np.shares_memory(frame.iloc[:, number].to_numpy(), np.frombuffer(content, "u1"))
    frames = [bytearray(content) for content in written.frames]
    loaded = REGISTRY.by_id("pandas").load(written.header, [memoryview(content) for content in frames])
    for number, content in enumerate(frames):
        assert np.shares_memory(loaded.iloc[:, number].to_numpy(), np.frombuffer(content, "u1"))
    loaded.loc[0, "a"] = 7.0
    loaded["b"] = 0
    assert frame.loc[0, "a"] != 7.0


def test_blocks_do_not_count() -> None:
    values = np.arange(12.0).reshape(3, 4)
    frames = [
        pd.DataFrame(values, columns=list("abcd")),
        pd.DataFrame(np.asfortranarray(values), columns=list("abcd")),
        pd.DataFrame({name: values[:, i] for i, name in enumerate("abcd")}),
        pd.concat([pd.DataFrame({name: values[:, i]}) for i, name in enumerate("abcd")], axis=1),
    ]
    assert len({digest(frame) for frame in frames}) == 1


def test_unused_values_of_levels_do_not_count() -> None:
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"])
    part = pd.Series(range(4), index=index)[1:2]
    fresh = pd.Series([1], index=pd.MultiIndex.from_tuples([("a", 2)], names=index.names))
    assert digest(part) == digest(fresh)


def test_rows_are_read_alone() -> None:
    frame = pd.DataFrame({"n": np.arange(10_000), "s": pd.array([f"w{i}" for i in range(10_000)], "string")})
    found, read = rows(frame, 5000, 5010)
    assert_frame_equal(found, frame[5000:5010])
    assert read < 400


def test_description() -> None:
    frame = pd.DataFrame({name: COLUMNS[name] for name in ("int8", "berlin", "category", "Int16", "string", "words")})
    told = describe(frame)
    assert (told["rows"], told["shape"]) == (5, [5, 6])
    unit = DAYS.unit
    assert told["columns"] == [
        ["int8", "int8"],
        ["berlin", f"datetime64[{unit}, Europe/Berlin]"],
        ["category", "category"],
        ["Int16", "Int16"],
        ["string", "string"],
        ["words", "object" if frame["words"].dtype == object else "string"],
    ]
    assert describe(frame["int8"]) == {"rows": 5, "shape": [5], "dtype": "int8"}
    assert describe(pd.Index([1, 2])) == {"rows": 2, "shape": [2]}


def test_without_arrow_numbers_keep_their_layout_and_text_is_pickled() -> None:
    program = """
import sys
class Away:  # not None in sys.modules, which the extension modules of pandas take for a module
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Away())
import pandas as pd, polars as pl
from dovetail.artifacts.serializers import SerializerRegistry
store = SerializerRegistry().serialize
values = (pd.DataFrame({"a": [1.5], "b": pd.Categorical([1])}), pd.Series(["a"], dtype="string"), pl.Series([1]))
print(*[store(value).serializer for value in values])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pandas", "pickle", "pickle"]
