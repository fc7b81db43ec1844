"""Walking a store's folder in the order of its keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from operator import itemgetter

from dovetail.local._keys import CONTINUED, OWN, decode_name, is_object_name
from dovetail.local._temporary import GONE, NEAR

__all__ = ["walk"]

_Found = tuple[str, str]
"""A key and the file that holds it."""
_Entry = tuple[str, int, str]
"""What a name contributes to the key, what it is (below), and its path."""
_FILE, _OWN_FILE, _FOLDER, _PIECE = 0, 1, 2, 3
_BY_KEY = itemgetter(0)


def walk(folder: str, begin: str, prefix: str, after: str, *, aside: Callable[[str], object]) -> Iterator[_Found]:
    """Objects below `folder`, sorted by key; the names of one folder a level are in memory at a time.

    What appears or disappears meanwhile may be told or not; nothing else is missed or told twice.

    Args:
        folder: Path of the folder.
        begin: What all keys in it begin with.
        prefix: Only keys that begin with this.
        after: Only keys behind this one.
        aside: Called with the path of each object that a deletion has put aside, and of temporary files.

    Yields:
        (key, path) of files; whoever opens one may find it gone.
    """
    levels = [(begin, _entries(folder, begin, prefix, after, aside))]
    while levels:
        begin, entries = levels[-1]
        if not entries:
            levels.pop()
            continue
        name, kind, path = entry = entries.pop()
        if kind == _PIECE:
            # A part that is continued below may interleave with others that begin alike.
            alike = [_one(entry, begin, prefix, after, aside)]
            while entries and entries[-1][0].startswith(name):
                alike.append(_one(entries.pop(), begin, prefix, after, aside))
            from heapq import merge

            yield from merge(*alike, key=_BY_KEY)
        elif kind == _FOLDER:
            levels.append((begin + name, _entries(path, begin + name, prefix, after, aside)))
        elif kind == _FILE or os.path.lexists(path):
            yield begin + name, path


def _one(entry: _Entry, begin: str, prefix: str, after: str, aside: Callable[[str], object]) -> Iterator[_Found]:
    name, kind, path = entry
    if kind in (_FOLDER, _PIECE):
        yield from walk(path, begin + name, prefix, after, aside=aside)
    elif kind == _FILE or os.path.lexists(path):
        yield begin + name, path


def _entries(folder: str, begin: str, prefix: str, after: str, aside: Callable[[str], object]) -> list[_Entry]:
    """What the folder holds of the wanted keys, the last first."""
    found: list[_Entry] = []
    wanted = prefix[len(begin) :]
    behind = after[len(begin) :] if after.startswith(begin) else None
    if behind is None and after > begin:
        return found  # every key here sorts before `after`
    try:
        listing = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    with listing:
        for item in listing:
            name = item.name
            if not is_object_name(name):
                if name.startswith((GONE, NEAR)):
                    aside(f"{folder}/{name}")
                continue
            text = decode_name(name)
            path = f"{folder}/{name}"
            if not item.is_dir():
                if text.startswith(wanted) and (behind is None or text > behind):
                    found.append((text, _FILE, path))
                continue
            piece = name.startswith(CONTINUED)
            inner = text if piece else text + "/"
            if not (inner.startswith(wanted) or wanted.startswith(inner)):
                continue
            if not piece and text.startswith(wanted) and (behind is None or text > behind):
                found.append((text, _OWN_FILE, f"{path}/{OWN}"))
            if behind is None or inner > behind or behind.startswith(inner):
                found.append((inner, _PIECE if piece else _FOLDER, path))
    found.sort(reverse=True)
    return found
