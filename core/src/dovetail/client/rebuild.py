"""Rebuilds the index of runs from the data stores, which hold the truth.

Not in a data store, and so not restored by it: tags that were changed after a run's start (they are taken over from
the old database where that can be read), signals and other requests that no driver took in, notes, and tasks that left
neither a record nor a report because they were running, cancelled or only planned.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.client.homes import NamedStore
from dovetail.client.restored import RestoredRun, restore_run, run_ids
from dovetail.interfaces.errors import (
    BackendError,
    DovetailError,
    NotFoundError,
    PluginError,
    StoreError,
)
from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.settings import Selection, Settings

__all__ = ["Rebuilt", "rebuild"]

_BATCH = 5000
"""Events that are appended at once."""


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild did."""

    stores: list[str] = field(default_factory=list)
    """URLs of the data stores that were read."""
    runs: int = 0
    """Runs that were restored from them."""
    tasks: int = 0
    """Tasks of these."""
    kept: int = 0
    """Runs taken over from the old database, since no data store at hand has them."""
    tags: int = 0
    """Runs whose tags were taken over from the old database."""
    aside: Path | None = None
    """Where the old database is now; None when there was none."""
    tags_lost: bool = False
    """Whether there was an old database whose tags could not be read."""
    failed: list[str] = field(default_factory=list)
    """Runs and stores that could not be restored, and why."""
    problems: list[str] = field(default_factory=list)
    """What was left out of runs that were restored."""


def rebuild(settings: Settings, *, progress: Callable[[], None] = lambda: None) -> Rebuilt:
    """Rebuild the index of runs.

    A new database is made beside the old one and takes its place when it is whole; the old one is kept under another
    name. A provider that is no file of this machine keeps what it has, and gets the runs that it lacks.

    Args:
        settings: Which metadata and data stores.
        progress: Called after each run.

    Raises:
        StoreError: A run is being driven, or no data store can be read. Nothing was changed.
    """
    done = Rebuilt()
    stores = _stores(settings, done)
    if not stores:
        raise StoreError("no data store can be read, so nothing was changed", hint="\n  ".join(done.failed) or None)
    selection = settings.select("metadata")
    file = _file_of(settings, selection)
    if file is None:
        provider: MetadataProvider = settings.open(selection)
        try:
            _add_missing(provider, stores, done, progress)
        finally:
            provider.close()
        return done
    with _opened_if_readable(settings, selection, file, done) as old:
        _check_idle(old)
        temporary = file.with_name(f"{file.name}.{os.urandom(4).hex()}.rebuilding")
        try:
            new: MetadataProvider = settings.open(replace(selection, target=str(temporary)))
            try:
                _restore(new, old, stores, done, progress)
            finally:
                new.close()
            _check_idle(old)
        except BaseException:
            for leftover in (temporary, *_beside(temporary)):
                leftover.unlink(missing_ok=True)
            raise
    done.aside = _swap(temporary, file)
    return done


# -- what there is ----------------------------------------------------------------------------------------------------


def _stores(settings: Settings, done: Rebuilt) -> dict[str, NamedStore]:
    """Every configured data store that holds something, by uuid."""
    from dovetail.artifacts.manifest import read_marker
    from dovetail.settings import Settings as Loaded

    found: dict[str, NamedStore] = {}
    env = {**os.environ, "DOVETAIL_HOME": str(settings.home)}
    for name in (None, *settings.instances("datastore")):
        try:
            chosen = settings if name is None else Loaded.load(settings.cwd, env, settings.profile, datastore=name)
            selection = chosen.select("datastore")
            store: DataStore = chosen.open(selection)
            if (signing := settings.core.artifacts.signing) is not None:
                from dovetail.artifacts.signed_store import signed_store

                store = signed_store(store, signing, settings.home)
        except (PluginError, BackendError, StoreError) as error:
            done.failed.append(f"data store {name or 'by default'}: {error.message}")
            continue
        try:
            uuid = read_marker(store).uuid
        except NotFoundError:
            store.close()
            continue
        except (BackendError, StoreError) as error:
            done.failed.append(f"data store {store.url}: {error.message}")
            store.close()
            continue
        if uuid in found:
            store.close()
        else:
            found[uuid] = NamedStore(uuid=uuid, store=store, pin={"url": store.url, **selection.to_plain()})
            done.stores.append(store.url)
    return found


def _file_of(settings: Settings, selection: Selection) -> Path | None:
    """The database file of the embedded provider; None for any other."""
    if selection.backend != "sqlite":
        return None
    where = selection.target or str(selection.settings.get("path") or "")
    if where.startswith("sqlite:"):
        where = "/" + where[len("sqlite:") :].lstrip("/")
    if where:
        return Path(os.path.expanduser(where)).absolute()
    home = settings.home if selection.instance == "sqlite" else settings.home / selection.instance
    return home / "metadata.db"


@contextlib.contextmanager
def _opened_if_readable(
    settings: Settings, selection: Selection, file: Path, done: Rebuilt
) -> Iterator[MetadataProvider | None]:
    """The old provider; None when there is none, or none that can be read."""
    if not file.exists():
        yield None
        return
    try:
        old: MetadataProvider = settings.open(selection)
        old.query(Query(kind="runs", limit=1))
    except DovetailError as error:
        done.tags_lost = True
        done.problems.append(f"the old database can't be read: {error.message}")
        yield None
        return
    try:
        yield old
    finally:
        old.close()


