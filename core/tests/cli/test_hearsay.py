"""Data stores that only another store names: in safe and signed mode they are not opened as that one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from seed import Seed, trained
from shell import Shell

from dovetail.artifacts.guests import put_guest
from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.store_pins import put_store_pin
from dovetail.client import Client
from dovetail.client.stores import RunStores
from dovetail.interfaces.errors import PluginNotFoundError, StoreError
from dovetail.local.store import LocalStore

ELSEWHERE = "0a1b2c3d-0000-4000-8000-000000000000"
PIN = {"backend": "elsewhere", "url": "elsewhere://host/steals", "settings": {"token": {"secret": "env:HOME"}}}


@pytest.fixture
def other(tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A store in another folder: its uuid, and how it is opened."""
    store = LocalStore(tmp_path / "other")
    return open_store(store), {"backend": "local", "url": store.url, "target": store.url}


def test_a_client_in_safe_mode(seed: Seed, tmp_path: Path, other: tuple[str, dict[str, Any]]) -> None:
    run = trained(seed)
    put_store_pin(seed.store, run.id, ELSEWHERE, PIN)
    put_store_pin(seed.store, run.id, *other)
    with Client(seed.home, safe=True) as client:
        stores = RunStores(client.run(run.id))
        with pytest.raises(
            StoreError, match=f"the data store {ELSEWHERE} is not opened: only another store says"
        ) as no:
            stores[ELSEWHERE]
        assert "elsewhere://host/steals" in no.value.message
        assert "in safe mode" in no.value.message
        assert "[tool.dovetail.datastore.NAME]" in str(no.value.hint)
        assert stores[other[0]].url == other[1]["url"]  # a folder harms nobody
    with Client(seed.home) as client, pytest.raises(PluginNotFoundError):
        RunStores(client.run(run.id))[ELSEWHERE]


def test_what_settings_name_is_opened(
    seed: Seed, tmp_path: Path, other: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(seed)
    put_store_pin(seed.store, run.id, other[0], PIN)  # whatever the store says
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dovetail.toml").write_text(f'[datastore.other]\nuse = "local"\ntarget = "{tmp_path / "other"}"\n')
    with Client(seed.home, safe=True) as client:
        assert RunStores(client.run(run.id))[other[0]].url == other[1]["url"]


def test_collectors_in_signed_and_safe_mode(
    seed: Seed, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(seed)
    put_guest(seed.store, ELSEWHERE, PIN)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.key").write_text("k" * 40)
    signed = '[artifacts]\nsigned = true\nsigning_key = {secret = "file:store.key"}\n'
    for mode, settings in ("safe", '[artifacts]\nload = "safe"\n'), ("signed", signed):
        (tmp_path / "dovetail.toml").write_text(settings)
        for verb in "gc", "verify", "du":
            shell("store", verb, code=4)
            assert f"the data store {ELSEWHERE} is not opened" in shell.err
            assert f"in {mode} mode" in shell.err
            assert f"--without {ELSEWHERE}" in shell.err
        assert "kept" in shell("store", "gc", "--without", ELSEWHERE)
