"""Edges: which objects hold parts of other objects, as keys `edges/<2 hex>/<object>/<owner>`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dovetail.artifacts.upkeep.buckets import BUCKETS, Buckets

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore, ObjectInfo

__all__ = ["close_over", "digest_in", "edges_of", "keep_owners_of_young", "owners_of", "scan_edges"]


def digest_in(text: str) -> bytes | None:
    """The digest that the name of an object is; None where it is none."""
    if len(text) != 64:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def edges_of(digest: bytes) -> str:
    """What the edges of an object begin with."""
    text = digest.hex()
    return f"edges/{text[:2]}/{text}/"


def scan_edges(store: DataStore, prefix: str = "edges/") -> Iterator[tuple[bytes, bytes, ObjectInfo]]:
    """(object, owner, info) of each edge, by object."""
    for info in store.scan(prefix):
        parts = info.key.split("/")
        if len(parts) == 4:
            child, owner = digest_in(parts[2]), digest_in(parts[3])
            if child is not None and owner is not None:
                yield child, owner, info


def owners_of(store: DataStore, digest: bytes) -> list[bytes]:
    """The objects that hold parts of an object."""
    return [owner for _, owner, _ in scan_edges(store, edges_of(digest))]


def keep_owners_of_young(store: DataStore, live: Buckets, cutoff: float) -> None:
    """Add what young objects hold parts in: they are kept though nothing refers to them yet, and must stay whole.

    Args:
        store: The store.
        live: Gets the owners.
        cutoff: What was modified later is young, by the store's clock.
    """
    for number in range(BUCKETS):
        objects: Iterator[ObjectInfo] | None = None
        name, is_young = "", False
        for child, owner, edge in scan_edges(store, f"edges/{number:02x}/"):
            if objects is None:
                objects = store.scan(f"objects/{number:02x}/")
            while name < child.hex():
                found = next(objects, None)
                name = "g" if found is None else found.key.rpartition("/")[2]  # "g" is behind every digest
                is_young = found is not None and found.modified > cutoff
            if edge.modified > cutoff or (is_young and name == child.hex()):
                live.add(owner)


def close_over(store: DataStore, live: Buckets) -> None:
    """Add to a set of objects whatever holds parts of one of them, and parts of that.

    What follows the digest in an entry goes over to the entries that are added.
    """
    live.flush()
    with Buckets(64) as edges:
        for child, owner, _ in scan_edges(store):
            edges.add(child + owner)
        edges.flush()
        todo = [number for number in range(BUCKETS) if not edges.is_empty(number)]
        while todo:
            with Buckets(live.width) as owners:
                for number in todo:
                    _add_owners(live, edges, owners, number)
                owners.flush()
                todo = [number for number in range(BUCKETS) if _add_new(live, owners, number)]
                live.flush()


def _add_owners(live: Buckets, edges: Buckets, owners: Buckets, number: int) -> None:
    children = {edge[:32] for edge in edges.read(number)}
    known: dict[bytes, set[bytes]] = {}
    for entry in live.read(number):
        if entry[:32] in children:
            known.setdefault(entry[:32], set()).add(entry[32:])
    for edge in edges.read(number):
        for rest in known.get(edge[:32], ()):
            owners.add(edge[32:] + rest)


def _add_new(live: Buckets, owners: Buckets, number: int) -> bool:
    """Add the owners of a bucket that are not there; whether there were some."""
    fresh = set(owners.read(number))
    if not fresh:
        return False
    fresh.difference_update(live.read(number))
    for owner in fresh:
        live.add(owner)
    return bool(fresh)
