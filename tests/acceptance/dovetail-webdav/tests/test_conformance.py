"""Dovetail's conformance kit: what every backend of a kind must do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dovetail.interfaces.context import PluginContext
from dovetail.testing import (
    DataStoreConformance,
    PluginConformance,
)

from dovetail_webdav.datastore import WebdavDataStore
from dovetail_webdav.settings import (
    WebdavDataStoreSettings,
)

PLUGIN = "dovetail-webdav"


class TestPlugin(PluginConformance):
    plugin = PLUGIN


class TestDataStore(DataStoreConformance):
    plugin = PLUGIN

    @pytest.fixture
    def store(self, ctx: PluginContext) -> WebdavDataStore:
        return WebdavDataStore.open("", WebdavDataStoreSettings(), ctx)

    @pytest.fixture
    def reopen(self, store: WebdavDataStore, ctx: PluginContext) -> Callable[[], Any]:
        return lambda: WebdavDataStore.open(store.url, None, ctx)

    @pytest.fixture
    def read_only_store(self, store: WebdavDataStore, ctx: PluginContext) -> Any:
        store.put("there", b"some bytes")
        settings = WebdavDataStoreSettings(read_only=True)
        return WebdavDataStore.open(store.url, settings, ctx)

    def raw_get(self, store: WebdavDataStore, key: str) -> bytes:
        """Reads an object without using the store."""
        files = [path.read_bytes() for path in store.folder.iterdir()]
        pairs = [data.partition(b"\n") for data in files]
        [found] = [data for header, _, data in pairs if json.loads(header)["key"] == key]
        return found
