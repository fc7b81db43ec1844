"""Arrow data: one identity whatever the chunks, offsets and padding, and the same types back."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from serialized import REGISTRY, describe, digest, round_trip, rows

from dovetail.interfaces.errors import CorruptDataError

MOMENT = dt.datetime(2020, 5, 17, 12)
IDS = pa.array([bytes([number]) * 16 for number in range(3)], pa.binary(16))
ARRAYS: dict[str, Any] = {
    "int64": pa.array([1, None, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    "uint8": pa.array(range(20), pa.uint8()),
    "bool": pa.array([True, None, False] * 5),
    "float16": pa.array([1.5, None], pa.float16()),
    "float64": pa.array([1.5, None, -0.0]),
    "utf8": pa.array(["a", None, "bcd", "", "ü"] * 3),
    "large_utf8": pa.array(["a", None, "bcd"], pa.large_string()),
    "utf8_view": pa.array(["a", None, "more than twelve bytes"], pa.string_view()),
    "binary": pa.array([b"a", None, b"\0"]),
    "large_binary": pa.array([b"a", None], pa.large_binary()),
    "binary_view": pa.array([b"a", None], pa.binary_view()),
    "fixed_size_binary": pa.array([b"abc", None], pa.binary(3)),
    "decimal128": pa.array([Decimal("1.1"), None]),
    "decimal256": pa.array([Decimal("1.1"), None], pa.decimal256(50, 3)),
    "timestamp": pa.array([MOMENT, None]),
    "zoned": pa.array([MOMENT, None], pa.timestamp("ms", "Europe/Berlin")),
    "date32": pa.array([MOMENT.date(), None]),
    "date64": pa.array([MOMENT.date(), None], pa.date64()),
    "time32": pa.array([dt.time(1), None], pa.time32("s")),
    "time64": pa.array([dt.time(1), None]),
    "duration": pa.array([dt.timedelta(1), None]),
    "interval": pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
    "null": pa.nulls(3),
    "dictionary": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "list": pa.array([[1], None, [], [2, 3, None]]),
    "large_list": pa.array([[1], None, [], [2, 3]], pa.large_list(pa.int8())),
    "fixed_size_list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": 3, "b": None}]),
    "map": pa.array([[("a", 1)], None, [("b", 2), ("c", 3)]], pa.map_(pa.string(), pa.int64())),
    "nested": pa.array([[["a"], None, []], None, [[None]]]),
    "empty text": pa.array([], pa.string()),
    "empty list": pa.array([], pa.list_(pa.int8())),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_every_type(array: Any) -> None:
    loaded = round_trip(array, "arrow")
    loaded.validate(full=True)
    assert loaded.type == array.type
    assert loaded.equals(array)
    table = pa.table({"x": array, "y": array})
    assert round_trip(table, "arrow").equals(table)
    assert digest(loaded) == digest(array)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_slices_are_what_fresh_arrays_are(array: Any) -> None:
    for start in range(len(array) + 1):
        for stop in {start, (start + len(array) + 1) // 2, len(array)}:
            part = array.slice(start, stop - start)
            loaded = round_trip(part, "arrow")
            assert loaded.equals(part)
            assert digest(loaded) == digest(part)
            if not pa.types.is_dictionary(array.type):
                assert digest(part) == digest(pa.array(part.to_pylist(), array.type))
            found, _ = rows(array, start, stop)
            found.validate(full=True)
            assert found.equals(part)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_chunks_do_not_count(array: Any) -> None:
    middle = len(array) // 2
    parts = [array[:0], array[:middle], array[middle:]]
    chunked, whole = pa.chunked_array(parts, array.type), pa.chunked_array([array])
    assert digest(chunked) == digest(whole)
    loaded = round_trip(chunked, "arrow")
    assert isinstance(loaded, pa.ChunkedArray)
    assert loaded.equals(chunked)


def test_what_lies_under_nulls_does_not_count() -> None:
    validity = pa.py_buffer(b"\xfe")  # bits behind the end are set
    garbage = pa.Array.from_buffers(pa.int64(), 2, [validity, pa.py_buffer(bytes([9] * 8 + [5] + [0] * 7))])
    assert garbage.to_pylist() == [None, 5]
    assert digest(garbage) == digest(pa.array([None, 5]))
    words = pa.Array.from_buffers(
        pa.string(), 2, [validity, pa.py_buffer(b"\0\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"xxa")]
    )
    assert digest(words) == digest(pa.array([None, "a"]))


def test_nulls_among_the_values_of_a_dictionary_are_no_nulls_of_its_rows() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    loaded = round_trip(array, "arrow")
    assert loaded.indices.to_pylist() == [0, 1, None]
    assert loaded.to_pylist() == ["a", None, None]
    nothing = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), pa.nulls(1))
    assert round_trip(nothing, "arrow").to_pylist() == [None, None]


def test_schemas_are_kept_without_the_versions_of_pandas() -> None:

    field = pa.field("a", pa.int64(), nullable=False, metadata={b"k": b"\xff"})
    table = pa.table([[1, 2]], schema=pa.schema([field], metadata={b"who": b"me"}))
    assert round_trip(table, "arrow").schema.equals(table.schema, check_metadata=True)
    frame = pd.DataFrame({"a": [1.5]}, index=pd.Index([7], name="n"))
    of_pandas = pa.Table.from_pandas(frame)
    written = REGISTRY.serialize(of_pandas)
    assert pd.__version__.encode() not in written.header
    assert pa.__version__.encode() not in written.header
    pd.testing.assert_frame_equal(round_trip(of_pandas, "arrow").to_pandas(), frame)


def test_batches_and_tables_without_columns() -> None:
    batch = pa.record_batch({"a": [1, 2], "b": ["x", None]})
    loaded = round_trip(batch, "arrow")
    assert isinstance(loaded, pa.RecordBatch)
    assert loaded.equals(batch)
    assert round_trip(pa.table({}), "arrow").equals(pa.table({}))
    for metadata in (None, {"who": "me"}):
        rows = pa.table({"a": [1, 2]}).replace_schema_metadata(metadata).select([])
        assert round_trip(rows, "arrow").num_rows == rows.num_rows == 2
        assert round_trip(rows, "arrow").schema.equals(rows.schema, check_metadata=True)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 1, 2], pa.run_end_encoded(pa.int32(), pa.int64())),
        pa.UnionArray.from_dense(
            pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["a"])]
        ),
        pa.array([[1], None, [2, 3]], pa.list_view(pa.int32())),
        pa.ExtensionArray.from_storage(pa.uuid(), IDS),
        pa.ListArray.from_arrays([0, 1, 3], pa.ExtensionArray.from_storage(pa.uuid(), IDS)),
        pa.StructArray.from_arrays([IDS, pa.array([[1]] * 3, pa.list_view(pa.int8()))], ["id", "views"]),
        pa.array([b"", None], pa.binary(0)),
    ],
    ids=["run-end", "union", "view", "extension", "list of extensions", "struct with views", "width 0"],
)
def test_other_types_go_through_ipc(array: Any) -> None:
    assert round_trip(array, "arrow").equals(array)
    table = pa.table({"x": array})
    assert round_trip(table, "arrow").equals(table)
    assert rows(table, 1, 2)[0].equals(table.slice(1, 1))
    mixed = pa.table({"n": range(len(array)), "x": array, "s": ["a"] * len(array)})
    assert round_trip(mixed, "arrow").equals(mixed)
    assert round_trip(pa.chunked_array([array]), "arrow").equals(pa.chunked_array([array]))
    batch = mixed.to_batches()[0]
    assert round_trip(batch, "arrow").equals(batch)
    assert describe(mixed)["columns"][1] == ["x", str(array.type)]


def test_batches_of_other_types_are_read_alone() -> None:
    storage = pa.array([number.to_bytes(16, "big") for number in range(140_000)], pa.binary(16))
    ids = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    table = pa.table({"id": pa.chunked_array([ids[:7], ids[7:]])})
    assert round_trip(table, "arrow").equals(table)
    for start, stop in ((0, 3), (65_530, 65_540), (139_999, 140_000), (5, 5), (0, 140_000)):
        found, read = rows(table, start, stop)
        assert found.equals(table.slice(start, stop - start))
        assert read < 16 * ((stop - start) + 2 * 65_536) + 20_000


def test_the_name_of_an_unknown_extension_is_kept() -> None:
    program = """
