"""`ndarray`: NumPy arrays and scalars of every dtype without Python objects.

The header is `{"dtype", "shape", "order"}`, of a scalar `{"dtype", "scalar": true}`; frame 0 is the elements as they
are in memory, in C order, or in Fortran order where the array has it. Bytes that belong to no field are zeros. The
dtype is NumPy's own description as in `.npy` files, `ml_dtypes.bfloat16` and the like for types of that library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["NumpySerializer", "array_frame", "array_of", "dtype_from_plain", "dtype_to_plain"]

_ML_DTYPES = "ml_dtypes."
_PIECE = 64 * 1024
"""Bytes that reading any of them costs."""
_X87 = "x87."  # what 80-bit long doubles are called, which have padding and exist on some processors only


def dtype_to_plain(dtype: np.dtype[Any]) -> Any:
    """A dtype as JSON-able data.

    Raises:
        DeclinedError: It holds Python objects, or can't be described so that the same dtype is read back.
    """
    if dtype.hasobject:
        raise DeclinedError(f"arrays of dtype {dtype} hold Python objects")
    if dtype.type.__module__ == "ml_dtypes" and dtype.names is None:
        return _ML_DTYPES + dtype.name
    if dtype.type in (np.longdouble, np.clongdouble) and dtype.itemsize > np.dtype(dtype.kind + "8").itemsize:
        if np.finfo(np.longdouble).nmant != 63 or not dtype.isnative:
            raise DeclinedError(f"dtype {dtype} differs by machine")
        return _X87 + dtype.str
    if dtype.names is not None and _has_long_double(dtype):
        raise DeclinedError(f"dtype {dtype} differs by machine")
    try:
        described = np.lib.format.dtype_to_descr(dtype)
        plain = _lists(described)
        same = dtype_from_plain(plain)
    except Exception as error:
        raise DeclinedError(f"dtype {dtype} has no description: {error}") from error
    # `longlong` is another type than the `int64` that it equals; pickle, too, makes that one of it.
    exact = same == dtype and (same.type is dtype.type or dtype.kind in "iu")
    if not exact or same.isalignedstruct != dtype.isalignedstruct:
        raise DeclinedError(f"dtype {dtype} has no exact description")
    return plain


def _has_long_double(dtype: np.dtype[Any]) -> bool:
    if dtype.subdtype is not None:
        return _has_long_double(dtype.subdtype[0])
    if dtype.names is not None:
        return any(_has_long_double(dtype[name]) for name in dtype.names)
    return dtype.type in (np.longdouble, np.clongdouble)


def _lists(described: Any) -> Any:
    return [_lists(part) for part in described] if isinstance(described, (list, tuple)) else described


def dtype_from_plain(plain: Any) -> np.dtype[Any]:
    """The inverse of `dtype_to_plain`.

    Raises:
        CorruptDataError: It describes no dtype, or one with Python objects.
    """
    try:
        if isinstance(plain, str):
            if plain.startswith(_ML_DTYPES):
                import ml_dtypes  # type: ignore[import-not-found, unused-ignore]

                dtype = np.dtype(getattr(ml_dtypes, plain.removeprefix(_ML_DTYPES)))
            else:
                dtype = np.dtype(plain.removeprefix(_X87))
        else:
            dtype = np.lib.format.descr_to_dtype([_field(field) for field in plain])
    except (TypeError, ValueError, AttributeError) as error:
        raise CorruptDataError(f"an array has an unknown dtype {plain!r}: {error}") from error
    found: np.dtype[Any] = dtype
    if found.hasobject:
        raise CorruptDataError(f"an array has the dtype {plain!r}, which can't be read safely")
    return found


def _field(field: list[Any]) -> tuple[Any, ...]:
    name, kind, *shape = field
    inner = [_field(part) for part in kind] if isinstance(kind, list) else kind
    return (tuple(name) if isinstance(name, list) else name, inner, *map(tuple, shape))


def array_frame(array: np.ndarray[Any, Any]) -> tuple[memoryview | bytes, str]:
    """The bytes of an array, without a copy where it is contiguous, and the order that they have."""
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    if array.nbytes == 0:
        return b"", order
    padded = _without_padding(array, order)
    if not (padded.flags.c_contiguous or padded.flags.f_contiguous):
        padded = np.ascontiguousarray(padded)
    flat: Any = padded.reshape(-1, order="F" if order == "F" else "C").view(np.uint8)
    return memoryview(flat), order


def _without_padding(array: np.ndarray[Any, Any], order: str) -> np.ndarray[Any, Any]:
    """The array, or a copy with zeros in the bytes that belong to no field."""
    dtype = array.dtype
    if dtype.type in (np.longdouble, np.clongdouble) and dtype.itemsize > np.dtype(dtype.kind + "8").itemsize:
        copy = np.array(array, order="F" if order == "F" else "C", ndmin=1)
        copy.reshape(-1, order="A").view(np.uint8).reshape(-1, 16)[:, 10:] = 0
        return copy
    if dtype.names is None or not _is_padded(dtype):
        return array
    copy = np.zeros(array.shape, dtype, order="F" if order == "F" else "C")
    _copy_fields(copy, array)
    return copy


def _is_padded(dtype: np.dtype[Any]) -> bool:
    return _used(dtype) != dtype.itemsize


def _used(dtype: np.dtype[Any]) -> int:
    if dtype.subdtype is not None:
        return _used(dtype.subdtype[0]) * math.prod(dtype.subdtype[1])
    if dtype.names is None:
        return dtype.itemsize
    return sum(_used(dtype[name]) for name in dtype.names)


def _copy_fields(target: Any, source: Any) -> None:
    for name in target.dtype.names:
        if target[name].dtype.names is not None:
            _copy_fields(target[name], source[name])
        else:
            target[name] = source[name]


def array_of(dtype: np.dtype[Any], shape: Sequence[int], order: Any, frame: memoryview) -> np.ndarray[Any, Any]:
    """The array whose memory is `frame`.

    Raises:
        CorruptDataError: The frame has another size.
    """
    size = math.prod(shape) * dtype.itemsize
    if size != frame.nbytes or order not in ("C", "F"):
        raise CorruptDataError(
            f"an array of {dtype} and shape {list(shape)} has {frame.nbytes} bytes instead of {size}"
        )
    if size == 0:
        return np.empty(shape, dtype, order)
    made: np.ndarray[Any, Any] = np.ndarray(tuple(shape), dtype, frame, order=order)
    return made


class NumpySerializer(Serializer):
    """NumPy arrays and scalars."""

    id: ClassVar[str] = "ndarray"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        if isinstance(value, np.generic):
            return type(value) is value.dtype.type and not value.dtype.hasobject
        return type(value) is np.ndarray and not value.dtype.hasobject

    def dump(self, value: Any) -> SerializedValue:
        array = np.asarray(value)
        content: dict[str, Any] = {"dtype": dtype_to_plain(array.dtype)}
        frame, order = array_frame(array)
        if isinstance(value, np.generic):
            if isinstance(value, (np.str_, np.bytes_)) and array[()] != value:
                raise DeclinedError("NumPy drops zeros at the end of text")
            content["scalar"] = True
            return SerializedValue(self.id, encode_header(content), [frame], type_name(type(value)))
        content |= {"shape": list(array.shape), "order": order}
        inner = "".join(f",{length}" for length in array.shape[1:])
        kin = f"{array.dtype.str}[*{inner}]{order}" if array.ndim else ""
        return SerializedValue(self.id, encode_header(content), [frame], "numpy.ndarray", raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        dtype = _dtype_here(content["dtype"])
        if content.get("scalar"):
            return array_of(dtype, (), "C", frames[0])[()]
        return array_of(dtype, content["shape"], content["order"], frames[0])

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        shape = content.get("shape", [])
        told = {"dtype": _dtype_name(content["dtype"]), "shape": shape}
        return {**told, "rows": shape[0]} if shape else told

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        """Rows; of an array in Fortran order its part of each column, or everything where that is not much more."""
        content = decode_header(header)
        dtype, shape, order = _dtype_here(content["dtype"]), content["shape"], content["order"]
        part = [stop - start, *shape[1:]]
        if order == "F":
            return _rows_apart(dtype, shape, frames[0], start, stop)
        row = math.prod(shape[1:]) * dtype.itemsize
        return array_of(dtype, part, order, frames[0].read(start * row, stop * row))


def _rows_apart(
    dtype: np.dtype[Any], shape: Sequence[int], frame: LazyFrame, start: int, stop: int
) -> np.ndarray[Any, Any]:
    """Rows of an array in Fortran order, which has them in as many pieces as it has columns."""
    columns, size = math.prod(shape[1:]), dtype.itemsize
    if columns * max(_PIECE, (stop - start) * size) > frame.length:
        whole = array_of(dtype, shape, "F", frame.read(0, frame.length))
        return whole[start:stop]
    made = np.empty((stop - start, *shape[1:]), dtype, "F")
    flat = made.reshape((stop - start, columns), order="F")  # a view
    for column in range(columns):
        begin = column * shape[0]
        piece = frame.read((begin + start) * size, (begin + stop) * size)
        flat[:, column] = array_of(dtype, [stop - start], "C", piece)
    return made


def _dtype_here(plain: Any) -> np.dtype[Any]:
    dtype = dtype_from_plain(plain)
    if isinstance(plain, str) and plain.startswith(_X87) and np.finfo(np.longdouble).nmant != 63:
        raise CorruptDataError("it holds 80-bit floats of x86 processors, which this machine can't read")
    return dtype


def _dtype_name(plain: Any) -> str:
    if isinstance(plain, str):
        return plain if plain.startswith((_ML_DTYPES, _X87)) else str(np.dtype(plain))
    return str(dtype_from_plain(plain))
