"""Stores of several abilities, and ways to make tasks' records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.datastore import DataStore, DataStoreCapability
from dovetail.interfaces.tasks import Next
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore

RUN = "01hzzzzzzzzzzzzzzzzzzzzzzz"


class PlainStore(MemoryStore):
    """A store with no abilities beyond the abstract methods, as most remote ones."""

    capabilities = DataStoreCapability.NONE

    def append(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("not declared")

    stage = sync = copy = append


@pytest.fixture(params=["local", "memory", "plain"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    made: DataStore
    if request.param == "local":
        made = LocalStore(tmp_path / "store")
    else:
        made = MemoryStore() if request.param == "memory" else PlainStore()
    yield made
    made.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def memory() -> Callable[[], MemoryStore]:
    """Makes stores in memory."""
    return MemoryStore


@pytest.fixture
def plain() -> Callable[[], PlainStore]:
    """Makes stores without abilities."""
    return PlainStore


@pytest.fixture
def artifacts(store: DataStore) -> ArtifactStore:
    uuid = open_store(store)
    return ArtifactStore({uuid: store}, default=uuid)


def _record(
    path: str,
    call: bytes,
    outputs: dict[str, Any] | None = None,
    *,
    artifacts: ArtifactStore | None = None,
    attempt: int = 1,
    sequence: Iterable[Any] | None = None,
    **head: Any,
) -> tuple[bytes, bytes]:
    """(record, values section) of a task."""
    writer = OutputWriter(ArtifactStore({}) if artifacts is None else artifacts)
    taken = Next(targets=("end",))
    if sequence is not None:
        ref, length = writer.write_sequence(sequence)
        taken = Next(targets=("item",), sequence=ref, length=length)
    for name, value in (outputs or {}).items():
        writer.add(name, value)
    done = writer.finish()
    body = pack_body(done, reads={"input": None}, next=taken, started=1.0, finished=2.0)
    fields = {
        "code_key": b"k" * 32,
        "environment": "host-3.11",
        "state": "succeeded",
        "predecessors": ["start"],
        "store": "u",
        **head,
    }
    return join_record(pack_head(path=path, call_digest=call, attempt=attempt, **fields), body), done.values


@pytest.fixture
def tools() -> SimpleNamespace:
    return SimpleNamespace(run=RUN, record=_record)
