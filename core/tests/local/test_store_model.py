"""`LocalStore` against `MemoryStore`, the simplest store that keeps the contract."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from amounts import examples
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dovetail.interfaces.datastore import DataStore, ObjectInfo
from dovetail.interfaces.errors import DovetailError
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing
PARTS = [
    "a",
    "b",
    "c",
    "cc",
    "c-",
    "%",
    "%=a",
    "%+a",
    "con",
    "nul.txt",
    "x.",
    " ",
    "A:",
    "é",
    "\U0001f600",
    "\x01",
    ".h",
]
LONG = ["k" * 300, "k" * 238, "k" * 237, "é" * 200, "\x01" * 100, "\x01" * 80]
keys = (
    st.lists(st.sampled_from(PARTS + LONG), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda k: len(k.encode()) <= 1024)
)
bodies = st.one_of(st.binary(max_size=40), st.lists(st.binary(max_size=9), max_size=4))
metadata = st.one_of(st.none(), st.dictionaries(st.text("abé", max_size=3), st.text(max_size=5), max_size=2))


def told(info: ObjectInfo) -> tuple[Any, ...]:
    """What two stores must agree on."""
    return info.key, info.size, dict(info.metadata)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="dovetail-store-", dir=MEMORY)
        self.real = LocalStore(f"{self.folder}/store")
        self.model = MemoryStore()

    def both(self, action: Callable[[Any], Any]) -> None:
        outcomes = []
        for store in (self.real, self.model):
            try:
                outcomes.append(action(store))
            except DovetailError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    @initialize(found=st.sets(keys, max_size=8))
    def begin(self, found: set[str]) -> None:
        for key in sorted(found, reverse=True):
            self.both(lambda store, key=key: told(store.put(key, key.encode())))  # type: ignore[misc]

    @rule(key=keys, body=bodies, mode=st.sampled_from(["create", "overwrite"]), metadata=metadata)
    def put(self, key: str, body: Any, mode: Any, metadata: dict[str, str] | None) -> None:
        self.both(lambda store: told(store.put(key, body, mode=mode, metadata=metadata)))

    @rule(key=keys, body=bodies)
    def append(self, key: str, body: Any) -> None:
        self.both(lambda store: store.append(key, body))

    @rule(key=keys, begin=st.integers(0, 20), length=st.integers(0, 30))
    def read(self, key: str, begin: int, length: int) -> None:
        self.both(lambda store: store.get(key).read())
        self.both(lambda store: store.get(key, byte_range=(begin, begin + length)).read())
        self.both(lambda store: told(store.head(key)))

        def opened(store: DataStore) -> Any:
            with store.get(key) as result:
                return told(result.info), result.length

        self.both(opened)

    @rule(requests=st.lists(st.tuples(keys, st.one_of(st.none(), st.just((2, 5)))), max_size=6))
    def read_many(self, requests: list[Any]) -> None:
        def many(store: DataStore) -> Any:
            return [(key, found and found.read()) for key, found in store.get_many(requests)]

        self.both(many)

    @rule(key=keys)
    def refresh(self, key: str) -> None:
        self.both(lambda store: told(store.refresh(key)))

    @rule(src=keys, dst=keys)
    def copy(self, src: str, dst: str) -> None:
        self.both(lambda store: told(store.copy(src, dst)))

    @rule(key=keys, pieces=st.lists(st.binary(max_size=9), max_size=3), at=st.integers(0, 30), metadata=metadata)
    def stage(self, key: str, pieces: list[bytes], at: int, metadata: dict[str, str] | None) -> None:
        def staged(store: Any) -> Any:
            with store.stage() as target:
                for piece in pieces:
                    target.write(piece)
                target.write_at(at, b"at")
                return told(target.commit(key, metadata=metadata))

        self.both(staged)

    @rule(found=st.lists(keys, max_size=4), since=st.sampled_from([None, 0.0, 1e12]))
    def delete(self, found: list[str], since: float | None) -> None:
        self.both(lambda store: store.delete(found, not_modified_since=since))

    @rule(found=st.lists(keys, min_size=1, max_size=3))
    def sync(self, found: list[str]) -> None:
        self.both(lambda store: store.sync(found))

    @rule(prefix=st.one_of(st.just(""), st.just(""), keys), cut=st.integers(0, 3), after=st.one_of(st.none(), keys))
    def scan(self, prefix: str, cut: int, after: str | None) -> None:
        prefix = prefix[: len(prefix) - cut]
        if prefix.startswith("/") or "//" in prefix:
            return
        self.both(lambda store: [(info.key, info.size) for info in store.scan(prefix, after=after)])

    @invariant()
    def same_keys(self) -> None:
        self.both(lambda store: [(info.key, info.size) for info in store.scan()])

    @invariant()
    def nothing_is_left_over(self) -> None:
        folder = f"{self.folder}/store/%tmp"
        assert not os.path.isdir(folder) or not os.listdir(folder)

    def teardown(self) -> None:
        self.real.close()
        shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=examples(100), stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
