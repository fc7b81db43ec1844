"""Settings: each field is a key of the settings files, an environment variable, and an option of the decorator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dovetail.interfaces.context import SecretRef

__all__ = [
    "WebdavDataStoreSettings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebdavDataStoreSettings:
    """Of the data store."""

    url: Annotated[str, "where objects are kept, if the run's target does not say so: webdav[s]://host/path"] = ""
    user: Annotated[str, "who asks"] = ""
    password: Annotated[SecretRef | None, "with which password"] = None
    read_only: Annotated[bool, "refuse to write"] = False
