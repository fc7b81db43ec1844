"""Which run is meant where none is named: the newest that needs to be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.manifest import read_manifest
from dovetail.interfaces.errors import NotFoundError, SignatureError, UsageError
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["newest_unfinished"]


def newest_unfinished(
    provider: MetadataProvider, store: DataStore, *, flow: str | None, file: Path | None
) -> tuple[str, str | None]:
    """(run, its state in the index) of the newest run that has not succeeded.

    Args:
        provider: Where runs are listed.
        store: The runs' data store.
        flow: Only a run of the flow of this name.
        file: Only a run that was started from this file.

    Raises:
        UsageError: There is none, or it was resumed by a run that has succeeded.
    """
    meant: tuple[str, str] | None = None
    for run, state, by in _unfinished(provider, store, flow, file):
        if meant is None and by is None:
            return run, state
        if meant is None:
            assert by is not None
            meant = run, by
        elif by is None:
            raise _resumed_already(*meant, older=run)
    if meant is not None:
        raise _resumed_already(*meant, older=None)
    whose = flow or (file.name if file else "")
    raise UsageError(
        f"there is no run to resume: all{f' of {whose}' if whose else ''} have succeeded",
        hint="dovetail runs lists them; dovetail resume RUN --from STEP runs a part again.",
    )


def _unfinished(
    provider: MetadataProvider, store: DataStore, flow: str | None, file: Path | None
) -> Iterator[tuple[str, str | None, str | None]]:
    """(run, state, the succeeded run that resumed it or one that did) of those that have not succeeded, newest first:
    what resumes a run is newer than that."""
    resumed: dict[str, str] = {}
    cursor = None
    while True:
        page = provider.query(
            Query(kind="runs", flow=flow, limit=100, cursor=cursor), columns=("run", "state", "info", "origin")
        )
        for run, state, info, origin in page.rows:
            by = run if state == RunState.SUCCEEDED.value else resumed.get(run)
            if by is not None and origin:
                resumed.setdefault(origin, by)
            if state == RunState.SUCCEEDED.value:
                continue
            if file is None or _file_of(store, run, info) == str(file):
                yield run, state, by
        if page.cursor is None:
            return
        cursor = page.cursor


def _resumed_already(run: str, by: str, *, older: str | None) -> UsageError:
    hint = f"To resume it anyway, name it: dovetail resume {run}"
    if older is not None:
        hint += f". The newest that was not resumed is older: dovetail resume {older}"
    return UsageError(f"run {run}, the newest that has not succeeded, was resumed successfully as {by}", hint=hint)


def _file_of(store: DataStore, run: str, info: Any) -> str | None:
    if isinstance(info, Mapping) and "file" in info:
        return str(info["file"])
    try:
        return str(read_manifest(store, run).info.get("file"))
    except (NotFoundError, SignatureError):
        return None
