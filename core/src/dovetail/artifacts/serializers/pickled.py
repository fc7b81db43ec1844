"""`pickle`: whatever pickle protocol 5 or cloudpickle can write.

Frame 0 is the pickle stream, the others its out-of-band buffers in order. Plain pickle is tried first; cloudpickle
writes what it refuses and what it would refer to as part of `__main__`, which is another module in each process.
Sets are written in an order of their own, in streams of up to 1 MiB, so that equal ones have one identity.
The header is empty, or JSON that names the interpreter where the stream holds byte code.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections import ChainMap
from collections.abc import Sequence
from types import CodeType
from typing import Any, ClassVar

from dovetail.artifacts.serializers.blame import UnpicklableValue, find_culprit
from dovetail.artifacts.serializers.ordered_sets import dump_ordered, holds_sets
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import SerializedValue, Serializer
from dovetail.interfaces.errors import UnpicklableError

__all__ = ["OUT_OF_BAND_SIZE", "PickleSerializer"]

OUT_OF_BAND_SIZE = 4096
"""Buffers of at least this many bytes become frames of their own; smaller ones stay in the stream."""


class _Buffers:
    """Collects out-of-band buffers."""

    def __init__(self) -> None:
        self.frames: list[memoryview | bytes] = []

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer shall stay in the stream."""
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < OUT_OF_BAND_SIZE:
            return True
        self.frames.append(view)
        return False


def _dump_plainly(value: object, buffers: _Buffers) -> bytes | None:
    """The stream of plain pickle; None where it refuses, or refers to `__main__`."""
    try:
        stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.take)
        if b"__main__" in stream:
            return None
        if holds_sets(value, stream):
            buffers.frames.clear()
            stream = dump_ordered(value, buffers.take)
    except Exception:
        return None
    return stream


def _dump_tree(value: object, buffers: _Buffers) -> bytes | None:
    """The stream of plain pickle without references inside of it; None where it refuses, as what is cyclic."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5, buffer_callback=buffers.take)
    pickler.fast = True
    try:
        pickler.dump(value)
        stream = file.getvalue()
        return None if b"__main__" in stream or holds_sets(value, stream) else stream
    except Exception:
        return None


def _dump_with_cloudpickle(value: object, buffers: _Buffers, *, is_tree: bool = False) -> tuple[bytes, bool]:
    """The stream, and whether it holds byte code."""
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    has_code = False
    table: Any = cloudpickle.Pickler.dispatch_table

    def reduce_code(code: CodeType) -> Any:
        nonlocal has_code
        has_code = True
        return table[CodeType](code)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, unused-ignore]
        # The C pickler looks the table up when it is made.
        dispatch_table: ClassVar[Any] = ChainMap[Any, Any]({CodeType: reduce_code}, table)

    file = io.BytesIO()
    pickler = Pickler(file, protocol=5, buffer_callback=buffers.take)
    pickler.fast = is_tree
    pickler.dump(value)
    return file.getvalue(), has_code


class PickleSerializer(Serializer):
    """Any picklable value. Loading runs what the bytes say, so only load what you trust."""

    id: ClassVar[str] = "pickle"
    safe: ClassVar[bool] = False

    def accepts(self, value: object) -> bool:
        return True

    def dump(self, value: Any) -> SerializedValue:
        """Write `value`.

        Raises:
            UnpicklableError: Neither pickle nor cloudpickle can write it; says what inside is to blame.
        """
        buffers = _Buffers()
        has_code = False
        stream = _dump_plainly(value, buffers)
        if stream is None:
            buffers = _Buffers()
            try:
                stream, has_code = _dump_with_cloudpickle(value, buffers)
            except Exception as error:
                raise _unpicklable(value, error) from error
        header = json.dumps({"python": sys.implementation.cache_tag}).encode() if has_code else b""
        return SerializedValue(self.id, header, [stream, *buffers.frames], type_name(type(value)))

    def identify(self, value: Any) -> SerializedValue:
        """As `dump`, for the digest alone: equal values whose parts are shared or not give the same bytes.

        What was computed in this process and what was loaded piece by piece differ in that. Sets and cycles are
        written as `dump` does.
        """
        buffers = _Buffers()
        stream = _dump_tree(value, buffers)
        if stream is None:
            buffers = _Buffers()
            if _dump_plainly(value, buffers) is None:
                buffers = _Buffers()
                try:
                    stream, _ = _dump_with_cloudpickle(value, buffers, is_tree=True)
                except Exception:  # cyclic, or not to be pickled at all
                    stream = None
        if stream is None:
            return self.dump(value)
        return SerializedValue(self.id, b"", [stream, *buffers.frames], type_name(type(value)))

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        """Read a value back.

        Raises:
            UnpicklableError: The stream holds byte code of another Python version (nothing was run), or its types
                can't be imported.
        """
        if header:
            written = json.loads(header).get("python")
            if written != sys.implementation.cache_tag:
                raise UnpicklableError(
                    f"it holds code that {written} wrote, and this is {sys.implementation.cache_tag}",
                    hint="Load it with that Python version, or store data instead of functions, or put the function "
                    "into a module so that it is stored by name.",
                )
        try:
            return pickle.loads(frames[0], buffers=frames[1:])
        except (ImportError, AttributeError) as error:
            raise UnpicklableError(
                f"it can't be loaded here: {error}",
                hint="Loading needs the module that defines its type, in a version that still has it.",
            ) from error


def _unpicklable(value: object, error: Exception) -> UnpicklableError:
    culprit: UnpicklableValue = find_culprit(value, error)
    return UnpicklableError(
        f"a value of type {type_name(type(value))} can't be stored: {culprit.describe()}", hint=culprit.hint()
    )
