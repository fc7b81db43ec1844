"""Dovetail's conformance kit: what every backend of a kind must do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
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

PLUGIN = "dovetail-webdav"
LOGIN = (os.environ["DAV_USER"], os.environ["DAV_PASSWORD"])


class TestPlugin(PluginConformance):
    plugin = PLUGIN


class TestDataStore(DataStoreConformance):
    plugin = PLUGIN
    secrets = LOGIN[1:]

    @pytest.fixture
    def reopen(self, url: str, ctx: PluginContext) -> Iterator[Callable[..., Any]]:
        with ExitStack() as stack:

            def opened(**given: Any) -> WebdavDataStore:
                password = SecretRef(provider="env", id="DAV_PASSWORD")
                settings = WebdavDataStoreSettings(user=LOGIN[0], password=password, **given)
                return stack.enter_context(closing(WebdavDataStore.open(url, settings, ctx)))

            yield opened

    @pytest.fixture
    def store(self, reopen: Callable[..., Any]) -> Any:
        return reopen()

    @pytest.fixture
    def read_only_store(self, store: WebdavDataStore, reopen: Callable[..., Any]) -> Any:
        store.put("there", b"some bytes")
        return reopen(read_only=True)

    def raw_get(self, store: WebdavDataStore, key: str) -> bytes:
        """Reads an object without using the store."""
        members, etag = store.client.members("/objects", "infinity")[0], store.head(key).etag
        [path] = [member.path for member in members if etag in member.path]
        return httpx.get(f"{store.client.base}/objects/{path}", auth=LOGIN).content[int(etag.split("-")[2]) :]
