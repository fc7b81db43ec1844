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
def test_nothing_needs_to_be_set(kind: str, tmp_path: Path) -> None:
    backend = opened(kind, tmp_path)
    assert repr(backend).startswith("Webdav")
    backend.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_setting_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="colour"):
        opened(kind, tmp_path, colour="red")


def test_objects_are_kept_in_the_folder(tmp_path: Path) -> None:
    store = opened("datastore", tmp_path, folder=str(tmp_path / "there"))
    store.put("a/b", b"bytes")
    assert store.url == f"webdav://{tmp_path / 'there'}"
    assert len(list((tmp_path / "there").iterdir())) == 1


def test_a_read_only_store_refuses_to_write(tmp_path: Path) -> None:
    store = opened("datastore", tmp_path, folder=str(tmp_path), read_only=True)
    with pytest.raises(PermissionDeniedError, match="read_only"):
        store.put("k", b"x")


def test_the_data_store_decorator_stores_what_is_written() -> None:
    use = webdav_datastore(read_only=True).use
    assert (use.kind, use.name, use.options) == ("datastore", "webdav", {"read_only": True})
