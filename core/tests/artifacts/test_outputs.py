"""Outputs of a task, the scopes made of them, and the index's view of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts.identity import outputs_digest
from dovetail.artifacts.index import decode_index, encode_index
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.outputs import OutputWriter, ScopeReader, pack_layer, root_scope, scope_digest
from dovetail.artifacts.packing import FOREACH_OUTPUT, ref_from_plain, ref_to_plain
from dovetail.artifacts.segments import SegmentWriter, read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import (
    INLINE_LIMIT,
    RECORD_LIMIT,
    ArtifactRef,
    InlinePlace,
    ObjectPlace,
    PackPlace,
    RecordPlace,
)
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, StoreError, UnpicklableError
from dovetail.testing.memory_store import MemoryStore

VALUES: dict[str, Any] = {
    "none": None,
    "number": 7,
    "text": "t" * (INLINE_LIMIT - 2),
    "longer": "t" * (INLINE_LIMIT - 1),
    "table": {"a": [1.5, None], "b": {}},
    "pair": (1, 2),
    "record": b"r" * 5000,
    "edge": "e" * (RECORD_LIMIT - 2),
    "object": "o" * (RECORD_LIMIT - 1),
    "big": b"b" * 200_000,
}


def places(table: bytes) -> dict[str, type]:
    refs = ScopeReader([pack_layer(table, None)])
    found = {name: refs.get(name) for name in refs.names()}
    return {name: type(ref.place) for name, ref in found.items() if ref is not None}


def test_where_values_go(artifacts: ArtifactStore, store: DataStore) -> None:
    writer = OutputWriter(artifacts)
    for name, value in VALUES.items():
        writer.add(name, value)
    done = writer.finish()
    assert places(done.table) == {
        "none": InlinePlace,
        "number": InlinePlace,
        "text": InlinePlace,
        "longer": RecordPlace,
        "table": InlinePlace,
        "pair": InlinePlace,
        "record": RecordPlace,
        "edge": RecordPlace,
        "object": ObjectPlace,
        "big": ObjectPlace,
    }
    assert sorted(info.key for info in store.scan("objects/")) == sorted(done.objects)
    assert len(done.objects) == 2
    assert 70_000 < len(done.values) < 71_000


def test_the_table_is_as_documented(artifacts: ArtifactStore) -> None:
    writer = OutputWriter(artifacts)
    digests = {name: writer.add(name, value) for name, value in VALUES.items()}
    done = writer.finish()
    table = msgpack.unpackb(done.table)
    assert table["number"] == [digests["number"], 1, "json", b"7", "int"]
    assert table["big"] == [digests["big"], 200_000, "bytes", artifacts.default, "bytes"]
    digest, size, serializer, (offset, length), kind = table["record"]
    assert (digest, size, serializer, kind) == (digests["record"], 5000, "bytes", "bytes")
    assert msgpack.unpackb(done.values[offset : offset + length]) == [b"", [b"r" * 5000]]
    assert done.digest == outputs_digest(digests)


def test_a_second_value_of_a_name_wins(artifacts: ArtifactStore) -> None:
    writer = OutputWriter(artifacts)
    writer.add("x", 1)
    writer.add("x", 2)
    assert msgpack.unpackb(writer.finish().table)["x"][3] == b"2"


def test_a_record_stays_of_a_size_that_can_be_sent(artifacts: ArtifactStore) -> None:
    writer = OutputWriter(artifacts)
    for index in range(40):
        writer.add(f"text{index}", str(index) * 30_000)
        writer.add(f"blob{index}", bytes([index]) * 20_000)
        writer.add(f"number{index}", index)
    done = writer.finish()
    assert 900_000 < len(done.values) <= 1 << 20
    found = places(done.table)
    assert found["text0"] is found["blob0"] is RecordPlace
    assert found["text39"] is found["blob39"] is ObjectPlace
    assert found["number39"] is InlinePlace


def test_an_unpicklable_output_is_named(artifacts: ArtifactStore) -> None:
    with pytest.raises(UnpicklableError, match=r"artifact 'state': .*\['lock'\] is a _thread.lock"):
        OutputWriter(artifacts).add("state", {"lock": threading.Lock()})


def write_run(
    store: DataStore, tools: Any, artifacts: ArtifactStore, outputs: dict[str, Any], path: str = "start"
) -> Any:
    SegmentWriter(store, tools.run, 1).append([tools.record(path, b"c" * 32, outputs, artifacts=artifacts)])
    (record,) = read_records(store, tools.run)
    return record


def test_everything_loads_from_the_record(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    record = write_run(store, tools, artifacts, VALUES)
    assert {name: artifacts.load(ref) for name, ref in record.outputs.items()} == VALUES
    reader = ScopeReader([pack_layer(record.table, record.place)])
    assert {name: reader.get(name) for name in reader.names()} == record.outputs


def test_a_value_in_a_record_is_found_without_its_byte_range(
    artifacts: ArtifactStore, store: DataStore, tools: Any
) -> None:
    record = write_run(store, tools, artifacts, {"x": b"x" * 1000})
    ref = record.outputs["x"]
    plain = ref_from_plain(json.loads(json.dumps(ref_to_plain(ref))))
    assert isinstance(plain.place, RecordPlace)
    assert plain.place.at is None
    assert artifacts.load(plain) == b"x" * 1000


def test_a_wrong_byte_range_falls_back_to_the_record(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    record = write_run(store, tools, artifacts, {"x": b"x" * 1000})
    ref = record.outputs["x"]
    place = ref.place
    for at in ((record.key, 3, 500), ("runs/r/segments/000009-000000", 0, 1), (record.key, 1 << 40, 5)):
        moved = RecordPlace(
            store=place.store, run=place.run, path=place.path, call_digest=place.call_digest, name="x", at=at
        )
        wrong = ArtifactRef(digest=ref.digest, size=ref.size, serializer=ref.serializer, place=moved)
        assert artifacts.load(wrong) == b"x" * 1000


def test_a_record_that_is_gone_or_another(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    record = write_run(store, tools, artifacts, {"x": b"x" * 1000})
    ref = record.outputs["x"]
    plain = ref_to_plain(ref)
    plain["record"][3] = "00" * 32
    with pytest.raises(ArtifactGoneError, match=rf"{tools.run}/start/x"):
        artifacts.load(ref_from_plain(plain))
    plain = ref_to_plain(ref)
    plain["digest"] = "11" * 32
    with pytest.raises(ArtifactGoneError, match="another value"):
        artifacts.load(ref_from_plain(plain))
    store.delete([record.key])
    with pytest.raises(ArtifactGoneError, match="no commit record"):
        artifacts.load(ref)


def test_a_flipped_byte_in_a_records_value_is_found(memory: Callable[..., Any], tools: Any) -> None:
    store = memory()
    artifacts = ArtifactStore({"u": store}, default="u")
    key, _, base = SegmentWriter(store, tools.run, 1).append([tools.record("start", b"c" * 32, {"x": b"x" * 200})])[0]
    from dovetail.artifacts.segments import read_frame_records

    (record,) = read_frame_records(store, tools.run, key, 0, uuid="u")
    ref = record.outputs["x"]
    assert artifacts.load(ref) == b"x" * 200
    data = bytearray(store.get(key).read())
    data[base + 50] ^= 1
    store.put(key, bytes(data), mode="overwrite")
    # The frame's checksum does not match any more either, so the record counts as lost with its value.
    store.put("dovetail-store.json", b'{"uuid":"u","format":1}')
    with pytest.raises(CorruptDataError, match=f"artifact {tools.run}/start/x .* is corrupt"):
        artifacts.load(ref)


def test_relative_references_can_not_be_loaded_yet(artifacts: ArtifactStore) -> None:
    ref, length = OutputWriter(artifacts).write_sequence(range(100))
    assert length == 100
    assert isinstance(ref.place, RecordPlace)
    assert ref.place.run == ""
    with pytest.raises(StoreError, match="not written"):
        artifacts.load(ref)


# -- taking over references -------------------------------------------------------------------------------------------


def test_add_ref_copies_small_values_and_points_to_large_ones(
    artifacts: ArtifactStore, store: DataStore, tools: Any
) -> None:
    record = write_run(store, tools, artifacts, VALUES)
    writer = OutputWriter(artifacts)
    for name, ref in record.outputs.items():
        assert writer.add_ref(name, ref) == ref.digest
    done = writer.finish()
    again = OutputWriter(artifacts)
    for name, value in VALUES.items():
        again.add(name, value)
    assert done == again.finish()


def test_add_ref_of_what_is_gone(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    record = write_run(store, tools, artifacts, {"x": b"x" * 1000})
    store.delete([record.key])
    with pytest.raises(ArtifactGoneError):
        OutputWriter(artifacts).add_ref("x", record.outputs["x"])


# -- a step with a data store of its own ------------------------------------------------------------------------------


def test_nothing_inline_for_a_store_of_its_own(artifacts: ArtifactStore, store: DataStore) -> None:
    writer = OutputWriter(artifacts, inline=False)
    for name, value in VALUES.items():
        writer.add(name, value)
    done = writer.finish()
    assert done.values == b""
    found = places(done.table)
    assert {name for name, place in found.items() if place is ObjectPlace} == {"object", "big"}
    assert set(found.values()) == {ObjectPlace, PackPlace}
    assert len(done.objects) == 3
    assert sorted(done.objects) == sorted(info.key for info in store.scan("objects/"))
    for text in ("ttt", "rrr", "1.5"):
        assert text not in done.index
        assert text.encode() not in done.table
    reader = ScopeReader([pack_layer(done.table, None)])
    assert {name: artifacts.load(reader.get(name)) for name in reader.names()} == VALUES  # type: ignore[arg-type]
    refs = decode_index(done.index, store="run-store", run="r", path="p")
    assert refs == {name: reader.get(name) for name in VALUES}
    for ref in refs.values():
        assert ref_from_plain(json.loads(json.dumps(ref_to_plain(ref)))) == ref


def test_values_move_between_stores(artifacts: ArtifactStore) -> None:
    writer = OutputWriter(artifacts, inline=False)
    writer.add("x", [1, 2, 3])
    ref = ScopeReader([pack_layer(writer.finish().table, None)]).get("x")
    assert ref is not None
    inline = OutputWriter(artifacts)
    inline.add_ref("x", ref)
    assert places(inline.finish().table) == {"x": InlinePlace}


def test_a_corrupt_pack(artifacts: ArtifactStore, store: DataStore) -> None:
    writer = OutputWriter(artifacts, inline=False)
    writer.add("x", "x" * 100)
    (key,) = writer.finish().objects
    ref = ScopeReader([pack_layer(_finish(artifacts, {"x": "x" * 100}), None)]).get("x")
    assert ref is not None
    assert isinstance(ref.place, PackPlace)
    assert object_key(ref.place.pack) == key
    bad = bytearray(store.get(key).read())
    bad[ref.place.offset + 3] ^= 1
    store.put(key, bytes(bad), mode="overwrite")
    with pytest.raises(CorruptDataError, match="artifact F/r/s/x"):
        artifacts.load(ref, name="F/r/s/x")
    store.delete([key])
    with pytest.raises(ArtifactGoneError, match="artifact F/r/s/x"):
        artifacts.load(ref, name="F/r/s/x")


def _finish(artifacts: ArtifactStore, values: dict[str, Any]) -> bytes:
    writer = OutputWriter(artifacts, inline=False)
    for name, value in values.items():
        writer.add(name, value)
    return writer.finish().table


# -- index ------------------------------------------------------------------------------------------------------------


def test_the_index_shows_plain_values_as_they_are(artifacts: ArtifactStore) -> None:
    writer = OutputWriter(artifacts)
    for name, value in VALUES.items():
        writer.add(name, value)
    done = writer.finish()
    shown = json.loads(done.index)
    assert shown["number"] == [7]
    assert shown["table"] == [VALUES["table"]]
    assert shown["none"] == [None]
    assert shown["record"][3] == "r"
    assert shown["big"][:2] == ["bytes", 200_000]
    assert shown["big"][3:] == ["o", artifacts.default, "bytes"]
    assert shown["pair"][0] == "pickle"
    assert encode_index(done.table) == done.index


@settings(max_examples=examples(60))
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9).filter(lambda name: name != FOREACH_OUTPUT),
        st.none() | st.integers() | st.floats() | st.lists(st.text(), max_size=3),
        max_size=5,
    )
)
def test_index_round_trip(values: dict[str, Any]) -> None:
    writer = OutputWriter(ArtifactStore({}))
    for name, value in values.items():
        writer.add(name, value)
    done = writer.finish()
    refs = decode_index(done.index, store="s", run="r", path="p")
    expected = ScopeReader([pack_layer(done.table, ("s", "r", "p", b"", None, 0))])
    assert refs == {name: expected.get(name) for name in values}


def test_the_index_leads_to_values_in_records(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    record = write_run(store, tools, artifacts, {"x": b"x" * 1000, "y": b"y" * 1000}, path="a[1]")
    ref = decode_index(encode_index(record.table), store=artifacts.default, run=tools.run, path="a[1]")["y"]
    assert artifacts.load(ref) == b"y" * 1000


def test_malformed_index_entries() -> None:
    for entry in ("[]", '["a",1]', '["a",1,"zz","i","",""]', '["a",1,"00","?","",""]', "5"):
        with pytest.raises(CorruptDataError, match="'x'"):
            decode_index(f'{{"x":{entry}}}', store="s", run="r", path="p")


# -- scopes -----------------------------------------------------------------------------------------------------------


def layer(values: dict[str, Any]) -> bytes:
    writer = OutputWriter(ArtifactStore({}))
    for name, value in values.items():
        writer.add(name, value)
    return pack_layer(writer.finish().table, None)


def test_the_nearest_layer_wins() -> None:
    reader = ScopeReader([layer({"a": 1, "b": 1}), layer({"a": 2, "bb": "b"}), layer({"c": "a"})])
    artifacts = ArtifactStore({})
    assert {name: artifacts.load(reader.get(name)) for name in "abc"} == {"a": 2, "b": 1, "c": "a"}  # type: ignore[arg-type]
    assert reader.get("d") is None
    assert reader.names() == ["a", "b", "bb", "c"]


def test_only_layers_that_may_hold_a_name_are_decoded() -> None:
    reader = ScopeReader([layer({"wanted": 1}), b"not a layer", layer({"near": 1})])
    assert reader.get("wanted") is not None
    with pytest.raises(CorruptDataError):
        reader.names()


def test_scope_digests() -> None:
    from blake3 import blake3

    artifacts = ArtifactStore({})
    refs = {"alpha": artifacts.save(1), "beta": artifacts.save("x")}
    root = root_scope(refs)
    assert root.digest == blake3(outputs_digest({n: r.digest for n, r in refs.items()})).digest()
    assert scope_digest(root.digest, b"o" * 32) == blake3(root.digest + b"o" * 32).digest()
    assert ScopeReader(root.layers()).get("beta") == refs["beta"]


def test_a_root_scope_has_nothing_in_records() -> None:
    place = RecordPlace(store="s", run="r", path="p", call_digest=b"", name="x")
    with pytest.raises(ValueError, match="copied"):
        root_scope({"x": ArtifactRef(digest=bytes(32), size=1, serializer="json", place=place)})


def test_memory_store_is_enough_for_a_driver() -> None:
    store = MemoryStore()
    artifacts = ArtifactStore({"u": store}, default="u")
    assert artifacts.load(artifacts.save("x" * 1000)) == "x" * 1000