import sys
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from dovetail.artifacts.serializers.arrow_tables import ArrowSerializer

class Metres(pa.ExtensionType):
    def __init__(self): super().__init__(pa.int64(), "tests.metres")
    def __arrow_ext_serialize__(self): return b"!"
    @classmethod
    def __arrow_ext_deserialize__(cls, storage, data): return cls()

pa.register_extension_type(Metres())
table = pa.table({"x": pa.ExtensionArray.from_storage(Metres(), pa.array([1, 2]))})
written = ArrowSerializer().dump(table)
read = lambda: ArrowSerializer().load(written.header, [memoryview(bytearray(f)) for f in written.frames])
assert read().equals(table)
pa.unregister_extension_type("tests.metres")
field = read().schema.field("x")
print(field.type, field.metadata[b"ARROW:extension:name"].decode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["int64", "tests.metres"]


def test_buffers_are_borrowed_both_ways() -> None:
    array = pa.array(range(1000))
    written = REGISTRY.serialize(pa.table({"x": array}))
    assert pa.py_buffer(written.frames[0]).address == array.buffers()[1].address
    frame = bytearray(written.frames[0])
    loaded = REGISTRY.by_id("arrow").load(written.header, [memoryview(frame)])
    assert loaded["x"].chunk(0).buffers()[1].address == pa.py_buffer(frame).address


def test_rows_are_read_alone() -> None:
    table = pa.table({"n": range(10_000), "s": [f"word {i}" for i in range(10_000)]})
    found, read = rows(table, 500, 510)
    assert found.equals(table.slice(500, 10))
    assert read < 400


def test_description() -> None:
    table = pa.table({"n": [1], "t": pa.array([MOMENT], pa.timestamp("us", "UTC")), "l": [[{"a": "x"}]]})
    assert describe(table) == {
        "rows": 1,
        "shape": [1, 3],
        "columns": [["n", "int64"], ["t", "timestamp[us, UTC]"], ["l", "list<struct<a: utf8>>"]],
    }


@pytest.mark.parametrize(
    ("value", "frame", "offsets"),
    [
        (pa.array(["aa", "b", "c"]), 0, np.array([0, 1_000_000, 2, 4], "i4")),
        (pa.array(["aa", "b", "c"], pa.large_string()), 0, np.array([0, -8, 2, 4], "i8")),
        (pa.array([[1, 2], [], [3]]), 0, np.array([0, 1 << 30, 2, 3], "i4")),
        (pa.array([[("a", 1)], [], [("b", 2)]], pa.map_(pa.string(), pa.int64())), 0, np.array([0, 2, 1, 2], "i4")),
        (pd.Series(["aa", "b", "c"], dtype="string"), 0, np.array([0, 1 << 40, 2, 4], "i8")),
        (pl.Series(["aa", "b", "c"]), 0, np.array([0, 1 << 40, 2, 4], "i8")),
        (pa.array(["a", "b", "a"]).dictionary_encode(), 0, np.array([0, 99_999, 1], "i4")),
        (pl.Series(["aa", "b", "c"]), 1, np.frombuffer(b"a\xffbc", "u1")),
    ],
    ids=range(8),
)
def test_bytes_that_lead_to_other_memory_are_refused(value: Any, frame: int, offsets: Any) -> None:
    """An attacker's value has a digest as any other, and safe mode loads it."""
    written = REGISTRY.serialize(value)
    frames = [memoryview(bytearray(memoryview(one).cast("B"))) for one in written.frames]
    assert frames[frame].nbytes == offsets.nbytes
    frames[frame] = memoryview(bytearray(offsets.tobytes()))
    with pytest.raises(CorruptDataError):
        REGISTRY.by_id(written.serializer).load(written.header, frames)


def test_offsets_that_lead_elsewhere_are_refused() -> None:
    written = REGISTRY.serialize(pa.array(["abc", "d"]))
    frames = [memoryview(bytearray(frame)) for frame in written.frames]
    frames[0][8] = 200
    with pytest.raises(CorruptDataError):
        REGISTRY.by_id("arrow").load(written.header, frames)
