"""Settings of the embedded backends."""

from __future__ import annotations

from typing import Annotated, Literal

from dovetail.interfaces.dataclass import dataclass

__all__ = ["HostSettings", "LocalStoreSettings", "SqliteSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStoreSettings:
    """Settings of the `local` data store."""

    path: Annotated[str, "Folder of the store; empty: a folder named after the instance below DOVETAIL_HOME."] = ""
    """Folder of the store, a path or `file://` URL; `~` is the user's home. A target that is given wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteSettings:
    """Settings of the `sqlite` metadata provider."""

    path: Annotated[str, "Database file; empty: metadata.db in DOVETAIL_HOME."] = ""
    """Database file; `~` is the user's home. A target that is given wins."""
    busy_timeout: Annotated[float, "Seconds to wait for other writers before giving up."] = 60.0
    """Seconds to wait for other processes that write before an error is raised."""
    journal: Annotated[
        Literal["auto", "wal", "truncate"],
        "Journal mode of a new database; auto: wal, or truncate on a network file system, where wal is unsafe.",
    ] = "auto"
    """Journal mode of a new database. Write-ahead logs need memory that all processes share, so not NFS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Settings of the `host` environment."""

    record_packages: Annotated[bool, "Whether a run records the names and versions of installed packages."] = True
    """Whether a lock's report lists the installed packages. They never count in the environment's id."""
