"""`polars`: polars frames and series.

The header is `{"kind", "rows", "fields"}` with nodes as of Arrow tables (see `arrow_layout`), and `"dtypes"` for the
columns whose dtype Arrow does not keep: categories are stored as text, so that their codes, which follow the history
of the process, do not count. A column of integers of 128 bits, which Arrow has none of, is stored as two of 64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from dovetail.artifacts.serializers.arrow_tables import read_table, write_table
from dovetail.artifacts.serializers.arrow_types import label_of
from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.loaded_frames import LoadedFrame
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError, UnpicklableError

__all__ = ["PolarsSerializer"]


_WIDE: dict[str, Any] = {  # name → (dtype, dtype of the higher half), as far as this version has them
    name.lower(): (getattr(pl, name), high)
    for name, high in (("Int128", pl.Int64), ("UInt128", pl.UInt64))
    if hasattr(pl, name)
}


def _wide(dtype: Any) -> str:
    """The name of an integer type of 128 bits; empty for any other."""
    return next((name for name, (kind, _) in _WIDE.items() if dtype == kind), "")


def _halves(series: Any) -> Any:
    """Integers of 128 bits as structs of two of 64.

    Raises:
        DeclinedError: This version of polars can't divide them.
    """
    shift = pl.Series([1 << 64], dtype=series.dtype)
    name = _wide(series.dtype)
    high, low = (series // shift).cast(_WIDE[name][1]), (series % shift).cast(pl.UInt64)
    halves = pl.DataFrame({"high": high, "low": low}).to_struct(series.name)
    if not _whole(halves, name).equals(series):
        raise DeclinedError(f"this version of polars can't take {series.dtype} apart")
    return halves


def _whole(halves: Any, name: str) -> Any:
    """The inverse of `_halves`."""
    kind = _WIDE[name][0]
    high, low = (halves.struct.field(half).cast(kind) for half in ("high", "low"))
    return (high * pl.Series([1 << 64], dtype=kind) + low).alias(halves.name)


def _special(dtype: Any) -> Any:
    """What Arrow does not keep of a dtype, as JSON-able data; None: nothing."""
    if isinstance(dtype, pl.Enum):
        return ["enum", dtype.categories.to_list()]
    if isinstance(dtype, pl.Categorical):
        return ["categorical"]
    if isinstance(dtype, pl.List):
        inner = _special(dtype.inner)
        return inner and ["list", inner]
    if isinstance(dtype, pl.Array):
        inner = _special(dtype.inner)
        return inner and ["array", inner]
    if isinstance(dtype, pl.Struct):
        fields = [_special(field.dtype) for field in dtype.fields]
        return ["struct", fields] if any(fields) else None
    return None


def _plain(dtype: Any) -> Any:
    """A dtype with text in place of categories."""
    if isinstance(dtype, (pl.Enum, pl.Categorical)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_plain(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(_plain(dtype.inner), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _plain(field.dtype)) for field in dtype.fields])
    return dtype


def _restored(dtype: Any, special: Any) -> Any:
    """The dtype that a stored one stands for."""
    if special is None:
        return dtype
    name = special[0]
    if name == "enum":
        return pl.Enum(special[1])
    if name == "categorical":
        return pl.Categorical()
    if name == "list" and isinstance(dtype, pl.List):
        return pl.List(_restored(dtype.inner, special[1]))
    if name == "array" and isinstance(dtype, pl.Array):
        return pl.Array(_restored(dtype.inner, special[1]), dtype.size)
    if name == "struct" and isinstance(dtype, pl.Struct):
        pairs = zip(dtype.fields, special[1], strict=True)
        return pl.Struct([pl.Field(field.name, _restored(field.dtype, inner)) for field, inner in pairs])
    raise CorruptDataError(f"a polars column has an unknown dtype {special!r}")


def _from_arrow(table: Any, specials: Mapping[str, Any]) -> Any:
    """The frame of a table; columns are positions, since `from_arrow` is asked for them one by one."""
    columns = []
    for number, name in enumerate(table.column_names):
        series = pl.Series(name, table.column(number))
        special = specials.get(str(number))
        if special is not None and special[0] in ("int128", "uint128"):
            if special[0] not in _WIDE:
                raise CorruptDataError(f"a polars column is {special[0]}, which this version of polars does not have")
            series = _whole(series, special[0])
        elif special is not None:
            series = series.cast(_restored(series.dtype, special))
        columns.append(series)
    return _frame(columns, table.column_names, table.num_rows)


def _frame(columns: list[Any], names: list[str], height: int) -> Any:
    """A frame of columns under exactly these names: by itself, a frame gives one to a column whose name is empty."""
    if not columns:
        return pl.DataFrame(height=height) if height else pl.DataFrame()
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


class PolarsSerializer(Serializer):
    """polars frames and series."""

    id: ClassVar[str] = "polars"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        return type(value) in (pl.DataFrame, pl.Series, pl.LazyFrame)

    def dump(self, value: Any) -> SerializedValue:
        """Write a frame or series.

        Raises:
            DeclinedError: It has a column that would come back with another dtype, such as Python objects.
            UnpicklableError: It is a LazyFrame: a query, not data.
        """
        if isinstance(value, pl.LazyFrame):
            raise UnpicklableError(
                "a polars LazyFrame can't be stored: it is a query that has not run",
                hint="Store its result: frame.collect().",
            )
        frame = value.to_frame() if isinstance(value, pl.Series) else value
        specials: dict[str, Any] = {}
        frames: list[memoryview | bytes] = []
        try:
            columns = [
                _halves(series) if _wide(series.dtype) else series.cast(_plain(series.dtype))
                for series in frame.get_columns()
            ]
            table = _frame(columns, frame.columns, frame.height).to_arrow()
            for number, dtype in enumerate(frame.dtypes):
                special = [_wide(dtype)] if _wide(dtype) else _special(dtype)
                if special is not None:
                    specials[str(number)] = special
            back = _from_arrow(table.slice(0, 0), specials)
            if back.schema != frame.schema:
                raise DeclinedError(f"its columns {frame.schema} would come back as {back.schema}")
            content = write_table(table, frames)
        except (pl.exceptions.PolarsError, pa.ArrowException, TypeError) as error:
            raise DeclinedError(str(error)) from error
        content["kind"] = "series" if isinstance(value, pl.Series) else "frame"
        content["rows"] = frame.height
        if specials:
            content["dtypes"] = specials
        kin = ",".join(f"{node['name']}:{label_of(node)}" for node in content["fields"])[:500]
        return SerializedValue(self.id, encode_header(content), frames, type_name(type(value)), raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        rows = decode_header(header)["rows"]
        return self.load_rows(header, [LoadedFrame(frame) for frame in frames], 0, rows)

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        specials = content.get("dtypes", {})
        columns = [
            [node["name"], specials[str(number)][0] if str(number) in specials else label_of(node)]
            for number, node in enumerate(content["fields"])
        ]
        if content["kind"] == "series":
            return {"rows": content["rows"], "shape": [content["rows"]], "dtype": columns[0][1]}
        return {"rows": content["rows"], "shape": [content["rows"], len(columns)], "columns": columns}

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        content = decode_header(header)
        table = read_table(content, frames, start, stop)
        try:
            table.validate(full=True)  # polars believes that text is UTF-8, and would read on behind its end
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"a polars value is malformed: {error}") from error
        frame = _from_arrow(table, content.get("dtypes", {}))
        return frame.to_series() if content["kind"] == "series" else frame
