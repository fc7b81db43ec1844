"""webdav for Dovetail."""

from dovetail_webdav.decorators import (
    webdav_datastore,
)

__all__ = [
    "webdav_datastore",
]
