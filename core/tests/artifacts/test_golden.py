"""What a release has written is read by every later one, and written the same where identity depends on it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from dovetail.artifacts.documents import has_check, read_json
from dovetail.artifacts.logs import read_log
from dovetail.artifacts.manifest import open_store, read_manifest
from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.reports import read_end, read_inbox, read_reports
from dovetail.artifacts.segments import find_record, read_records
from dovetail.artifacts.signed_store import SignedStore, is_document
from dovetail.artifacts.signing import Keyring, SigningKey
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.signatures import check_signatures
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.errors import CorruptDataError, UnpicklableError
from dovetail.interfaces.tasks import Exit, Next
from dovetail.testing.memory_store import MemoryStore

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def generate() -> Any:
    spec = importlib.util.spec_from_file_location("golden_generate", GOLDEN / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("format")))
def golden(request: pytest.FixtureRequest) -> tuple[MemoryStore, dict[str, Any]]:
    folder = GOLDEN / request.param
    store = MemoryStore()
    for path in sorted((folder / "store").rglob("*")):
        if path.is_file():
            store.put(path.relative_to(folder / "store").as_posix(), path.read_bytes())
    return store, json.loads((folder / "expected.json").read_text())


def opened(golden: tuple[MemoryStore, dict[str, Any]]) -> tuple[MemoryStore, ArtifactStore, dict[str, Any]]:
    store, expected = golden
    uuid = open_store(store)
    return store, ArtifactStore({uuid: store}, default=uuid), expected


def test_values_in_a_record(golden: Any, generate: Any) -> None:
    store, artifacts, expected = opened(golden)
    record = find_record(store, generate.RUN, "start", b"s" * 32)
    assert record is not None
    outputs = record.outputs
    assert {name: artifacts.load(ref) for name, ref in outputs.items()} == generate.values()
    assert {name: ref.digest.hex() for name, ref in outputs.items()} == expected["digests"]
    assert record.outputs_digest.hex() == expected["outputs"]
    assert isinstance(outputs["long"].place, RecordPlace)
    assert isinstance(outputs["number"].place, InlinePlace)


def test_records(golden: Any, generate: Any) -> None:
    store, artifacts, _ = opened(golden)
    records = {record.path: record for record in read_records(store, generate.RUN)}
    trained = [f"train[{i}]" for i in range(12)]
    assert sorted(records) == sorted(["start", *trained, "fan", "caught", "end", "apart"])
    for i, path in enumerate(trained):
        assert artifacts.load(records[path].outputs["loss"]) == i / 7
    one = records["train[5]"]
    assert (one.call_digest, one.code_key, one.environment) == (b"\5" * 32, b"k" * 32, "host-cp311-linux")
    assert (one.attempt, one.state, one.predecessors, one.isolation) == (2, "succeeded", ("start",), "fork")
    assert (one.exit, one.usage.cpu, one.usage.memory) == (Exit(code=0), 0.25, 4096)
    assert one.reads == {"input": b"i" * 32, "gone": None}
    assert (one.started, one.finished) == (1700000000.25, 1700000001.5)
    assert one.next == Next(targets=("end",), condition='"k"')
    assert one.log == ("000001-000000", 0, 100)
    caught = records["caught"].caught
    assert caught is not None
    assert caught.bases == ("E", "Exception")
    assert artifacts.load(records["end"].outputs["result"]) == "r" * 300
    apart = records["apart"].outputs
    assert isinstance(apart["x"].place, PackPlace)
    assert (artifacts.load(apart["x"]), artifacts.load(apart["y"])) == ([1, 2], "y" * 400)


def test_sequences(golden: Any, generate: Any) -> None:
    store, artifacts, expected = opened(golden)
    record = find_record(store, generate.RUN, "fan", b"")
    assert record is not None
    assert record.next is not None
    assert (record.next.length, record.next.var, record.next.on_error) == (4, "xs", "collect")
    assert record.next.sequence is not None
    assert list(artifacts.open_sequence(record.next.sequence)) == [1, "two", (3,), b"4" * 70_000]
    reader = artifacts.open_sequence(ref_from_plain(expected["streamed"]["ref"]))
    assert len(reader) == expected["streamed"]["length"] == 1200
    assert list(reader) == [f"item {i}" for i in range(1200)]


def test_objects(golden: Any, generate: Any) -> None:
    _, artifacts, expected = opened(golden)

    def ref(name: str) -> ArtifactRef:
        place = ObjectPlace(store=generate.UUID)
        return ArtifactRef(digest=bytes.fromhex(expected[name]), size=0, serializer="pickle", place=place)

    (buffer,) = artifacts.load(ref("out of band"))
    assert bytes(buffer) == bytes(range(200)) * 30
    buffer[0] = 9
    with pytest.raises(UnpicklableError, match="cpython-27"):
        artifacts.load(ref("foreign"))


def test_the_rest_of_a_run(golden: Any, generate: Any) -> None:
    store, artifacts, expected = opened(golden)
    manifest = read_manifest(store, generate.RUN)
    assert (manifest.flow, manifest.user, manifest.tags) == ("Golden", "ada", ("kept",))
    loaded = {name: artifacts.load(ref_from_plain(ref)) for name, ref in manifest.parameters.items()}
    assert loaded == {"alpha": 0.5, "table": "t" * 500}
    entries = list(read_log(store, generate.RUN, tuple(expected["log"]), "train[3]", 1))
    assert [(e.stream, e.data) for e in entries] == [
        ("stdout" if i % 2 == 0 else "stderr", b"line %04d" % i) for i in (3, 15, 27, 39)
    ]
    (report,) = read_reports(store, generate.RUN)
    assert (report.path, report.error.type) == ("train[3]", "ValueError")
    (event,) = read_inbox(store, generate.RUN)
    assert event.data == {"add": ["x"]}
    end = read_end(store, generate.RUN)
    assert end is not None
    assert (end[0], end[1].state) == (2, "succeeded")


def test_the_present_writer_agrees(generate: Any) -> None:
    """Names, identities and documents; the bytes of compressed frames may differ with the zlib at hand."""
    folder = GOLDEN / "format1-checked"
    fresh = MemoryStore()
    expected = generate.build(fresh)
    assert json.loads(json.dumps(expected)) == json.loads((folder / "expected.json").read_text())
    written = {info.key for info in fresh.scan()}
    assert written == {p.relative_to(folder / "store").as_posix() for p in (folder / "store").rglob("*") if p.is_file()}
    for key in written:
        if key.startswith("objects/") or is_document(key):
            assert fresh.get(key).read() == (folder / "store" / key).read_bytes()


def test_documents_have_a_check_that_tells_every_change(generate: Any) -> None:
    for name in "format1-checked", "format1-checked-signed":
        folder = GOLDEN / name / "store" / "runs"
        documents = [
            path for path in folder.rglob("*") if path.is_file() and is_document(f"runs/{path.relative_to(folder)}")
        ]
        assert {"run.json", "fences", "end", "attempts", "inbox"} <= {
            path.relative_to(folder / generate.RUN).parts[0] for path in documents
        }
        for path in documents:
            body = path.read_bytes()
            assert has_check(body), path
            plain = read_json(body, path.name)
            for at in range(len(body)):
                changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
                try:
                    found = read_json(changed, path.name)
                except CorruptDataError:
                    continue
                # What signs a document is no part of it: whoever asks for signatures looks at that.
                assert name.endswith("signed"), (path, at)
                assert at > body.rindex(b',"signature'), (path, at)
                more = found[: len(plain)] == plain if isinstance(plain, list) else {**found, **plain} == found
                assert more, (path, at)


@pytest.mark.parametrize("name", ["format1-signed", "format1-checked-signed"])
def test_the_signatures_hold(generate: Any, name: str) -> None:
    folder = GOLDEN / name / "store"
    plain = MemoryStore()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            plain.put(path.relative_to(folder).as_posix(), path.read_bytes())
    signed = SignedStore(plain, Keyring(None, [SigningKey(generate.SECRET)]))
    found = list(check_signatures(signed, generate.RUN))
    assert found == [None] * len(found)
    assert len(found) >= 8
    assert read_manifest(signed, generate.RUN) == read_manifest(plain, generate.RUN)
    assert {one.path for one in read_records(signed, generate.RUN)} == {
        one.path for one in read_records(plain, generate.RUN)
    }
