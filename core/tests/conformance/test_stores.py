"""The data stores of the core pass the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from readonly import read_only
from servers.signing import SigningServer, SigningStore, signing_server

from dovetail.interfaces.datastore import DataStore
from dovetail.local.store import LocalStore
from dovetail.testing import DataStoreConformance, MemoryStore


class TestLocalStore(DataStoreConformance):
    plugin = "dovetail"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DataStore]:
        opened = LocalStore(tmp_path / "store")
        yield opened
        opened.close()

    @pytest.fixture
    def read_only_store(self, tmp_path: Path) -> Iterator[DataStore]:
        with closing(LocalStore(tmp_path / "fixed")) as filled:
            filled.put("there", b"some bytes")
        with read_only(tmp_path / "fixed") as folder, closing(LocalStore(folder)) as opened:
            yield opened

    @pytest.fixture
    def opener(self, tmp_path: Path) -> tuple[str, ...]:
        return "dovetail.local.store:LocalStore", str(tmp_path / "store")

    def raw_put(self, store: LocalStore, key: str, data: bytes) -> None:
        (store.root / key).parent.mkdir(parents=True)
        (store.root / key).write_bytes(data)

    def raw_get(self, store: LocalStore, key: str) -> bytes:
        return (store.root / key).read_bytes()


class TestSigningStore(DataStoreConformance):
    """There is nobody whom the embedded store could name in a URL; with a server in front of it there is."""

    @pytest.fixture
    def server(self) -> Iterator[SigningServer]:
        with signing_server() as server:
            yield server

    @pytest.fixture
    def store(self, tmp_path: Path, server: SigningServer) -> Iterator[DataStore]:
        with closing(SigningStore(tmp_path / "store", server)) as opened:
            yield opened

    @pytest.fixture
    def reopen(self, tmp_path: Path, server: SigningServer) -> Iterator[Callable[[], DataStore]]:
        with ExitStack() as handles:
            yield lambda: handles.enter_context(closing(SigningStore(tmp_path / "store", server)))


class TestMemoryStore(DataStoreConformance):
    @pytest.fixture
    def store(self) -> DataStore:
        return MemoryStore()
