"""Walking a store's folder in the order of its keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter

from dovetail.local._keys import CONTINUED, OWN, decode_name, is_object_name

__all__ = ["walk"]

_Found = tuple[str, str]
"""A key and the file that holds it."""
_Entry = tuple[str, int, str]
"""What a name contributes to the key, what it is (below), and its path."""
_FILE, _OWN_FILE, _FOLDER, _PIECE = 0, 1, 2, 3
_BY_KEY = itemgetter(0)


def walk(folder: str, begin: str, prefix: str, after: str) -> Iterator[_Found]:
    """Objects below `folder`, sorted by key; one folder's names at a time are in memory for each level.

    What appears or disappears meanwhile may be told or not; nothing else is missed or told twice.

    Args:
        folder: Path of the folder.
        begin: What all keys in it begin with.
        prefix: Only keys that begin with this.
        after: Only keys behind this one.

    Yields:
        (key, path) of files; whoever opens one may find it gone.
    """
    entries = _entries(folder, begin, prefix, after)
    entries.reverse()
    while entries:
        entry = entries.pop()
        if entry[1] != _PIECE:
            yield from _below(entry, begin, prefix, after)
            continue
        # A part that is continued below may interleave with others that begin alike.
        alike = [entry]
        while entries and entries[-1][0].startswith(entry[0]):
            alike.append(entries.pop())
        yield from merge(*(_below(each, begin, prefix, after) for each in alike), key=_BY_KEY)


def _below(entry: _Entry, begin: str, prefix: str, after: str) -> Iterator[_Found]:
    name, kind, path = entry
    key = begin + name
    if kind == _FILE or (kind == _OWN_FILE and os.path.lexists(path)):
        if key > after and key.startswith(prefix):
            yield key, path
    elif kind in (_FOLDER, _PIECE):
        yield from walk(path, key, prefix, after)


def _entries(folder: str, begin: str, prefix: str, after: str) -> list[_Entry]:
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
    found.sort()
    return found
