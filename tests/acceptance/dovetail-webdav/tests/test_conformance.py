"""Dovetail's conformance kit: what every backend of a kind must do."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.testing import (
    DataStoreConformance,
    PluginConformance,
)

from dovetail_webdav.datastore import WebdavDataStore
from dovetail_webdav.settings import (
    WebdavDataStoreSettings,
)
from server import PASSWORD, USER

PLUGIN = "dovetail-webdav"


class TestPlugin(PluginConformance):
    plugin = PLUGIN


class TestDataStore(DataStoreConformance):
    plugin = PLUGIN
    secrets = (PASSWORD,)

    @pytest.fixture
    def opened(self, url: str, ctx: PluginContext) -> Iterator[Callable[..., WebdavDataStore]]:
        with ExitStack() as stack:

            def open_store(**settings: Any) -> WebdavDataStore:
                given = WebdavDataStoreSettings(user=USER, password=SecretRef(provider="env", id="X"), **settings)
                store = WebdavDataStore.open(url, given, ctx)
                stack.callback(store.close)
                return store

            yield open_store

    @pytest.fixture
    def store(self, opened: Callable[..., WebdavDataStore]) -> WebdavDataStore:
        return opened()

    @pytest.fixture
    def reopen(self, store: WebdavDataStore, opened: Callable[..., WebdavDataStore]) -> Callable[[], Any]:
        return opened

    @pytest.fixture
    def read_only_store(self, store: WebdavDataStore, opened: Callable[..., WebdavDataStore]) -> Any:
        store.put("there", b"some bytes")
        return opened(read_only=True)

    def raw_get(self, store: WebdavDataStore, key: str) -> bytes:
        """Reads an object without using the store."""
        members = store.client.members("/objects", "infinity")[0]
        [path] = [member.path for member in members if member.path.startswith(_name(key)) and member.size >= 0]
        body = httpx.get(f"{store.client.base}/objects/{path}", auth=(USER, PASSWORD)).content
        return body[int(path.split("-")[2]) :]


def _name(key: str) -> str:
    return "k" + b32encode(key.encode()).decode().rstrip("=").lower() + "/"
