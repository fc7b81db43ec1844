"""The first and the last events of a run, and what the index knows of one that goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.layout import fence_key, manifest_key, object_key
from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.reports import RunEnd, put_end
from dovetail.interfaces.artifacts import InlinePlace, ObjectPlace
from dovetail.interfaces.datastore import DataStore, SupportsAppend
from dovetail.interfaces.events import EventKind
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.engine.journal import Journal
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.interfaces.tasks import ErrorReport

__all__ = ["add_end", "add_start", "expected_of", "is_told", "shown", "syncer", "writer_name"]


def writer_name(manifest: RunManifest) -> str:
    """A name that no other driver has."""
    return f"{manifest.info.get('host', '')}:{os.getpid()}:{os.urandom(4).hex()}"


def add_start(journal: Journal, manifest: RunManifest, fence: int, *, continued: bool) -> None:
    """Tell that a driver has the run, and what run it is, unless the journal tells of it already."""
    flow, uuid = manifest.description, manifest.info["store"]
    if not continued:
        journal.add(
            EventKind.RUN_CREATED,
            flow=manifest.flow,
            created=manifest.created,
            user=manifest.user,
            tags=list(manifest.tags),
            system_tags=list(manifest.system_tags),
            parameters={name: shown(ref) for name, ref in manifest.parameters.items()},
            origin=manifest.origin,
            file=manifest.info["file"],
            start=flow["start"],
            end=flow["end"],
            store={**manifest.stores[uuid], "uuid": uuid},
        )
    journal.add(EventKind.DRIVER, fence=fence, host=manifest.info.get("host", ""), pid=os.getpid())
    if not continued:
        journal.add(EventKind.RUN_STATE, state=RunState.RUNNING.value, started=manifest.created)
    journal.touched([manifest_key(manifest.run), fence_key(manifest.run, fence)])
    if not continued:
        for plain in (*manifest.parameters.values(), *filter(None, [manifest.code.get("package")])):
            ref = ref_from_plain(plain)
            if isinstance(ref.place, ObjectPlace):
                journal.touched([object_key(ref.digest)], ref.place.store)
    journal.sync_ahead()


def add_end(
    store: DataStore,
    journal: Journal,
    run: str,
    fence: int,
    state: RunState,
    root_cause: tuple[str, ErrorReport] | None,
) -> None:
    """Record the end: first in the store, which is the truth, then in the journal; power-durable."""
    finished = time.time()
    error = {"path": root_cause[0], "message": root_cause[1].message} if root_cause else None
    journal.touched([put_end(store, run, fence, RunEnd(state=state.value, finished=finished, error=error))])
    fields: dict[str, Any] = {"state": state.value, "finished": finished}
    if error is not None:
        fields["error"] = error
    journal.add(EventKind.RUN_STATE, **fields)
    journal.flush(wait=True)


def shown(plain: Mapping[str, Any]) -> Any:
    """A parameter as the index shows it: its value where it is small, else its size."""
    ref = ref_from_plain(plain)
    if isinstance(ref.place, InlinePlace) and ref.serializer == "json":
        return json.loads(ref.place.data)
    return f"<{ref.type or ref.serializer}, {ref.size} bytes>"


def syncer(stores: Mapping[str, DataStore], own: str) -> Callable[[set[tuple[str, str]]], None]:
    """Makes keys power-durable, each in its store; stores without the ability are durable by themselves."""

    def sync(touched: set[tuple[str, str]]) -> None:
        keys: dict[str, list[str]] = {}
        for uuid, key in touched:
            keys.setdefault(uuid or own, []).append(key)
        for uuid, found in keys.items():
            store = stores[uuid]
            if isinstance(store, SupportsAppend):
                store.sync(found)

    return sync


# -- of a run that goes on --------------------------------------------------------------------------------------------


def is_told(provider: MetadataProvider, run: str) -> bool:
    """Whether the journal tells of the run: the driver before may have been killed ahead of its first event."""
    page = provider.query(Query(kind="runs", run=run), columns=("user",))
    return bool(page.rows and page.rows[0][0])


def expected_of(provider: MetadataProvider, run: str) -> dict[str, int]:
    """How many tasks of each step the index knows to come."""
    return {step: states["expected"] for step, states in provider.counts(run).items() if "expected" in states}