def _check_idle(old: MetadataProvider | None) -> None:
    """Raise while a driver writes to the database: it would go on with the old one."""
    driven = [] if old is None else [lease.name.removeprefix("run:") for lease in old.leases("run:")]
    if driven:
        raise StoreError(
            f"the index can't be rebuilt while runs are driven: {', '.join(driven)}",
            hint="Wait for them to end, or stop them with: dovetail cancel RUN",
        )


# -- the new one ------------------------------------------------------------------------------------------------------


def _restore(
    new: MetadataProvider,
    old: MetadataProvider | None,
    stores: dict[str, NamedStore],
    done: Rebuilt,
    progress: Callable[[], None],
) -> None:
    """Fill an empty provider from the stores, and with what only the old one knows."""
    tags = _old_tags(old, done)
    restored: set[str] = set()
    for place in stores.values():
        for run in run_ids(place.store):
            found = None if run in restored else _read(place, run, done)
            if found is None:
                continue
            _write(new, found, done)
            restored.add(run)
            _keep_tags(new, found, tags.get(run), done)
            progress()
    if old is not None:
        for run in tags:
            if run not in restored:
                _copy(old, new, run, done)
                progress()


def _add_missing(
    provider: MetadataProvider, stores: dict[str, NamedStore], done: Rebuilt, progress: Callable[[], None]
) -> None:
    """Add the runs that a provider lacks."""
    for place in stores.values():
        for run in run_ids(place.store):
            if not provider.query(Query(kind="runs", run=run, limit=1), columns=("run",)).rows:
                found = _read(place, run, done)
                if found is not None:
                    _write(provider, found, done)
            progress()


def _read(place: NamedStore, run: str, done: Rebuilt) -> RestoredRun | None:
    try:
        return restore_run(place, run)
    except NotFoundError as error:
        done.failed.append(f"run {run} in {place.store.url} has no run.json: {error.message}")
    except (StoreError, BackendError) as error:
        done.failed.append(f"run {run} in {place.store.url}: {error.message}")
    return None


def _write(new: MetadataProvider, found: RestoredRun, done: Rebuilt) -> None:
    new.create_run(found.flow, run_id=found.run, created=found.created)
    for at in range(0, len(found.events), _BATCH):
        new.append(found.run, found.events[at : at + _BATCH], fence=found.fence)
    if found.inbox:
        new.append(found.run, found.inbox)
    done.runs += 1
    done.tasks += found.tasks
    done.problems += found.problems


# -- what only the old database knows ---------------------------------------------------------------------------------


def _old_tags(old: MetadataProvider | None, done: Rebuilt) -> dict[str, list[str]]:
    """Run → user tags, of every run of the old database that can be read, oldest first."""
    tags: dict[str, list[str]] = {}
    if old is None:
        return tags
    cursor: str | None = None
    try:
        while True:
            query = Query(kind="runs", limit=200, cursor=cursor, oldest_first=True)
            page = old.query(query, columns=("run", "tags"))
            tags.update((run, list(found or ())) for run, found in page.rows)
            cursor = page.cursor
            if cursor is None:
                return tags
    except DovetailError as error:
        done.tags_lost = True
        done.problems.append(f"the old database is damaged; tags of {len(tags)} runs could be read: {error.message}")
        return tags


def _keep_tags(new: MetadataProvider, found: RestoredRun, tags: list[str] | None, done: Rebuilt) -> None:
    """Give a run the tags that the old database has of it."""
    if tags is None or set(tags) == set(found.tags):
        return
    add, remove = sorted(set(tags) - set(found.tags)), sorted(set(found.tags) - set(tags))
    data = {"add": add, "remove": remove}
    new.append(found.run, [Event(f"rebuild-{os.urandom(8).hex()}", 1, EventKind.TAG, time.time(), "", data)])
    done.tags += 1


def _copy(old: MetadataProvider, new: MetadataProvider, run: str, done: Rebuilt) -> None:
    """Take a run over as the old database has it."""
    try:
        rows: list[tuple[Any, ...]] = old.query(
            Query(kind="runs", run=run, limit=1), columns=("flow", "created", "info")
        ).rows
        events = list(old.read(run))
    except DovetailError as error:
        done.failed.append(f"run {run} is in no data store at hand, and damaged in the old database: {error.message}")
        return
    flow, created, info = rows[0]
    new.create_run(flow, run_id=run, created=created)
    for at in range(0, len(events), _BATCH):
        new.append(run, events[at : at + _BATCH], fence=int((info or {}).get("fence", 0)))
    done.kept += 1


# -- taking its place -------------------------------------------------------------------------------------------------


def _beside(file: Path) -> list[Path]:
    """What SQLite keeps beside a database."""
    return [file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _swap(new: Path, file: Path) -> Path | None:
    """Put the new database in the place of the old one, which is kept; where it is.

    A write-ahead log of the old one would be applied to the new one, so it goes first.
    """
    aside: Path | None = None
    if file.exists():
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = file.with_name(f"{file.name}.{stamp}.old")
        count = 1
        while aside.exists():
            count += 1
            aside = file.with_name(f"{file.name}.{stamp}-{count}.old")
        try:
            os.link(file, aside)
        except OSError:  # no hard links here
            file.rename(aside)
        for beside, kept in zip(_beside(file), _beside(aside), strict=True):
            if beside.exists():
                beside.rename(kept)
    new.replace(file)
    return aside
