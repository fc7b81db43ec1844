"""The data stores of the core pass the suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
    def opener(self, tmp_path: Path) -> tuple[str, ...]:
        return "dovetail.local.store:LocalStore", str(tmp_path / "store")

    def raw_put(self, store: LocalStore, key: str, data: bytes) -> None:
        (store.root / key).parent.mkdir(parents=True)
        (store.root / key).write_bytes(data)

    def raw_get(self, store: LocalStore, key: str) -> bytes:
        return (store.root / key).read_bytes()


class TestMemoryStore(DataStoreConformance):
    @pytest.fixture
    def store(self) -> DataStore:
        return MemoryStore()
