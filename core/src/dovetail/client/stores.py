"""The data stores of a run: which they are, how they are opened, and what of the run is read from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import ArtifactGoneError, NotFoundError

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["RunStores", "artifact_store", "manifest_of", "record_of", "records_of", "run_store"]

_FRAMES_KEPT = 64


class RunStores(Mapping[str, DataStore]):
    """The data stores that a run pins, by uuid; each is opened when first needed."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, uuid: str) -> DataStore:
        own, store = run_store(self._run)
        if uuid == own:
            return store
        pinned = self._run.manifest.stores.get(uuid)
        if pinned is None:
            from dovetail.artifacts.store_pins import read_store_pin

            pinned = read_store_pin(store, self._run.id, uuid)
        if pinned is None:
            raise KeyError(uuid)
        connection = self._run._connection
        return connection.store(uuid, pinned, hearsay=not connection.signed)

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((run_store(self._run)[0], *self._run.manifest.stores))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def run_store(run: Run) -> tuple[str, DataStore]:
    """UUID of the data store that keeps a run's records, and the store itself; looked up once for a run object.

    Raises:
        StoreError: It is not where the index, or else the settings, say.
    """
    if "store" not in run._cache:
        named = (run._row["info"] or {}).get("store")
        pinned: Mapping[str, Any] = named if isinstance(named, dict) else {}
        uuid = str(pinned.get("uuid") or (named if isinstance(named, str) else ""))
        connection = run._connection
        run._cache["store"] = (uuid, connection.store(uuid, pinned)) if uuid else connection.default_store()
    found: tuple[str, DataStore] = run._cache["store"]
    return found


def artifact_store(run: Run) -> ArtifactStore:
    """Loads the artifacts of a run."""
    if "artifacts" not in run._cache:
        from dovetail.client.loading import RunArtifacts

        run._cache["artifacts"] = RunArtifacts(run, RunStores(run), default=run_store(run)[0])
    found: ArtifactStore = run._cache["artifacts"]
    return found


def manifest_of(run: Run) -> RunManifest:
    """`run.json` of a run.

    Raises:
        ArtifactGoneError: The store does not have the run.
    """
    if "manifest" not in run._cache:
        from dovetail.artifacts.manifest import read_manifest

        _, store = run_store(run)
        try:
            run._cache["manifest"] = read_manifest(store, run.id)
        except NotFoundError as error:
            raise ArtifactGoneError(
                f"run {run.pathspec} is in the metadata, but not in the data store {store.url}",
                hint="Its records were deleted, or settings name another store than the run was started with.",
            ) from error
    found: RunManifest = run._cache["manifest"]
    return found


def records_of(run: Run) -> Iterator[CommitRecord]:
    """Commit records of a run, one for each task that is committed: of several at a path, the one in the index."""
    from dovetail.artifacts.segments import read_records

    uuid, store = run_store(run)
    return read_records(store, run.id, uuid=uuid)


def record_of(task: Task) -> CommitRecord:
    """The commit record of a task. The records that were written together are read together, and kept.

    Raises:
        ArtifactGoneError: The task has none, or its run was deleted.
    """
    from dovetail.artifacts.segments import find_record, read_frame_records

    run = task.run
    uuid, store = run_store(run)
    text = task._column("record")
    if text:
        key, frame = json.loads(text)
        frames: dict[tuple[str, int], dict[str, CommitRecord]] = run._cache.setdefault("frames", {})
        found = frames.get((key, frame))
        if found is None:
            if len(frames) >= _FRAMES_KEPT:
                frames.clear()
            read = read_frame_records(store, run.id, key, frame, uuid=uuid)
            found = frames[key, frame] = {record.path: record for record in read}
        if task.path in found:
            return found[task.path]
    record = find_record(store, run.id, task.path, b"", uuid=uuid)
    if record is None:
        raise ArtifactGoneError(f"task {task.pathspec} has no commit record in {store.url}")
    return record
