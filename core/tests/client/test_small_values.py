"""Thousands of small values of one task: a few writes, a few reads, none of them for each value."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from seed import Seed, SeedRun, linear

from dovetail.artifacts.segments import read_records
from dovetail.client import Client, Task
from dovetail.interfaces.artifacts import ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError

COUNT = 10_000
TINY = {f"v{i}": (i, f"value {i}", {"i": i, "half": i / 2})[i % 3] for i in range(COUNT)}
"""In the index."""
SMALL = {f"v{i}": {"i": i, "text": "x" * (200 + i % 50), "parts": [i, [i]]} for i in range(COUNT)}
"""A quarter in the record, the rest in a pack."""


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def committed(seed: Seed, values: dict[str, Any]) -> SeedRun:
    made = seed.run(linear("start", "end"))
    made.flush()
    made.task("start", values, targets=["end"])
    made.task("end", after=["start"])
    return made.end()


class Counted:
    """Counts what is asked of a data store."""

    def __init__(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        for name in ("put", "append", "stage", "get"):
            monkeypatch.setattr(store, name, self._counted(name, getattr(store, name)))

    def _counted(self, name: str, method: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return method(*args, **kwargs)

        return counted

    @property
    def writes(self) -> int:
        return self.calls["put"] + self.calls["append"] + self.calls["stage"]


@pytest.mark.parametrize("values", [TINY, SMALL], ids=["tiny", "small"])
def test_saving_takes_a_few_writes(seed: Seed, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    committed(seed, {})  # what every home and flow has
    counted = Counted(seed.store, monkeypatch)
    syncs: Counter[str] = Counter()
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (syncs.update(["fsync"]), sync(descriptor))[1])
    before = files(seed.home)
    committed(seed, {})
    bare, bare_writes, bare_syncs = files(seed.home), counted.writes, syncs["fsync"]
    counted.calls.clear()
    syncs.clear()
    made = committed(seed, values)
    assert len(files(seed.home)) - len(bare) <= len(bare) - len(before) + 5
    assert counted.writes <= bare_writes + 5
    assert syncs["fsync"] <= bare_syncs + 15
    (record, _) = sorted(read_records(seed.store, made.id), key=lambda record: record.path, reverse=True)
    assert len(record.outputs) == COUNT


@pytest.mark.parametrize("values", [TINY, SMALL], ids=["tiny", "small"])
def test_loading_takes_a_few_reads(
    seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    made = committed(seed, values)
    task = client.task(f"{made.id}/start")
    counted = Counted(task.run._artifacts.store(seed.uuid), monkeypatch)
    assert task.values() == values
    assert {artifact.name: artifact.data for artifact in task} == values
    assert {name: task.data[name] for name in task.data} == values
    assert counted.calls["get"] <= 20
    kinds = Counter(type(artifact.ref.place) for artifact in task.outputs.values())
    assert kinds[ObjectPlace] == 0
    if values is SMALL:
        assert kinds[RecordPlace] > 1000
        assert kinds[PackPlace] > 1000


def test_what_was_loaded_is_not_shared(seed: Seed, client: Client) -> None:
    task = client.task(f"{committed(seed, {'a': {'b': [1, {'c': 2}]}}).id}/start")
    task.values()["a"]["b"][1]["c"] = 3
    task.data.a["b"].append(4)
    assert task.values() == {"a": {"b": [1, {"c": 2}]}}


def test_values_of_a_task_and_what_it_sees(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"), parameters={"rate": 0.5})
    made.task("start", {"x": 1}, targets=["end"])
    made.task("end", {"y": b"z" * 100_000}, after=["start"])
    made.end()
    task = client.task(f"{made.id}/end")
    assert task.values() == {"y": b"z" * 100_000, "x": 1, "rate": 0.5}
    assert task.values(own=True) == {"y": b"z" * 100_000}
    assert list(task.artifacts.items()) == [(artifact.name, artifact) for artifact in task]


def test_values_are_verified_however_many_are_read(seed: Seed, client: Client) -> None:
    made = committed(seed, SMALL)
    task = client.task(f"{made.id}/start")
    packs = {one.ref.place.pack for one in task.outputs.values() if isinstance(one.ref.place, PackPlace)}
    assert len(packs) == 1
    (key,) = (info.key for info in seed.store.scan("objects/"))
    data = bytearray(seed.store.get(key).read())
    data[len(data) // 2] ^= 1
    seed.store.delete([key])
    seed.store.put(key, bytes(data))
    with pytest.raises(CorruptDataError, match=r"artifact Linear/.*/start/v\d+ .* is corrupt"):
        task.values()
    seed.store.delete([key])
    with pytest.raises(ArtifactGoneError, match=r"artifact Linear/.*/start/v\d+ .* is gone"):
        Task(task.pathspec).values()
