"""Opens data stores that belong together: by name, and those whose runs keep values in another."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import BackendError, PluginError, StoreError

if TYPE_CHECKING:
    from dovetail.client.connection import Connection
    from dovetail.interfaces.datastore import DataStore

__all__ = ["NamedStore", "homes_of", "named_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStore:
    """An open data store."""

    uuid: str
    """Its uuid."""
    store: DataStore
    """The store."""
    pin: dict[str, Any]
    """How it is opened, as a run pins it."""


def named_store(connection: Connection, name: str | None, *, make: bool = False) -> NamedStore:
    """Open a data store; the caller closes it.

    Args:
        connection: Whose settings count.
        name: Instance or URL; None: the configured one.
        make: Whether it may be marked as a store: for one that is to be written.

    Raises:
        StoreError: There is none.
    """
    from dovetail.artifacts.manifest import open_store, read_marker
    from dovetail.interfaces.errors import NotFoundError

    settings = connection.settings
    selection = settings.select("datastore") if name is None else settings.named("datastore", name)
    store = connection.checked(settings.open(selection))
    try:
        uuid = open_store(store) if make else read_marker(store).uuid
    except NotFoundError as error:
        store.close()
        raise StoreError(f"{store.url} holds no data store yet") from error
    return NamedStore(uuid=uuid, store=store, pin={"url": store.url, **selection.to_plain()})


def homes_of(
    connection: Connection,
    uuid: str,
    store: DataStore,
    *,
    without: Collection[str] = (),
    damage: dict[str, str] | None = None,
) -> dict[str, DataStore]:
    """The other stores whose runs keep values in a store, open, by uuid.

    Args:
        connection: Opens and keeps them.
        uuid: UUID of the store.
        store: The store.
        without: UUIDs of stores that are gone for good.
        damage: Gets what can't be read of `guests/`, instead of an error.

    Raises:
        StoreError: One can't be opened: what its runs need is not known.
    """
    from dovetail.artifacts.guests import read_guests

    found: dict[str, DataStore] = {}
    for home, pin in read_guests(store, damage).items():
        if home == uuid or home in without:
            continue
        try:
            found[home] = connection.store(home, pin, hearsay=True)
        except (BackendError, PluginError, StoreError) as error:
            raise StoreError(
                f"runs of the data store {home} keep values in {store.url}, and it can't be opened: {error.message}",
                hint=f"Bring it back, or configure an instance for it; if it is gone for good, say --without {home}.",
            ) from error
    return found
