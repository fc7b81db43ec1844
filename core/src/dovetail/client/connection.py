"""The opened backends behind client objects: one metadata provider, and the data stores that runs name."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.clock import clock
from dovetail.interfaces.errors import NotFoundError, StoreError, UnknownNameError
from dovetail.interfaces.events import Event

if TYPE_CHECKING:
    from types import EllipsisType

    from dovetail.artifacts.serializers import SerializerRegistry
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.settings import Settings

__all__ = ["Connection", "default_connection"]


class Connection:
    """Backends of one home, opened when first needed. Thread-safe; a copy in another process opens its own.

    Args:
        home: Folder of local state; None: what settings say.
        profile: Settings profile; None: what settings say.
        cwd: Where settings are looked for; None: the working directory, as it is now.
        metadata: Instance of the metadata provider; None: what settings say.
        datastore: Instance or URL of the data store; None: what settings say.
        namespace: What is listed; `...`: the namespace of the process.
        safe: Whether values are refused whose loading can run code.
        provider: An open provider, in place of the one that settings select. Such a connection can't be pickled.
        stores: Open data stores by uuid, in place of those that settings and runs name.
    """

    def __init__(
        self,
        *,
        home: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        metadata: str | None = None,
        datastore: str | None = None,
        namespace: str | EllipsisType | None = ...,
        safe: bool = False,
        provider: MetadataProvider | None = None,
        stores: Mapping[str, DataStore] | None = None,
    ) -> None:
        self._home = None if home is None else Path(home).absolute()
        self._profile = profile
        self._cwd = Path(cwd or ".").absolute()
        self._metadata = metadata
        self._datastore = datastore
        self._namespace = namespace
        self.safe = safe
        """Whether values are refused whose loading can run code."""
        self._given_provider = provider
        self._given_stores = stores
        self._begin()

    def _begin(self) -> None:
        """Nothing is open."""
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._provider = self._given_provider
        self._settings: Settings | None = None
        self._stores: dict[str, DataStore] = dict(self._given_stores or {})
        self._default: tuple[str, DataStore] | None = None
        self._writer = ""
        self._events = 0
        self._opened: list[MetadataProvider | DataStore] = []
        self._finalizer = weakref.finalize(self, _close, self._opened, self._pid)

    def _mine(self) -> None:
        """Begin anew in a process that was forked: it must use nothing of its parent's, and not even close it."""
        if self._pid != os.getpid():
            _inherited.append(self._opened)
            self._finalizer.detach()
            self._begin()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._given_provider is not None or self._given_stores is not None:
            raise TypeError("a client over open backends can't be pickled; make it with home= instead")
        args = (self._home, self._profile, self._cwd, self._metadata, self._datastore, self._namespace, self.safe)
        return _unpickled, args

    def close(self) -> None:
        """Close what was opened here. Idempotent; what is used afterwards is opened again."""
        self._mine()
        with self._lock:
            self._finalizer()
            self._begin()

    # -- backends -------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The layered settings, read once."""
        self._mine()
        with self._lock:
            if self._settings is None:
                from dovetail.settings import Settings

                env = dict(os.environ)
                if self._home is not None:
                    env["DOVETAIL_HOME"] = str(self._home)
                self._settings = Settings.load(
                    cwd=self._cwd,
                    env=env,
                    profile=self._profile,
                    metadata=self._metadata,
                    datastore=self._datastore,
                )
            return self._settings

    def load_policy(self) -> dict[str, Any]:
        """How an `ArtifactStore` shall load values: what the caller and what settings want, the stricter."""
        if self._given_provider is not None:
            return {"safe": self.safe}
        policy = self.settings.core.artifacts.policy
        return {**policy, "safe": self.safe or policy["safe"]}

    @property
    def signed(self) -> bool:
        """Whether only what a trusted key has signed is read."""
        return self._given_provider is None and self.settings.core.artifacts.signed

    def checked(self, store: DataStore) -> DataStore:
        """A store as settings have it read: what is not signed is not given out, where they ask for it."""
        signing = self.settings.core.artifacts.signing
        if signing is None:
            return store
        from dovetail.artifacts.signed_store import signed_store

        return signed_store(store, signing, self.settings.home)

    @property
    def provider(self) -> MetadataProvider:
        """The metadata provider.

        Raises:
            UnknownNameError: The home does not exist. Looking must not make one: it would be found by later runs.
        """
        if self._provider is None or self._pid != os.getpid():
            self._mine()
            with self._lock:
                if self._provider is None:
                    if self.empty:
                        raise UnknownNameError(
                            f"nothing has run yet in {self.settings.home}",
                            hint="Start a run with: dovetail run FLOW.py, or set DOVETAIL_HOME to where one ran.",
                        )
                    self._provider = self.settings.open(self.settings.select("metadata"))
                    self._opened.append(self._provider)
        assert self._provider is not None
        return self._provider

    @property
    def empty(self) -> bool:
        """Whether nothing can have run: the home does not exist, and the metadata would be in it."""
        if self._provider is not None or self.settings.home.exists():
            return False
        return all(source == "default" for source in self.settings.select("metadata").sources.values())

    def store(self, uuid: str, pinned: Mapping[str, Any], *, hearsay: bool = False) -> DataStore:
        """The data store of this uuid.

        Args:
            uuid: Which.
            pinned: How it is opened, as a run pins it; empty: it can only be the configured one.
            hearsay: Whether only another data store says so, and nobody has signed it. Where stores are not trusted,
                in safe or signed mode, it is then opened as settings say, unless it is a folder.

        Raises:
            StoreError: What is there is another store, or none; or nobody who is trusted says where it is.
        """
        self._mine()
        with self._lock:
            found = self._stores.get(uuid)
            if found is not None:
                return found
            if not pinned.get("backend"):
                return self._configured(uuid)
            from dovetail.artifacts.store_pins import is_harmless
            from dovetail.plugins.opening import open_backend

            if hearsay and (self.signed or self.load_policy()["safe"]) and not is_harmless(pinned):
                try:
                    return self._configured(uuid)
                except StoreError as error:
                    mode = "signed" if self.signed else "safe"
                    raise StoreError(
                        f"the data store {uuid} is not opened: only another store says that it is {pinned.get('url')}, "
                        f"and in {mode} mode it is not taken at its word",
                        hint="If you trust that place, configure an instance for it: [tool.dovetail.datastore.NAME].",
                    ) from error

            opened: DataStore = open_backend("datastore", pinned, home=self.settings.home)
            actual = _uuid_of(opened)
            if actual != uuid:
                opened.close()
                raise StoreError(
                    f"the data store {uuid} is needed, but {opened.url} {f'is {actual}' if actual else 'holds none'}",
                    hint="Bring the store back to where it was, or look at the run with its own DOVETAIL_HOME.",
                )
            return self._keep(uuid, opened)

    def _keep(self, uuid: str, store: DataStore) -> DataStore:
        store = self.checked(store)
        self._opened.append(store)
        self._stores[uuid] = store
        return store

    def _configured(self, uuid: str) -> DataStore:
        """The data store of this uuid among the default one and the named instances."""
        default, store = self.default_store()
        if default == uuid:
            return store
        from dovetail.plugins.opening import open_backend
        from dovetail.settings import Settings

        settings = self.settings
        env = {**os.environ, "DOVETAIL_HOME": str(settings.home)}
        for name in settings.instances("datastore"):
            chosen = Settings.load(self._cwd, env, self._profile, datastore=name).select("datastore")
            opened: DataStore = open_backend("datastore", chosen.to_plain(), home=settings.home)
            if _uuid_of(opened) == uuid:
                return self._keep(uuid, opened)
            opened.close()
        raise StoreError(
            f"the data store {uuid} is needed, but {store.url} is {default}, and no configured one is it",
            hint="Name it with --datastore, or point the data store setting at where the run was started with.",
        )

    def default_store(self) -> tuple[str, DataStore]:
        """The configured data store and its uuid.

        Raises:
            StoreError: Nothing was ever stored there.
        """
        self._mine()
        with self._lock:
            if self._default is None:
                if self._given_stores is not None and len(self._given_stores) == 1:
                    self._default = next(iter(self._given_stores.items()))
                else:
                    settings = self.settings
                    store: DataStore = settings.open(settings.select("datastore"))
                    uuid = _uuid_of(store)
                    if not uuid:
                        store.close()
                        raise StoreError(f"{store.url} holds no data store yet")
                    self._default = uuid, self._keep(uuid, store)
            return self._default

    def serializers(self) -> SerializerRegistry:
        """The built-in serializers and those of plugins."""
        from dovetail.artifacts.serializers import SerializerRegistry

        return SerializerRegistry(extra=self.settings.registry.serializers())

    @property
    def where(self) -> str:
        """Where the metadata is, for messages."""
        return str(self._home or "metadata") if self._given_provider is not None else str(self.settings.home)

    @property
    def namespace(self) -> str | None:
        """Whose runs are listed; None: everybody's."""
        if self._namespace is ...:
            from dovetail.client.namespaces import get_namespace

            return get_namespace()
        return self._namespace

    # -- runs that go on ------------------------------------------------------------------------------------------

    def live_runs(self, run: str = "") -> set[str]:
        """Runs whose driver holds its lease: of all, or whether this one does."""
        prefix = f"run:{run}"
        return {lease.name[len("run:") :] for lease in self.provider.leases(prefix)}

    def append(self, run: str, kind: str, *, once: str = "", **data: Any) -> int:
        """Append an inbox event to a run's journal; its sequence number. Power-durable when it returns.

        Args:
            run: Run id.
            kind: Of the inbox.
            once: Names the event: appended again under this name it changes nothing.
            data: Of the event.

        Raises:
            NotFoundError: There is no such run.
        """
        provider = self.provider
        if once:
            return provider.append(run, [Event(once, 1, kind, clock().time(), "", data)])
        with self._lock:
            if not self._writer:
                self._writer = f"client-{os.urandom(8).hex()}"
            self._events += 1
            event = Event(self._writer, self._events, kind, clock().time(), "", data)
        return provider.append(run, [event])


