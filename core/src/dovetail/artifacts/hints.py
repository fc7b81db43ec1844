"""Where to look for bytes of a value that are stored already: the latest objects of its name and kind.

Hints may be lost, stale or wrong: what they name is compared leaf by leaf before anything refers to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from blake3 import blake3

from dovetail.artifacts.extents import KnownObject
from dovetail.artifacts.layout import hint_key, object_key
from dovetail.artifacts.objects import StoredObject
from dovetail.interfaces.errors import DovetailError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["hinted_objects", "leave_hint"]

_KEPT = 4
"""Objects that a hint names."""


def _key(name: str, kin: str) -> str:
    return hint_key(blake3(f"{name}\0{kin}".encode()).digest()[:16])


def _read(store: DataStore, key: str) -> list[str]:
    try:
        found = json.loads(store.get(key).read())
        return [text for text in found if isinstance(text, str) and len(bytes.fromhex(text)) == 32]
    except NotFoundError:
        return []
    except (ValueError, TypeError):  # cut short, or by another version
        return []


def hinted_objects(store: DataStore, name: str, kin: str) -> Iterator[KnownObject]:
    """Objects that were saved as versions of an artifact, the latest first.

    Args:
        store: Where they are.
        name: Of the artifact.
        kin: What its versions have in common.
    """
    for text in _read(store, _key(name, kin)):
        digest = bytes.fromhex(text)
        try:
            yield KnownObject(digest, StoredObject(store, digest, object_key(digest)).header)
        except DovetailError:  # collected, or damaged
            continue


def leave_hint(store: DataStore, name: str, kin: str, digest: bytes) -> None:
    """Name an object as the latest version."""
    key = _key(name, kin)
    before = _read(store, key)
    text = digest.hex()
    if before[:1] != [text]:
        after = [text, *(one for one in before if one != text)][:_KEPT]
        store.put(key, json.dumps(after).encode(), mode="overwrite")
