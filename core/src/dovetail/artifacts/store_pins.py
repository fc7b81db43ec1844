"""How data stores are opened that a run came to use when a task was called: `run.json` does not tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import store_pin_key, store_pins_prefix
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["is_harmless", "put_store_pin", "read_store_pin", "read_store_pins"]


def is_harmless(pin: Mapping[str, Any]) -> bool:
    """Whether a store may be opened as a pin says whoever wrote that: a folder of this machine. Any other backend may
    connect to where the pin says, with the reader's credentials or with secrets that the pin names."""
    return pin.get("backend") == "local"


def put_store_pin(store: DataStore, run: str, uuid: str, pin: Mapping[str, Any]) -> str:
    """Keep how a data store is opened, without credentials; the key of the object. Create-only."""
    key = store_pin_key(run, uuid)
    with suppress(AlreadyExistsError):
        store.put(key, encode_json(dict(pin)))
    return key


def read_store_pin(store: DataStore, run: str, uuid: str) -> Mapping[str, Any] | None:
    """How a data store is opened; None where the run did not come to use it.

    Raises:
        CorruptDataError: It is damaged.
    """
    key = store_pin_key(run, uuid)
    try:
        plain = read_json(store.get(key).read(), key)
    except NotFoundError:
        return None
    if not isinstance(plain, dict):
        raise CorruptDataError(f"{key} is malformed")
    return plain


def read_store_pins(store: DataStore, run: str) -> dict[str, Mapping[str, Any]]:
    """All that a run came to use: uuid → how it is opened."""
    prefix = store_pins_prefix(run)
    found = {
        info.key[len(prefix) :]: read_store_pin(store, run, info.key[len(prefix) :]) for info in store.scan(prefix)
    }
    return {uuid: pin for uuid, pin in found.items() if pin is not None}
