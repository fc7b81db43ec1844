"""A data store in which every document of a run is signed when it is written, and checked when it is read.

Whoever reads or writes a document goes through `get` and `put`, so there is no way around. Records are checked frame by
frame in `dovetail.artifacts.segments`; of what is no document, values are checked against the digests that records and
documents name, and logs, hints, edges and guests say nothing of what is loaded. A pin does: when the run is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, cast

from dovetail.artifacts.signing import Keyring, open_keyring
from dovetail.interfaces.datastore import ABILITY_METHODS, DataStore, GetResult

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext
    from dovetail.interfaces.datastore import Body, ByteRange, ObjectInfo

__all__ = ["SignedStore", "is_document", "signed_store", "unchecked"]

_NO_DOCUMENTS = frozenset({"segments", "commits", "logs"})


def is_document(key: str) -> bool:
    """Whether a signed document lies at a key."""
    parts = key.split("/", 3)
    return parts[0] == "pins" or (parts[0] == "runs" and len(parts) > 2 and parts[2] not in _NO_DOCUMENTS)


class SignedStore(DataStore):
    """A data store that gives out no document without a trusted signature. Thread-safe as the store is.

    Args:
        store: The store.
        keyring: Who signs, and who is trusted.
    """

    def __init__(self, store: DataStore, keyring: Keyring) -> None:
        self.unchecked = store
        """The store as it is, for whoever must read what nobody trusts: to collect garbage, to tell what is wrong."""
        self.keyring = keyring
        """Who signs, and who is trusted."""
        own: Any = self
        for name in ("capabilities", *ABILITY_METHODS):
            if hasattr(store, name):  # on the instance, where `isinstance` with a protocol looks
                setattr(own, name, getattr(store, name))

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """It is put around a store that is open."""
        raise TypeError("a signed store is put around another one")

    def close(self) -> None:
        self.unchecked.close()

    @property
    def url(self) -> str:
        return self.unchecked.url

    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        if is_document(key):
            body = self.keyring.sign_document(key, cast("bytes", body))
        return self.unchecked.put(key, body, mode=mode, metadata=metadata)

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        if not is_document(key):
            return self.unchecked.get(key, byte_range=byte_range)
        found = self.unchecked.get(key)
        body = self.keyring.check_document(key, found.read(), self.url)
        if byte_range is not None:
            body = body[slice(*byte_range)]
        return GetResult(found.info, BytesIO(body), len(body))

    def get_many(self, requests: Iterable[tuple[str, ByteRange | None]]) -> Iterator[tuple[str, GetResult | None]]:
        wanted = list(requests)
        if any(is_document(key) for key, _ in wanted):
            return super().get_many(wanted)
        return self.unchecked.get_many(wanted)

    def head(self, key: str) -> ObjectInfo:
        return self.unchecked.head(key)

    def refresh(self, key: str) -> ObjectInfo:
        return self.unchecked.refresh(key)

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        return self.unchecked.scan(prefix, after=after)

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        self.unchecked.delete(keys, not_modified_since=not_modified_since)


def signed_store(store: DataStore, signing: Mapping[str, Any], home: Path) -> DataStore:
    """A store that gives out only what a trusted key has signed.

    Args:
        store: The store; one that is signed already stays as it is.
        signing: References to the keys, see `open_keyring`.
        home: Folder of local state.

    Raises:
        NotFoundError: There is no such secret.
        SettingsError: One is no key.
    """
    return store if isinstance(store, SignedStore) else SignedStore(store, open_keyring(signing, home))


def unchecked(store: DataStore) -> DataStore:
    """A store as it is, whether or not it is a signed one."""
    return store.unchecked if isinstance(store, SignedStore) else store
