"""Stores of several abilities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.datastore import DataStore, DataStoreCapability
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore


class PlainStore(MemoryStore):
    """A store with no abilities beyond the abstract methods, as most remote ones."""

    capabilities = DataStoreCapability.NONE

    def append(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("not declared")

    stage = sync = copy = append


@pytest.fixture(params=["local", "plain"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    made: DataStore = LocalStore(tmp_path / "store") if request.param == "local" else PlainStore()
    yield made
    made.close()


@pytest.fixture(params=["local", "plain"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    """Another store."""
    made: DataStore = LocalStore(tmp_path / "target") if request.param == "local" else PlainStore()
    yield made
    made.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / "store")
    yield made
    made.close()
