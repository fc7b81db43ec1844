"""Opens the data stores of a run, each when a value first needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import ArtifactGoneError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.workers import RunFacts

__all__ = ["RunStores"]


class RunStores(Mapping[str, "DataStore"]):
    """The data stores that a run pins: uuid → store, opened at the first look-up and kept. Thread-safe."""

    def __init__(self, facts: RunFacts) -> None:
        self._pins = facts.stores
        self._run, self._own = facts.run, str(facts.settings.get("store", ""))
        self._signing: Any = facts.settings.get("signing")
        self._home = Path(facts.home) if facts.home else Path.cwd() / ".dovetail"
        self._open: dict[str, Any] = {}

    def __getitem__(self, uuid: str) -> DataStore:
        store: DataStore | None = self._open.get(uuid)
        if store is None:
            pin = self._pins.get(uuid) or self._pin_of_call(uuid)
            if pin is None:
                raise ArtifactGoneError(
                    f"a value lies in the data store {uuid}, which this run does not know",
                    hint="The run that wrote it used another data store; open it as an instance of this project.",
                )
            from dovetail.plugins.opening import open_backend

            self._check_plugins(pin)
            opened: DataStore = open_backend("datastore", pin, home=self._home)
            if self._signing is not None:
                from dovetail.artifacts.signed_store import signed_store

                opened = signed_store(opened, self._signing, self._home)
            store = self._open.setdefault(uuid, opened)
            assert store is not None
        return store

    def _pin_of_call(self, uuid: str) -> Mapping[str, Any] | None:
        """How a data store is opened that the run came to use when a task was called."""
        if self._own not in self._pins or uuid == self._own:
            return None
        from dovetail.artifacts.store_pins import read_store_pin

        return read_store_pin(self[self._own], self._run, uuid)

    def _check_plugins(self, pin: Mapping[str, Any]) -> None:
        """Refuse another plugin than the one that the run came to use with this store."""
        if pinned := pin.get("plugins"):
            from dovetail.plugins.closure import check_closure

            check_closure(pinned, missing=True, asker=f"a worker of run {self._run}")

    def is_open(self, uuid: str) -> bool:
        """Whether a store is open already."""
        return uuid in self._open

    def open_before_fork(self) -> None:
        """Open those stores that children may share: the built-in one for local files is paths and no more.

        Of any other backend a client may hold threads, locks or connections, which no fork carries over.
        """
        from dovetail.interfaces.errors import DovetailError

        for uuid, pin in self._pins.items():
            if pin.get("backend") == "local":
                try:
                    self[uuid]
                except (DovetailError, OSError):  # the task that needs the store says it, with its own name
                    continue

    def __iter__(self) -> Iterator[str]:
        return iter(self._pins)

    def __len__(self) -> int:
        return len(self._pins)

    def __contains__(self, uuid: object) -> bool:
        return uuid in self._pins
