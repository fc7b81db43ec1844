"""Marks what a data store must keep: everything that runs and pins refer to, and what these hold parts of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from dovetail.artifacts.manifest import read_marker
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.sequences import SequenceReader
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.buckets import Buckets
from dovetail.artifacts.upkeep.edges import close_over, keep_owners_of_young
from dovetail.artifacts.upkeep.pins import Pin, read_pins
from dovetail.artifacts.upkeep.references import References, runs_in
from dovetail.interfaces.errors import CorruptDataError, DovetailError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["mark"]

_NAMED = 5
"""Damaged keys that an error names."""


@contextlib.contextmanager
def mark(
    store: DataStore,
    *,
    cutoff: float,
    homes: Mapping[str, DataStore] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Buckets]:
    """The digests that must be kept. What is in memory does not grow with the store.

    A digest that some run or pin names is kept whichever store it was meant for.

    Args:
        store: The store that is to be collected.
        cutoff: What was modified later stays anyhow, by the store's clock.
        homes: Other stores, by uuid, whose runs keep values in it.
        progress: Called with the number of references that were read since the last call.

    Raises:
        CorruptDataError: Something can't be read, so that nobody knows what it refers to.
        StoreVersionError: A newer Dovetail wrote it.
    """
    uuid = read_marker(store).uuid
    damage: list[str] = []
    with Buckets() as live:
        for home, place in {uuid: store, **(homes or {})}.items():
            references = References(place, home, {uuid: store})
            for run, infos in runs_in(place):
                count = 0
                for found in references.of_run(run, infos):
                    live.add(found.digest)
                    count += 1
                progress(count)
            damage += [f"{line} ({place.url})" for line in references.damage]
        for pin in read_pins(store):
            _mark_pin(live, pin, store, uuid, damage)
        if damage:
            more = f"\nand {len(damage) - _NAMED} more" if len(damage) > _NAMED else ""
            raise CorruptDataError(
                "nothing was deleted, since what must be kept is not known:\n" + "\n".join(damage[:_NAMED]) + more,
                hint="Repair it with: dovetail store verify --repair-from INSTANCE, or delete the run.",
            )
        keep_owners_of_young(store, live, cutoff)
        close_over(store, live)
        yield live


def _mark_pin(live: Buckets, pin: Pin, store: DataStore, uuid: str, damage: list[str]) -> None:
    ref = pin.ref
    if ref is None:
        return
    live.add(ref.digest)
    if ref.serializer != SEQUENCE_ID:
        return
    try:
        for _, digest in SequenceReader(ArtifactStore({uuid: store}, default=uuid), ref).objects():
            live.add(digest)
    except DovetailError as error:
        damage.append(f"the items of the pin {pin.name} can't be read: {error.message}")
