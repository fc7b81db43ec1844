"""Deletes runs: what the data store has of them, then what the index has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dovetail.client.unknown import unknown
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import BackendError, NotFoundError, StoreError, UsageError
from dovetail.plugins.holder import current_holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.artifacts.upkeep.deletion import Deleted
    from dovetail.client.connection import Connection
    from dovetail.client.run import Run
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Unlisted", "delete_run", "find_unlisted", "pinned_among"]

_LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted:
    """A run that the data store has and the index has not."""

    id: str
    """Run id."""
    flow_name: str
    """Name of the flow; `?` where the store does not tell."""
    created: float | None
    """Seconds since the epoch."""
    ended: bool
    """Whether its newest driver ended it."""

    @property
    def pathspec(self) -> str:
        """`Flow/run`."""
        return f"{self.flow_name}/{self.id}"


def find_unlisted(store: DataStore, name: str) -> Unlisted:
    """A run that only the data store knows, by its id or a prefix of it.

    Raises:
        UnknownNameError: There is none.
        UsageError: Several fit.
    """
    from dovetail.artifacts.fences import newest_fence
    from dovetail.artifacts.manifest import read_manifest
    from dovetail.artifacts.reports import read_end

    wanted = name.rpartition("/")[2]
    found: list[str] = []
    info = next(iter(store.scan(f"runs/{wanted}")), None) if wanted else None
    while info is not None and len(found) < 2:
        found.append(info.key.split("/")[1])
        info = next(iter(store.scan(f"runs/{wanted}", after=f"runs/{found[-1]}0")), None)  # "0" follows "/"
    if not found:
        raise unknown("run", name, [], hint=f"It is neither in the index nor in {store.url}.")
    if len(found) > 1 and found[0] != wanted:
        raise UsageError(f"{name!r} fits more than one run: {', '.join(found)}", hint="Give more of the id.")
    run = found[0]
    flow, created = "?", None
    with contextlib.suppress(NotFoundError, StoreError):
        manifest = read_manifest(store, run)
        flow, created = manifest.flow, manifest.created
    end = None
    with contextlib.suppress(StoreError):
        end = read_end(store, run)
    return Unlisted(
        id=run, flow_name=flow, created=created, ended=end is not None and end[0] >= newest_fence(store, run)
    )


def pinned_among(runs: Iterable[Run]) -> set[str]:
    """Ids of those runs that are pinned, or whose data store can't be opened to say so."""
    from dovetail.artifacts.upkeep.pins import pinned_runs

    pins: dict[int, dict[str, str]] = {}
    found = set()
    for run in runs:
        try:
            store = run._store
            if id(store) not in pins:
                pins[id(store)] = pinned_runs(store)
        except (BackendError, StoreError):
            found.add(run.id)
            continue
        if run.id in pins[id(store)]:
            found.add(run.id)
    return found


def delete_run(connection: Connection, run: Run | Unlisted, *, force: bool = False) -> Deleted:
    """Delete a run: its keys in the data store, `run.json` last, then its rows.

    Objects that nothing else refers to are left to `dovetail store gc`. Killed at any point, the same call finishes
    it. While it goes on, no driver can take the run.

    Args:
        connection: Where the run is.
        run: The run.
        force: Also a pinned one, and one of which only the store knows, and not that it has ended.

    Raises:
        UsageError: It is driven, or pinned.
        StaleFenceError: A driver took it meanwhile.
    """
    from dovetail.artifacts.upkeep.deletion import Deleted, delete_keys

    store = _store_of(connection, run, force=force)
    if store is not None and not force:
        from dovetail.artifacts.upkeep.pins import pinned_runs

        note = pinned_runs(store).get(run.id)
        if note is not None:
            raise UsageError(
                f"run {run.pathspec} is pinned{f': {note}' if note else ''}",
                hint=f"dovetail store unpin {run.id}, or say --force.",
            )
    if isinstance(run, Unlisted) and not run.ended and not force:
        raise UsageError(
            f"run {run.pathspec} is not in the index, and its data store does not say that it has ended",
            hint="Where it may still be driven from another machine, wait. Otherwise say --force.",
        )
    with _held(connection, run) as renew:
        deleted = Deleted(keys=0, size=0) if store is None else delete_keys(store, run.id, tick=renew)
        if store is not None:
            _unpin(store, run.id)
        if not connection.empty:
            connection.provider.delete_run(run.id)
    return deleted


def _store_of(connection: Connection, run: Run | Unlisted, *, force: bool) -> DataStore | None:
    """The run's data store; None where it is gone and only the rows can be deleted."""
    if isinstance(run, Unlisted):
        return connection.default_store()[1]
    try:
        return run._store
    except (BackendError, StoreError) as error:
        if force:
            return None
        raise StoreError(
            f"the data store of run {run.pathspec} can't be opened: {error.message}",
            hint="Bring it back, or say --force to forget the run and leave what is there.",
        ) from error


def _unpin(store: DataStore, run: str) -> None:
    from dovetail.artifacts.upkeep.pins import read_pins, remove_pin

    for pin in read_pins(store):
        if pin.run == run and not pin.artifact:
            remove_pin(store, pin)


@contextlib.contextmanager
def _held(connection: Connection, run: Run | Unlisted) -> Iterator[Callable[[], None]]:
    """Hold the run's lease; what is given renews it when it is time."""
    if connection.empty:
        yield lambda: None
        return
    provider = connection.provider
    lease = provider.lease(f"run:{run.id}", holder=current_holder(), ttl=_LEASE_SECONDS)
    if lease is None:
        raise UsageError(
            f"run {run.pathspec} is being driven", hint=f"End it first, with: dovetail cancel {run.id} --wait"
        )
    renewed = time.monotonic()

    def renew() -> None:
        nonlocal lease, renewed
        assert lease is not None
        if time.monotonic() - renewed > _LEASE_SECONDS / 4:
            lease = provider.renew(lease)
            renewed = time.monotonic()

    try:
        yield renew
    finally:
        provider.release(lease)
