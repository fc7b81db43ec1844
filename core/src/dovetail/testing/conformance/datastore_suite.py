"""What the parts of the data store's suite share: fixtures, the oracle, and how threads race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.datastore import DataStore, ObjectInfo
from dovetail.interfaces.errors import DovetailError
from dovetail.testing.conformance.suite import Conformance

__all__ = ["DataStoreSuite", "error_of", "got_info", "keys_of"]


class DataStoreSuite(Conformance):
    """Give a fixture `store`: an open, empty store, another one for each test.

    Give `reopen` too where `open(store.url, None, ctx)` is not enough to open it again: a function that returns
    another handle of the same store. `read_only_store` is a handle that may not write, of a store that holds the
    object `there`. `opener` tells a process of its own how to open the same store, so that writers can be killed.
    """

    interface: ClassVar[str] = "datastore"
    patience: ClassVar[float] = 5.0
    """Seconds after which what should have happened is given up."""
    raw_put: ClassVar[Callable[..., None] | None] = None
    """`def raw_put(self, store, key, data)`: writes an object without using the store (a file, the service's own
    client). Without it, what writes and reads the same wrong way is not noticed."""
    raw_get: ClassVar[Callable[..., bytes] | None] = None
    """`def raw_get(self, store, key)`: reads an object without using the store."""

    @pytest.fixture
    def store(self) -> DataStore:
        """To be overridden."""
        pytest.fail(f"{type(self).__qualname__} needs a fixture `store` that returns an open, empty data store")

    @pytest.fixture
    def reopen(self, store: DataStore, tmp_path: Path) -> Iterator[Callable[[], DataStore]]:
        """Opens further handles of `store`."""
        opened: list[DataStore] = []

        def again() -> DataStore:
            ctx = PluginContext(instance="conformance", home=tmp_path / "home")
            opened.append(type(store).open(store.url, None, ctx))
            return opened[-1]

        yield again
        for handle in opened:
            handle.close()

    @pytest.fixture
    def opener(self) -> tuple[Any, ...]:
        """How a process of its own opens the same store: a function as `module:name`, and its arguments, which JSON
        can write; to be overridden."""
        pytest.skip("there is no fixture opener")

    @pytest.fixture
    def read_only_store(self) -> DataStore:
        """A store that may be read and not written; to be overridden where there is such a thing."""
        pytest.skip("there is no fixture read_only_store")

    def put_oddly(self, store: DataStore, key: str, data: bytes) -> None:
        """Write by the oracle, where there is one."""
        if self.raw_put is None:
            store.put(key, data)
        else:
            self.raw_put(store, key, data)

    def look(self, store: DataStore, key: str) -> bytes:
        """Read by the oracle, where there is one."""
        return store.get(key).read() if self.raw_get is None else self.raw_get(store, key)


def keys_of(store: DataStore, prefix: str = "", **options: Any) -> list[str]:
    """Keys that a scan tells."""
    return [info.key for info in store.scan(prefix, **options)]


def got_info(store: DataStore, key: str) -> ObjectInfo:
    """The info that `get` gives."""
    with store.get(key) as result:
        return result.info


def error_of(action: Callable[[], Any]) -> BaseException | None:
    """What an action raises; None when it returns."""
    try:
        action()
    except DovetailError as error:
        return error
    return None
