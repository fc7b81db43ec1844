"""Settings: each field is a key of the settings files, an environment variable, and an option of the decorator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

__all__ = [
    "WebdavDataStoreSettings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebdavDataStoreSettings:
    """Of the data store."""

    folder: Annotated[str, "where objects are kept, if no URL says so; by default beside the other state of runs"] = ""
    read_only: Annotated[bool, "refuse to write"] = False
