"""Sequences: one item at a time, in bounded memory, with one identity however they were written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts import sequence_writer, unnamed
from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.objectfile import PAGE, PRELUDE_SIZE
from dovetail.artifacts.outputs import OutputWriter, ScopeReader, pack_layer
from dovetail.artifacts.segments import SegmentWriter, read_records
from dovetail.artifacts.sequence_format import ENTRY_SIZE, ITEMS_PER_LEAF
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import (
    ArtifactGoneError,
    CorruptDataError,
    StoreFullError,
    StoreVersionError,
    UnpicklableError,
)


def written(artifacts: ArtifactStore, items: Any, *, inline: bool = True) -> ArtifactRef:
    """A sequence that can be read at once (with `inline=False` none is in a record)."""
    ref, _ = OutputWriter(artifacts, inline=inline).write_sequence(items)
    return ref


ITEMS: list[Any] = [1, "two", None, (3,), b"4" * 100, {"five": [5]}, "6" * 70_000, b"7" * 100_000, 8.5]


def check(artifacts: ArtifactStore, ref: ArtifactRef, items: list[Any]) -> None:
    reader = artifacts.open_sequence(ref)
    assert len(reader) == len(items)
    assert list(reader) == items
    expected = [digest_of(artifacts.serializers.serialize(item)) for item in items]
    assert reader.digests() == expected
    for index, item in enumerate(items):
        one = reader.item_ref(index)
        assert one.digest == reader.digest(index) == expected[index]
        assert artifacts.load(one) == item
        assert one.serializer == artifacts.serializers.for_value(item).id


def test_items_of_every_kind(artifacts: ArtifactStore) -> None:
    ref = written(artifacts, ITEMS, inline=False)
    assert isinstance(ref.place, PackPlace)
    check(artifacts, ref, ITEMS)
    reader = artifacts.open_sequence(ref)
    assert reader[-1] == 8.5
    assert reader[2:4] == [None, (3,)]
    assert artifacts.load(ref) == ITEMS
    for index in (9, -10):
        with pytest.raises(IndexError):
            reader[index]


def test_empty_and_tiny_ones_are_inline(artifacts: ArtifactStore) -> None:
    for items in ([], [5]):
        ref = written(artifacts, items)
        assert isinstance(ref.place, InlinePlace)
        check(artifacts, ref, items)


def test_one_large_item_alone_keeps_its_store(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    # It would fit inline, but then nothing would say where the item's object is.
    item = "x" * 100_000
    SegmentWriter(store, tools.run, 1).append([tools.record("a", b"c" * 32, artifacts=artifacts, sequence=[item])])
    (record,) = read_records(store, tools.run)
    assert record.sequence is not None
    assert isinstance(record.sequence.place, RecordPlace)
    assert artifacts.open_sequence(record.sequence)[0] == item
    assert record.next.sequence == record.sequence
    assert record.outputs == {}


def test_in_a_record(artifacts: ArtifactStore, store: DataStore, tools: Any) -> None:
    items = list(range(200))
    SegmentWriter(store, tools.run, 1).append(
        [tools.record("a", b"c" * 32, {"x": 1}, artifacts=artifacts, sequence=items)]
    )
    (record,) = read_records(store, tools.run)
    assert list(record.outputs) == ["x"]
    ref = ScopeReader([pack_layer(record.table, record.place)]).get("_foreach")
    assert ref == record.sequence
    assert ScopeReader([pack_layer(record.table, record.place)]).names() == ["x"]
    check(artifacts, ref, items)
    # Taking an item over, as an artifact of its own, keeps no tie to the sequence.
    writer = OutputWriter(artifacts)
    writer.add_ref("item", artifacts.open_sequence(ref).item_ref(7))
    again = OutputWriter(artifacts)
    again.add("item", 7)
    assert writer.finish().digest == again.finish().digest


def test_medium_ones_are_objects(artifacts: ArtifactStore) -> None:
    items = list(range(3000))
    ref = written(artifacts, items)
    assert isinstance(ref.place, ObjectPlace)
    check(artifacts, ref, items)


def test_streamed_and_held_have_one_identity(
    artifacts: ArtifactStore, store: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [f"item {i}" * (i % 50) for i in range(ITEMS_PER_LEAF * 2 + 5)]
    held = written(artifacts, items)
    store.delete([object_key(held.digest)])
    monkeypatch.setattr(sequence_writer, "STREAM_FROM", 10_000)
    streamed = written(artifacts, iter(items))
    assert streamed == held
    fresh = ArtifactStore({artifacts.default: store}, default=artifacts.default)
    check(fresh, streamed, items)
    # And once more, onto the one that is there.
    assert written(artifacts, items) == held
    item = fresh.open_sequence(streamed).item_ref(3)
    assert isinstance(item.place, PackPlace)
    assert item.place.offset >= PAGE


@settings(max_examples=examples(40))
@given(st.lists(st.none() | st.integers() | st.text(max_size=40) | st.binary(max_size=40), max_size=60))
def test_any_items(items: list[Any]) -> None:
    from dovetail.testing.memory_store import MemoryStore

    artifacts = ArtifactStore({"u": MemoryStore()}, default="u")
    check(artifacts, written(artifacts, items, inline=False), items)
    before = sequence_writer.STREAM_FROM
    sequence_writer.STREAM_FROM = 1
    try:
        streamed = written(artifacts, items)
        assert streamed.digest == written(artifacts, items, inline=False).digest
        fresh = ArtifactStore({"u": artifacts.store("u")}, default="u")
        check(fresh, streamed, items)
    finally:
        sequence_writer.STREAM_FROM = before


def test_memory_stays_bounded(local: DataStore) -> None:
    artifacts = ArtifactStore({"u": local}, default="u")

    def items() -> Iterator[bytes]:
        for index in range(600):
            yield index.to_bytes(8, "big") * 8000  # 64,000 bytes: 38 MB in all

    tracemalloc.start()
    try:
        ref, length = OutputWriter(artifacts).write_sequence(items())
        _, peak = tracemalloc.get_traced_memory()
        assert length == 600
        assert ref.size > 38_000_000
        assert peak < 8_000_000
        tracemalloc.reset_peak()
        reader = artifacts.open_sequence(ref)
        assert reader[599] == (599).to_bytes(8, "big") * 8000
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_reader_is_kept(artifacts: ArtifactStore) -> None:
    ref = written(artifacts, range(3000))
    assert artifacts.open_sequence(ref) is artifacts.open_sequence(ref)


def test_one_item_reads_one_piece_of_the_index(plain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    store = plain()
    artifacts = ArtifactStore({"u": store}, default="u")
    ref = written(artifacts, range(ITEMS_PER_LEAF * 10))
    read = 0
    get = store.get

    def counted(key: str, *, byte_range: Any = None) -> Any:
        nonlocal read
        result = get(key, byte_range=byte_range)
        read += result.length
        return result

    monkeypatch.setattr(store, "get", counted)
    reader = ArtifactStore({"u": store}, default="u").open_sequence(ref)
    assert reader[5000] == 5000
    first = read
    assert first < ITEMS_PER_LEAF * ENTRY_SIZE + 10_000
    assert reader[5001] == 5001
    assert read - first == 4


def test_an_item_that_can_not_be_stored_is_named(artifacts: ArtifactStore) -> None:
    import threading

    with pytest.raises(UnpicklableError, match=r"item 2 of the foreach: .*lock"):
        OutputWriter(artifacts).write_sequence([1, 2, threading.Lock()])


def test_nothing_is_left_when_the_source_fails(
    artifacts: ArtifactStore, store: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_writer, "STREAM_FROM", 1000)

    def items() -> Iterator[int]:
        yield from range(1000)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        OutputWriter(artifacts).write_sequence(items())
    assert list(store.scan("objects/")) == []


def test_flipped_bytes_are_found(memory: Callable[..., Any]) -> None:
    store = memory()
    artifacts = ArtifactStore({"u": store}, default="u")
    items = [f"item {i}" for i in range(1500)]
    ref = written(artifacts, items)
    key = object_key(ref.digest)
    good = store.get(key).read()
    for at in [*range(PRELUDE_SIZE), *range(PRELUDE_SIZE, len(good), 1511)]:
        bad = bytearray(good)
        bad[at] ^= 4
        store.put(key, bytes(bad), mode="overwrite")
        fresh = ArtifactStore({"u": store}, default="u")
        try:
            assert list(fresh.open_sequence(ref, name="s")) == items
        except (CorruptDataError, StoreVersionError):
            continue
        else:
            assert good[at] == 0  # padding


def test_a_sequence_that_is_gone(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = written(artifacts, range(3000))
    store.delete([object_key(ref.digest)])
    with pytest.raises(ArtifactGoneError, match="artifact F/r/s/_foreach"):
        artifacts.open_sequence(ref, name="F/r/s/_foreach")


def test_another_value_is_no_sequence(artifacts: ArtifactStore) -> None:
    other = artifacts.save(b"x" * 1000)
    lie = ArtifactRef(digest=other.digest, size=1, serializer="sequence", place=other.place)
    with pytest.raises(CorruptDataError, match="no sequence"):
        artifacts.open_sequence(lie)


def test_a_full_temporary_folder_is_told(plain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sequence_writer, "STREAM_FROM", 1)
    monkeypatch.setattr(unnamed, "temporary_file", lambda stack: Full())
    monkeypatch.setattr(sequence_writer, "temporary_file", lambda stack: Full())
    with pytest.raises(StoreFullError, match="TMPDIR"):
        written(ArtifactStore({"u": plain()}, default="u"), [1])
