"""A data store beside `MemoryStore`: whatever is called, both answer alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dovetail.interfaces.datastore import DataStore, DataStoreCapability, ObjectInfo
from dovetail.testing.conformance.model import outcome_of
from dovetail.testing.memory_store import MemoryStore

__all__ = ["store_machine"]

_PARTS = ["a", "b", "c", "cc", "c-", "%", "%2F", "A", "é", "\U0001f600", "\x01", ".h", "x.", " ", "k" * 300]
_KEYS = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map("/".join).filter(lambda key: len(key) < 900)
_BODIES = st.one_of(st.binary(max_size=40), st.lists(st.binary(max_size=9), max_size=4))
_METADATA = st.one_of(st.none(), st.dictionaries(st.text("abé", min_size=1, max_size=3), st.text("xyzü", max_size=5)))
_numbers = itertools.count()


def _told(info: ObjectInfo) -> tuple[Any, ...]:
    return info.key, info.size, dict(info.metadata)


def _declares(flag: DataStoreCapability) -> Callable[[Any], bool]:
    return lambda machine: flag in machine.real.capabilities


def store_machine(store: DataStore) -> type[RuleBasedStateMachine]:
    """A machine whose examples each use a prefix of their own in the store."""
    return type("StoreMachine", (_StoreMachine,), {"real": store})


class _StoreMachine(RuleBasedStateMachine):
    real: DataStore

    def __init__(self) -> None:
        super().__init__()
        self.model = MemoryStore()
        self.top = f"model{next(_numbers)}/"

    def both(self, what: str, action: Callable[[Any], Any]) -> None:
        """Do the same with both."""
        came, expected = outcome_of(lambda: action(self.real)), outcome_of(lambda: action(self.model))
        assert came == expected, f"expected {expected!r} of {what}, came {came!r}"

    @rule(key=_KEYS, body=_BODIES, mode=st.sampled_from(["create", "overwrite"]), metadata=_METADATA)
    def put(self, key: str, body: Any, mode: Any, metadata: dict[str, str] | None) -> None:
        key = self.top + key
        self.both(f"put({key!r}, {mode})", lambda store: _told(store.put(key, body, mode=mode, metadata=metadata)))

    @rule(key=_KEYS, begin=st.integers(0, 20), length=st.integers(0, 30))
    def read(self, key: str, begin: int, length: int) -> None:
        key = self.top + key
        self.both(f"get({key!r})", lambda store: store.get(key).read())
        span = (begin, begin + length)
        self.both(f"get({key!r}, {span})", lambda store: store.get(key, byte_range=span).read())
        self.both(f"head({key!r})", lambda store: _told(store.head(key)))

    @rule(requests=st.lists(st.tuples(_KEYS, st.one_of(st.none(), st.just((2, 5)))), max_size=5))
    def read_many(self, requests: list[Any]) -> None:
        asked = [(self.top + key, span) for key, span in requests]
        self.both("get_many", lambda store: [(key, found and found.read()) for key, found in store.get_many(asked)])

    @rule(key=_KEYS)
    def refresh(self, key: str) -> None:
        self.both(f"refresh({key!r})", lambda store: _told(store.refresh(self.top + key)))

    @rule(found=st.lists(_KEYS, max_size=4), since=st.sampled_from([None, 0.0, 1e12]))
    def delete(self, found: list[str], since: float | None) -> None:
        keys = [self.top + key for key in found]
        self.both(f"delete({keys})", lambda store: store.delete(keys, not_modified_since=since))

    @rule(prefix=_KEYS, cut=st.integers(0, 9), after=st.one_of(st.none(), _KEYS))
    def scan(self, prefix: str, cut: int, after: str | None) -> None:
        begin = self.top + prefix[: max(0, len(prefix) - cut)]
        if "//" in begin:
            return
        behind = None if after is None else self.top + after
        what = f"scan({begin!r}, after={behind!r})"
        self.both(what, lambda store: [(info.key, info.size) for info in store.scan(begin, after=behind)])

    @precondition(_declares(DataStoreCapability.COPY))
    @rule(src=_KEYS, dst=_KEYS)
    def copy(self, src: str, dst: str) -> None:
        self.both(f"copy({src!r}, {dst!r})", lambda store: _told(store.copy(self.top + src, self.top + dst)))

    @precondition(_declares(DataStoreCapability.APPEND))
    @rule(key=_KEYS, body=_BODIES)
    def append(self, key: str, body: Any) -> None:
        self.both(f"append({key!r})", lambda store: store.append(self.top + key, body))

    @precondition(_declares(DataStoreCapability.STAGE))
    @rule(key=_KEYS, pieces=st.lists(st.binary(max_size=9), max_size=3), at=st.integers(0, 30))
    def stage(self, key: str, pieces: list[bytes], at: int) -> None:
        def staged(store: Any) -> Any:
            with store.stage() as target:
                for piece in pieces:
                    target.write(piece)
                target.write_at(at, b"at")
                return _told(target.commit(self.top + key))

        self.both(f"stage and commit({key!r})", staged)

    @invariant()
    def same_keys(self) -> None:
        self.both("scan", lambda store: [(info.key, info.size) for info in store.scan(self.top)])

    def teardown(self) -> None:
        self.real.delete([info.key for info in self.real.scan(self.top)])
