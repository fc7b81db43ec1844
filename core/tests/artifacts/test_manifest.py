"""What a store and a run are, and what a run leaves beside its records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dovetail.artifacts.layout import MARKER, manifest_key
from dovetail.artifacts.manifest import RunManifest, StoreMarker, open_store, put_manifest, read_manifest, read_marker
from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.reports import (
    AttemptReport,
    RunEnd,
    put_end,
    put_inbox,
    put_report,
    read_end,
    read_inbox,
    read_reports,
)
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError, StoreVersionError
from dovetail.interfaces.events import Event
from dovetail.interfaces.tasks import ErrorReport, Exit

RUN = "r" * 26


def test_a_store_is_marked_once(store: DataStore) -> None:
    with pytest.raises(NotFoundError):
        read_marker(store)
    uuid = open_store(store)
    assert open_store(store) == uuid
    assert read_marker(store) == StoreMarker(uuid=uuid, format=1)


def test_of_many_that_mark_at_once_one_wins(store: DataStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: open_store(store), range(16)))) == 1


def test_a_newer_store_is_refused(store: DataStore) -> None:
    store.put(MARKER, b'{"uuid":"u","format":2,"new":"thing"}')
    with pytest.raises(StoreVersionError, match="Upgrade"):
        open_store(store)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"format":1}', b'{"uuid":"u","format":"x"}'])
def test_a_damaged_marker_is_told(store: DataStore, body: bytes) -> None:
    store.put(MARKER, body)
    with pytest.raises(CorruptDataError, match=r"dovetail-store\.json"):
        open_store(store)


def test_manifest(store: DataStore) -> None:
    manifest = RunManifest(
        run=RUN,
        flow="F",
        created=1.5,
        user="ada",
        description={"steps": []},
        parameters={"alpha": {"digest": "00", "size": 1, "serializer": "json", "type": "int", "inline": "NQ=="}},
        tags=("a", "b"),
        system_tags=("user:ada",),
        stores={"u": {"target": "x"}},
        origin="o",
        info={"hash_seed": 0},
    )
    put_manifest(store, manifest)
    assert read_manifest(store, RUN) == manifest
    with pytest.raises(AlreadyExistsError):
        put_manifest(store, manifest)
    with pytest.raises(NotFoundError):
        read_manifest(store, "q" * 26)


def test_manifests_of_other_versions(store: DataStore) -> None:
    plain: dict[str, Any] = {**RunManifest(run=RUN, flow="F", created=1.0).to_plain(), "later": 1}
    assert RunManifest.from_plain(plain) == RunManifest(run=RUN, flow="F", created=1.0)
    with pytest.raises(StoreVersionError, match=RUN):
        RunManifest.from_plain({**plain, "version": 2})
    for bad in ({}, {"version": 1}, {"version": "x"}):
        with pytest.raises(CorruptDataError):
            RunManifest.from_plain(bad)
    for body in (b"[]", b"{"):
        store.put(manifest_key(RUN), body, mode="overwrite")
        with pytest.raises(CorruptDataError):
            read_manifest(store, RUN)


@pytest.mark.parametrize("plain", [{}, {"digest": "zz"}, {"digest": "00", "size": 1, "serializer": "x", "record": [1]}])
def test_malformed_references(plain: Any) -> None:
    with pytest.raises(CorruptDataError):
        ref_from_plain(plain)


def report(path: str, attempt: int) -> AttemptReport:
    return AttemptReport(
        path=path,
        attempt=attempt,
        call_digest=b"c" * 32,
        error=ErrorReport(type="E", message="m", bases=("E",)),
        exit=Exit(signal=9, out_of_memory=True),
        cpu=1.5,
        memory=7,
        started=1.0,
        finished=2.0,
        log=("000001-000000", 1, 2),
        worker="fork 12",
    )


def test_attempt_reports(store: DataStore) -> None:
    reports = [report("a", 1), report("a", 2), report("a", 10), report("a/f", 1), report("b[1]", 1)]
    for one in reports:
        assert put_report(store, RUN, one).startswith(f"runs/{RUN}/attempts/{one.path}/")
    put_report(store, RUN, report("a", 1))
    assert list(read_reports(store, RUN, "a")) == reports[:3]
    assert list(read_reports(store, RUN, "a/f")) == [reports[3]]
    assert {(one.path, one.attempt) for one in read_reports(store, RUN)} == {(o.path, o.attempt) for o in reports}
    bare = AttemptReport(path="z", attempt=1, call_digest=b"", error=reports[0].error, finished=1.0)
    assert AttemptReport.from_plain(json.loads(json.dumps(bare.to_plain()))) == bare


def test_malformed_reports() -> None:
    plain = report("a", 1).to_plain()
    with pytest.raises(StoreVersionError):
        AttemptReport.from_plain({**plain, "version": 9})
    with pytest.raises(CorruptDataError):
        AttemptReport.from_plain({**plain, "call_digest": "x"})
    with pytest.raises(CorruptDataError):
        AttemptReport.from_plain({"version": 1})


def test_ends(store: DataStore) -> None:
    assert read_end(store, RUN) is None
    put_end(store, RUN, 1, RunEnd(state="interrupted", finished=1.0, reason="Ctrl-C"))
    put_end(store, RUN, 10, RunEnd(state="failed", finished=2.0, error={"path": "a", "message": "m"}))
    put_end(store, RUN, 10, RunEnd(state="succeeded", finished=3.0))
    assert read_end(store, RUN) == (10, RunEnd(state="failed", finished=2.0, error={"path": "a", "message": "m"}))


def test_inbox(store: DataStore) -> None:
    late = Event("w", 2, "tag", 5.0, "", {"add": ["x"]})
    early = Event("v", 1, "cancel", 4.0, "", {"reason": "r"})
    for event in (late, early, late):
        put_inbox(store, RUN, event)
    assert read_inbox(store, RUN) == [early, late]