_inherited: list[list[Any]] = []
"""What the parent of this process opened. Kept: a database connection that is dropped is closed."""


def _close(opened: list[MetadataProvider | DataStore], pid: int) -> None:
    """Close backends, in the process that opened them alone."""
    if pid == os.getpid():
        for backend in opened:
            backend.close()
        opened.clear()


def _uuid_of(store: DataStore) -> str:
    """UUID in a store's marker; empty where it has none. A reader never makes one."""
    from dovetail.artifacts.manifest import read_marker

    try:
        return read_marker(store).uuid
    except NotFoundError:
        return ""


def _unpickled(
    home: Path | None,
    profile: str | None,
    cwd: Path,
    metadata: str | None,
    datastore: str | None,
    namespace: str | EllipsisType | None,
    safe: bool,
) -> Connection:
    return Connection(
        home=home, profile=profile, cwd=cwd, metadata=metadata, datastore=datastore, namespace=namespace, safe=safe
    )


_defaults: dict[tuple[Any, ...], Connection] = {}


def default_connection() -> Connection:
    """The connection to the home that settings name here and now.

    Kept for as long as the working directory and the variables that settings come from stay the same.
    """
    named = tuple(sorted(item for item in os.environ.items() if item[0].startswith("DOVETAIL")))
    key = (os.getcwd(), os.environ.get("XDG_CONFIG_HOME"), named)
    found = _defaults.get(key)
    if found is None:
        _defaults.clear()
        found = _defaults[key] = Connection()
    return found
