"""A data store beside `MemoryStore`: whatever is called, both answer alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dovetail.interfaces.datastore import DataStore, DataStoreCapability, ObjectInfo
from dovetail.testing.conformance.model import outcome_of
from dovetail.testing.memory_store import MemoryStore

__all__ = ["store_machine"]

_PARTS = ["a", "b", "c", "cc", "c-", "%", "%2F", "A", "é", "\U0001f600", "\x01", ".h", "x.", " ", "k" * 300]
_KEYS = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map("/".join).filter(lambda key: len(key) < 900)
_BODIES = st.one_of(st.binary(max_size=40), st.lists(st.binary(max_size=9), max_size=4))
_METADATA = st.one_of(
    st.none(), st.dictionaries(st.text("abé", min_size=1, max_size=3), st.text("xyzü", max_size=5), min_size=1)
)
_AT = st.integers(0, 4)
"""One of the keys of an example: few of them, so that calls meet what others have left."""
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
        self.keys: list[str] = []

    @initialize(keys=st.lists(_KEYS, min_size=2, max_size=5, unique=True))
    def begin(self, keys: list[str]) -> None:
        self.keys = [self.top + key for key in keys]

    def key(self, at: int) -> str:
        """One of the example's keys."""
        return self.keys[at % len(self.keys)]

    def both(self, what: str, action: Callable[[Any], Any]) -> None:
        """Do the same with both."""
        came, expected = outcome_of(lambda: action(self.real)), outcome_of(lambda: action(self.model))
        assert came == expected, f"expected {expected!r} of {what}, came {came!r}"

    @rule(at=_AT, body=_BODIES, mode=st.sampled_from(["create", "overwrite"]), metadata=_METADATA)
    def put(self, at: int, body: Any, mode: Any, metadata: dict[str, str] | None) -> None:
        key = self.key(at)
        self.both(f"put({key!r}, {mode})", lambda store: _told(store.put(key, body, mode=mode, metadata=metadata)))

    @rule(at=_AT, begin=st.integers(0, 20), length=st.integers(0, 30))
    def read(self, at: int, begin: int, length: int) -> None:
        key = self.key(at)
        self.both(f"get({key!r})", lambda store: store.get(key).read())
        span = (begin, begin + length)
        self.both(f"get({key!r}, {span})", lambda store: store.get(key, byte_range=span).read())
        self.both(f"head({key!r})", lambda store: _told(store.head(key)))

    @rule(requests=st.lists(st.tuples(_AT, st.one_of(st.none(), st.just((2, 5)))), max_size=5))
    def read_many(self, requests: list[Any]) -> None:
        asked = [(self.key(at), span) for at, span in requests]
        self.both("get_many", lambda store: [(key, found and found.read()) for key, found in store.get_many(asked)])

    @rule(at=_AT)
    def refresh(self, at: int) -> None:
        key = self.key(at)
        self.both(f"refresh({key!r})", lambda store: _told(store.refresh(key)))

    @rule(found=st.lists(_AT, max_size=4), since=st.sampled_from([None, 0.0, 1e12]))
    def delete(self, found: list[int], since: float | None) -> None:
        keys = [self.key(at) for at in found]
        self.both(f"delete({keys})", lambda store: store.delete(keys, not_modified_since=since))

    @rule(at=_AT, body=_BODIES, metadata=_METADATA, grows=st.booleans())
    def begin_anew(self, at: int, body: Any, metadata: dict[str, str] | None, grows: bool) -> None:
        """What is deleted leaves nothing to what comes after it."""
        self.delete([at], None)
        if grows and _declares(DataStoreCapability.APPEND)(self):
            self.append(at, body)
        else:
            self.put(at, body, "create", metadata)
        self.read(at, 0, 0)

    @rule(prefix=_AT, cut=st.integers(0, 9), after=st.one_of(st.none(), _AT, _KEYS))
    def scan(self, prefix: int, cut: int, after: int | str | None) -> None:
        whole = self.key(prefix)
        begin = whole[: max(len(self.top), len(whole) - cut)]
        if isinstance(after, int):
            behind: str | None = self.key(after)
        else:
            behind = None if after is None else self.top + after
        what = f"scan({begin!r}, after={behind!r})"
        self.both(what, lambda store: [(info.key, info.size) for info in store.scan(begin, after=behind)])

    @precondition(_declares(DataStoreCapability.COPY))
    @rule(src=_AT, dst=_AT)
    def copy(self, src: int, dst: int) -> None:
        begin, end = self.key(src), self.key(dst)
        self.both(f"copy({begin!r}, {end!r})", lambda store: _told(store.copy(begin, end)))

    @precondition(_declares(DataStoreCapability.APPEND))
    @rule(at=_AT, body=_BODIES)
    def append(self, at: int, body: Any) -> None:
        key = self.key(at)
        self.both(f"append({key!r})", lambda store: store.append(key, body))

    @precondition(_declares(DataStoreCapability.STAGE))
    @rule(at=_AT, pieces=st.lists(st.binary(max_size=9), max_size=3), offset=st.integers(0, 30))
    def stage(self, at: int, pieces: list[bytes], offset: int) -> None:
        key = self.key(at)

        def staged(store: Any) -> Any:
            with store.stage() as target:
                for piece in pieces:
                    target.write(piece)
                target.write_at(offset, b"at")
                return _told(target.commit(key))

        self.both(f"stage and commit({key!r})", staged)

    @invariant()
    def same_keys(self) -> None:
        self.both("scan", lambda store: [(info.key, info.size) for info in store.scan(self.top)])

    def teardown(self) -> None:
        self.real.delete([info.key for info in self.real.scan(self.top)])
