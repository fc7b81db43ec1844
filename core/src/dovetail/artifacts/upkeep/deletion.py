"""Deletes what a run left in its data store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dovetail.artifacts.layout import ends_prefix, fences_prefix, manifest_key, run_prefix
from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Deleted", "delete_keys"]

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was deleted of a run."""

    keys: int
    """Records, logs and the like."""
    size: int
    """Their bytes. The objects that it referred to are left to the collector."""


def delete_keys(store: DataStore, run: str, *, tick: Callable[[], None] = lambda: None) -> Deleted:
    """Delete everything below a run's key, `run.json` last: killed at any key, it is finished by the same call.

    Records go before the fences that tell how far they count, so that nobody ever reads what never counted.

    Args:
        store: The run's store.
        run: Run id.
        tick: Called between batches; what it raises ends the deletion.
    """
    last = manifest_key(run)
    guards = (fences_prefix(run), ends_prefix(run))
    keys = size = 0
    batch: list[str] = []

    def delete() -> None:
        tick()
        store.delete(batch)
        batch.clear()

    for info in store.scan(run_prefix(run)):
        keys += 1
        size += info.size
        if info.key == last or info.key.startswith(guards):
            continue
        batch.append(info.key)
        if len(batch) >= _BATCH:
            delete()
    delete()
    for prefix in guards:
        batch += [info.key for info in store.scan(prefix)]
    delete()
    # Whatever was written meanwhile, by a driver that did not know.
    batch += [info.key for info in store.scan(run_prefix(run)) if info.key != last]
    delete()
    batch.append(last)
    delete()
    return Deleted(keys=keys, size=size)
