"""How many bytes belong to whom."""

from __future__ import annotations

import pytest
from storemaking import Making, big, garbage

from dovetail.artifacts.layout import object_key
from dovetail.artifacts.upkeep.edges import edges_of
from dovetail.artifacts.upkeep.usage import StoreUsage, measure_usage
from dovetail.interfaces.datastore import DataStore


def _rows(found: StoreUsage) -> dict[str, tuple[int, int]]:
    return {row.name: (row.objects, row.shared) for row in found.rows}


@pytest.fixture
def making(store: DataStore) -> Making:
    making = Making(store)
    for flow, shared in (("Train", 0), ("Train", 0), ("Score", 1)):
        run = making.run(flow=flow)
        run.task("start", {"own": big(f"{run.id}"), "all": big("all")})
        run.task("each[0]", {"own": big(f"{run.id} {shared}", 140_000)})
    return making


def test_unique_and_shared_bytes_add_up(making: Making) -> None:
    store = making.store
    garbage(making.artifacts, 2)
    sizes = {info.key: info.size for info in store.scan("objects/")}
    runs = sum(info.size for info in store.scan("runs/"))
    for by in ("flow", "run", "artifact"):
        found = measure_usage(store, by=by)  # type: ignore[arg-type]
        assert (found.objects, found.object_bytes) == (len(sizes), sum(sizes.values()))
        assert found.run_bytes == runs
        assert found.garbage == 2
        assert found.damage == []
        shared = {"flow": 1, "run": 3, "artifact": 0}[by]
        once = sum(row.unique for row in found.rows) - runs
        assert found.object_bytes - found.garbage_bytes - once > 0 if shared else once > 0
    size = sizes[object_key(making.artifacts.save(big("all")).digest)]
    assert {name: row[1] for name, row in _rows(measure_usage(store)).items()} == {"Train": size, "Score": size}


def test_rows(making: Making) -> None:
    flows = _rows(measure_usage(making.store, by="flow"))
    assert {name: row[0] for name, row in flows.items()} == {"Train": 7, "Score": 5}
    runs = _rows(measure_usage(making.store, by="run"))
    assert {name.partition("/")[0] for name in runs} == {"Train", "Score"}
    assert len(runs) == 3
    artifacts = _rows(measure_usage(making.store, by="artifact"))
    assert artifacts["Train/start/own"][0] == 2
    assert artifacts["Train/each/own"][0] == 2
    assert artifacts["Train/start/all"][1] == artifacts["Score/start/all"][1] > 0


def test_parts_in_other_objects_count_for_who_needs_them(making: Making) -> None:
    store = making.store
    child = making.artifacts.save(big("01h" + f"{3:023d}")).digest
    owner = making.artifacts.save(big("owner")).digest
    assert measure_usage(store).garbage == 1
    store.put(edges_of(child) + owner.hex(), b"")
    found = measure_usage(store)
    assert found.garbage == 0
    assert _rows(found)["Score"][0] == 6
