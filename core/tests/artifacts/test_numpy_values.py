"""NumPy arrays and scalars: what comes back, what is borrowed, and what goes to pickle."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from serialized import REGISTRY, back, describe, digest, round_trip, rows

from dovetail.interfaces.errors import CorruptDataError

PADDED = np.dtype([("a", "i1"), ("b", "f8")], align=True)
DTYPES = [
    "?", "i1", "<i2", ">i4", "u8", "f2", "f4", "f8", ">f8", "c8", "c16", "U5", ">U3", "S4", "V3",
    "M8[ns]", "M8[D]", "m8[us]", "M8[25s]", "g", "G",
    [("x", "f4"), ("y", ">i8")], [("p", [("x", "i2"), ("y", "U2")]), ("q", "f8", (2, 3))], [(("title", "n"), "i4")],
]  # fmt: skip


def _bits(a: Any) -> Any:
    """Elements in a form where NaN equals NaN; long doubles, which have padding, as they are."""
    return a if a.dtype.type in (np.longdouble, np.clongdouble) else np.frombuffer(a.tobytes(), "u1")


def same(a: Any, b: Any) -> bool:
    return bool(type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(_bits(a), _bits(b)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (4, 5)], ids=str)
def test_every_dtype_and_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    if array.nbytes and array.dtype.kind in "iufcmM":
        array[...] = np.arange(array.size).reshape(shape).astype(array.dtype)
    loaded = round_trip(array, "ndarray")
    assert same(loaded, array)
    assert loaded.flags.writeable
    assert digest(loaded) == digest(array)


@given(
    arrays.arrays(st.sampled_from(["i2", "f8", "?", "c8", ">u4", "U3"]), arrays.array_shapes(min_dims=0, min_side=0))
)
def test_round_trip(array: Any) -> None:
    assert same(round_trip(array, "ndarray"), array)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[:, 1:3],
        lambda a: a.T[::-1, ::2],
        lambda a: np.broadcast_to(a[0], (7, 5)),
        lambda a: a[2:, :],
    ],
)
def test_views_are_what_their_copies_are(view: Any) -> None:
    array = view(np.arange(30.0).reshape(6, 5))
    assert np.array_equal(round_trip(array, "ndarray"), array)
    assert digest(array) == digest(array.copy(order="C"))


def test_fortran_order_is_kept() -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    loaded = round_trip(array, "ndarray")
    assert loaded.flags.f_contiguous
    assert np.array_equal(loaded, array)
    assert json.loads(REGISTRY.serialize(array).header) == {"dtype": "<f8", "order": "F", "shape": [3, 4]}
    assert np.array_equal(rows(array, 1, 3)[0], array[1:3])


def test_contiguous_arrays_are_neither_copied_when_written_nor_when_read() -> None:
    for array in (np.arange(1000.0), np.asfortranarray(np.ones((10, 20))), np.zeros(50, "M8[s]")):
        written = REGISTRY.serialize(array)
        assert np.shares_memory(np.frombuffer(written.frames[0], "u1"), array)
        assert written.raw
        frame = bytearray(written.frames[0])
        loaded = REGISTRY.by_id("ndarray").load(written.header, [memoryview(frame)])
        assert np.shares_memory(np.frombuffer(frame, "u1"), loaded)


@pytest.mark.parametrize(
    "scalar",
    [np.float64(1.5), np.int8(-3), np.bool_(True), np.str_("ü"), np.str_(""), np.bytes_(b"ab"),
     np.datetime64("2020", "D"), np.datetime64("NaT", "s"), np.timedelta64(3, "ms"), np.complex64(1j),
     np.float16("nan"), np.longdouble("0.1")],
    ids=repr,
)  # fmt: skip
def test_scalars(scalar: Any) -> None:
    assert same(round_trip(scalar, "ndarray"), scalar)


@pytest.mark.parametrize("kind", ["q", "Q", "l", "L", "i", "I"])
def test_every_integer_of_c_has_the_layout_of_its_size(kind: str) -> None:
    loaded = round_trip(np.array([1, 2], kind), "ndarray")
    assert loaded.dtype == np.dtype(kind)
    assert digest(np.array([1, 2], kind)) == digest(loaded)


def test_a_structured_scalar() -> None:
    scalar = np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])[0]
    assert round_trip(scalar, "ndarray") == scalar


class Special(np.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, None], object),
        np.ma.masked_array([1, 2], [True, False]),
        np.arange(3).view(Special),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.zeros(2, PADDED),
        np.str_("end\0"),
        np.array([(1, None)], [("a", "i4"), ("b", "O")]),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_has_no_exact_layout_is_pickled(value: Any) -> None:
    written = REGISTRY.serialize(value)
    assert written.serializer == "pickle"
    assert type(back(written)) is type(value)


def test_bytes_that_belong_to_no_field_do_not_count() -> None:
    gaps = np.dtype({"names": ["a", "b"], "formats": ["i1", "i8"], "offsets": [0, 8], "itemsize": 20})
    first, second = (np.frombuffer(bytes([fill]) * 40, gaps).copy() for fill in (0, 255))
    second["a"], second["b"] = first["a"], first["b"]
    assert first.tobytes() != second.tobytes()
    assert digest(first) == digest(second)
    loaded = round_trip(second, "ndarray")
    assert loaded.dtype == gaps
    assert np.array_equal(loaded, second)


def test_types_of_ml_dtypes() -> None:
    ml_dtypes = import_module("ml_dtypes")
    array = np.arange(4).astype(ml_dtypes.bfloat16)
    assert same(round_trip(array, "ndarray"), array)
    assert describe(array)["dtype"] == "ml_dtypes.bfloat16"


def test_rows_are_read_alone() -> None:
    array = np.arange(3000).reshape(1000, 3)
    found, read = rows(array, 10, 12)
    assert np.array_equal(found, array[10:12])
    assert read == 2 * 3 * 8


def test_description() -> None:
    assert describe(np.zeros((3, 2), ">f4")) == {"dtype": ">f4", "shape": [3, 2], "rows": 3}
    assert describe(np.float32(1)) == {"dtype": "float32", "shape": []}


@pytest.mark.parametrize(
    ("header", "frame"),
    [
        ({"dtype": "|O", "shape": [1], "order": "C"}, bytes(8)),
        ({"dtype": [["a", "|O"]], "shape": [1], "order": "C"}, bytes(8)),
        ({"dtype": "nonsense", "shape": [1], "order": "C"}, bytes(8)),
        ({"dtype": "<f8", "shape": [2], "order": "C"}, bytes(8)),
        ({"dtype": "<f8", "shape": [1], "order": "Z"}, bytes(8)),
    ],
    ids=str,
)
def test_headers_that_lie_are_refused(header: Any, frame: bytes) -> None:
    with pytest.raises(CorruptDataError):
        REGISTRY.by_id("ndarray").load(json.dumps(header).encode(), [memoryview(bytearray(frame))])
