"""Settings: as users write them, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dovetail.interfaces.errors import PermissionDeniedError, SettingsError
from dovetail.plugins import open_backend

from dovetail_webdav import (
    webdav_datastore,
)

KINDS = ["datastore"]


def opened(kind: str, tmp_path: Path, **settings: Any) -> Any:
    """The backend that a run would open, without retries around it."""
    pinned = {"backend": "webdav", "settings": settings}
    return open_backend(kind, pinned, home=tmp_path / "home", bare=True)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_setting_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="colour"):
        opened(kind, tmp_path, colour="red")


def test_it_needs_a_url_without_a_user(tmp_path: Path) -> None:
    for url in ("", "webdav://", "http://host/x", "webdav://ada:pw@host/x"):
        with pytest.raises(SettingsError, match=r"webdav\[s\]://host/path"):
            opened("datastore", tmp_path, url=url)


def test_who_is_not_known_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="401"):
        opened("datastore", tmp_path, url=url, user="eve")


def test_the_data_store_decorator_stores_what_is_written() -> None:
    use = webdav_datastore(read_only=True).use
    assert (use.kind, use.name, use.options) == ("datastore", "webdav", {"read_only": True})
