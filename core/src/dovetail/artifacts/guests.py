"""Guests: in a data store that holds values of another store's runs, where those runs are.

A step with a data store of its own leaves its values there, while its run's records lie elsewhere. Whoever collects
garbage must look at these runs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["put_guest", "read_guests"]

_PREFIX = "guests/"


def put_guest(store: DataStore, home: str, pin: Mapping[str, Any]) -> str:
    """Say that runs of another store keep values here; the key. Create-only, before the first value.

    Args:
        store: The store that holds the values.
        home: UUID of the store that holds the runs.
        pin: How that one is opened, without credentials.
    """
    key = _PREFIX + home
    target = pin.get("url") or pin.get("target", "")  # another place may follow from who opens it and where
    with suppress(AlreadyExistsError):
        store.put(key, encode_json({**pin, "target": target}))
    return key


def read_guests(store: DataStore, damage: dict[str, str] | None = None) -> dict[str, Mapping[str, Any]]:
    """UUID of each store whose runs keep values here → how it is opened.

    Args:
        store: Where the values are.
        damage: Gets the key of each one that is damaged, and why, instead of an error.

    Raises:
        CorruptDataError: One is damaged.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for key in [info.key for info in store.scan(_PREFIX)]:
        try:
            plain = read_json(store.get(key).read(), key)
            if not isinstance(plain, dict):
                raise CorruptDataError(f"{key} is malformed")
        except CorruptDataError as error:
            if damage is None:
                raise
            damage[key] = error.message
            continue
        found[key[len(_PREFIX) :]] = plain
    return found
