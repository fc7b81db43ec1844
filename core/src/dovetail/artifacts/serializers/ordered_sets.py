"""Pickles sets in an order of their own, so that equal sets give equal bytes in every process.

A set's order follows the hash seed and the history of the set. The C pickler can't be told another one, so a stream
that holds sets is written again by the pickler that is written in Python.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection
from typing import Any, ClassVar

__all__ = ["SORT_LIMIT", "dump_ordered", "holds_sets"]

SORT_LIMIT = 1 << 20
"""Streams above this many bytes keep the order that the sets have: the Python pickler is some 20 times slower."""

_ADDITEMS, _FROZENSET = b"\x90", b"\x91"
_SORTABLE = (str, int, bytes)


class _SetFoundError(Exception):
    pass


class _Detector(pickle.Pickler):
    """Stops at the first set."""

    def persistent_id(self, obj: Any) -> None:
        if (type(obj) is set or type(obj) is frozenset) and len(obj) > 1:
            raise _SetFoundError
        return None


def holds_sets(value: object, stream: bytes) -> bool:
    """Whether a set of several elements is inside a value that was pickled as `stream`."""
    if len(stream) > SORT_LIMIT or (_ADDITEMS not in stream and _FROZENSET not in stream):
        return False
    try:
        _Detector(io.BytesIO(), protocol=5, buffer_callback=lambda buffer: False).dump(value)
    except _SetFoundError:
        return True
    return False


def _sorted(items: Collection[Any]) -> list[Any]:
    kinds = {type(item) for item in items}
    if len(kinds) == 1 and kinds.pop() in _SORTABLE:
        return sorted(items)
    return sorted(items, key=lambda item: dump_ordered(item, lambda buffer: True))


# The public name is the C pickler, which has nothing to override; type stubs know only part of this one.
_PythonPickler: Any = pickle._Pickler


class _OrderedPickler(_PythonPickler):  # type: ignore[misc]
    dispatch: ClassVar[dict[type, Any]] = dict(_PythonPickler.dispatch)

    def save_set(self, obj: set[Any]) -> None:
        self.write(pickle.EMPTY_SET)
        self.memoize(obj)
        self.write(pickle.MARK)
        for item in _sorted(obj):
            self.save(item)
        self.write(pickle.ADDITEMS)

    def save_frozenset(self, obj: frozenset[Any]) -> None:
        self.write(pickle.MARK)
        for item in _sorted(obj):
            self.save(item)
        known = self.memo.get(id(obj))
        if known is not None:  # an element refers back to the set
            self.write(pickle.POP_MARK + self.get(known[0]))
            return
        self.write(pickle.FROZENSET)
        self.memoize(obj)

    dispatch[set] = save_set
    dispatch[frozenset] = save_frozenset


def dump_ordered(value: object, take: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    """`pickle.dumps` with sets in order."""
    file = io.BytesIO()
    _OrderedPickler(file, protocol=5, buffer_callback=take).dump(value)
    return file.getvalue()
