"""What SQLite reports, as errors that say what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import (
    BackendTimeoutError,
    DovetailError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)

if TYPE_CHECKING:
    import sqlite3

__all__ = ["REBUILD", "explain", "is_busy"]

REBUILD = (
    "Move the file away and run `dovetail metadata-rebuild`: it makes a new one from the data store, "
    "which holds every finished task."
)
_BUSY = ("database is locked", "database table is locked", "database schema has changed")
_DAMAGED = ("file is not a database", "malformed", "file is encrypted", "unsupported file format")
_ROOM = 1 << 20


# By message: `sqlite_errorcode` came with Python 3.11, and the texts have not changed since SQLite 3.0.
def is_busy(error: sqlite3.Error) -> bool:
    """Whether trying again may help: another connection is in the way."""
    return str(error).startswith(_BUSY)


def explain(error: sqlite3.Error, path: str) -> DovetailError:
    """The error to raise for what SQLite reported of the database at `path`."""
    text = str(error)
    if is_busy(error):
        return BackendTimeoutError(
            f"{path}: other processes kept the database locked for too long",
            hint="Look for a process that is stopped (Ctrl-Z), or raise busy_timeout of the metadata provider.",
        )
    if any(sign in text for sign in _DAMAGED):
        return StoreError(f"{path} is damaged or not a database of Dovetail ({text})", hint=REBUILD)
    # SQLite says "disk I/O error" also when its shared-memory file finds no room.
    if "is full" in text or (text.startswith("disk I/O error") and not _has_room(path)):
        return StoreFullError(
            f"can't write {path}: no space is left. Nothing that was stored before is lost.",
            hint=f"Free some space on the file system of {os.path.dirname(path)}, and do it again. What no run needs "
            "dovetail store gc deletes without any room; to delete runs takes a little.",
        )
    if "readonly database" in text or ("unable to open" in text and not _writable(path)):
        return StoreReadOnlyError(
            f"can't write {path}: the file or its folder is read-only",
            hint="Make the folder writable for this user, or set DOVETAIL_HOME to one that is.",
        )
    if "unable to open" in text:
        return StoreError(f"can't open {path}: {text}", hint="Check that the folder exists and can be read.")
    return StoreError(f"{path}: {text}", hint="Check the disk; if the file is damaged: " + REBUILD)


def _has_room(path: str) -> bool:
    try:
        status = os.statvfs(os.path.dirname(path) or ".")
    except (OSError, AttributeError):
        return True
    return status.f_bavail * status.f_frsize > _ROOM


def _writable(path: str) -> bool:
    folder = os.path.dirname(path) or "."
    return os.access(folder, os.W_OK) and (not os.path.exists(path) or os.access(path, os.W_OK))
