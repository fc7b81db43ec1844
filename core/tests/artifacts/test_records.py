"""Commit records and the segments they are written to: nothing torn is read, and of two writers one wins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts import framing, segments
from dovetail.artifacts.fences import claim_fence, newest_fence, read_fences
from dovetail.artifacts.framing import HEADER_SIZE
from dovetail.artifacts.layout import commit_key, fence_key, segment_key
from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.records import CommitRecord, unpack_record
from dovetail.artifacts.segments import (
    SegmentWriter,
    find_record,
    put_commit,
    read_frame_records,
    read_records,
)
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import InlinePlace, RecordPlace
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    ArtifactGoneError,
    CorruptDataError,
    StoreFullError,
    StoreVersionError,
)
from dovetail.interfaces.tasks import ErrorReport, Exit, Next, Usage
from dovetail.testing.memory_store import MemoryStore

CALL = b"c" * 32


def paths(store: DataStore, run: str, **options: Any) -> list[str]:
    return [record.path for record in read_records(store, run, **options)]


# -- one record -------------------------------------------------------------------------------------------------------


def test_every_field_comes_back() -> None:
    error = ErrorReport(type="ValueError", message="m", traceback="t", bases=("ValueError", "Exception"))
    writer = OutputWriter(ArtifactStore({}))
    writer.add("x", 5)
    outputs = writer.finish()
    body = pack_body(
        outputs,
        reads={"a": b"d" * 32, "b": None, "": {"a": [b"e" * 32, None, b""]}},
        next=Next(targets=("b", "c"), condition='"k"', var="xs", on_error="collect", length=3),
        caught=error,
        started=1.5,
        finished=2.5,
    )
    head = pack_head(
        path="a[0]/f~0123456789abcdef#2",
        call_digest=CALL,
        code_key=b"k" * 32,
        environment="env",
        attempt=3,
        state="cached",
        predecessors=["p[0]", "p[1]"],
        store="uuid",
        exit=Exit(code=1, signal=9, out_of_memory=True, last_memory=5),
        cpu=0.25,
        memory=1 << 40,
        log=("000001-000000", 5, 10),
        origin="other",
        isolation="fork",
    )
    data = join_record(head, body)
    assert msgpack.unpackb(data)[1] == body
    record = unpack_record(data, store="home", run="r", key="k", frame=7, values=(100, 20))
    assert record.path == "a[0]/f~0123456789abcdef#2"
    assert record.call_digest == CALL
    assert record.code_key == b"k" * 32
    assert (record.environment, record.attempt, record.state) == ("env", 3, "cached")
    assert record.predecessors == ("p[0]", "p[1]")
    assert record.store == "uuid"
    assert record.exit == Exit(code=1, signal=9, out_of_memory=True, last_memory=5)
    assert record.usage == Usage(cpu=0.25, memory=1 << 40)
    assert record.log == ("000001-000000", 5, 10)
    assert (record.origin, record.isolation) == ("other", "fork")
    assert record.body == body
    assert record.table == outputs.table
    assert record.outputs_digest == outputs.digest
    assert record.reads == {"a": b"d" * 32, "b": None, "": {"a": [b"e" * 32, None, b""]}}
    assert record.next == Next(targets=("b", "c"), condition='"k"', var="xs", on_error="collect", length=3)
    assert record.caught == error
    assert (record.started, record.finished) == (1.5, 2.5)
    assert record.place == ("home", "r", "a[0]/f~0123456789abcdef#2", CALL, "k", 100)
    assert record.outputs["x"].place == InlinePlace(data=b"5")
    assert "a[0]/f" in repr(record)


def test_what_is_absent_is_none(tools: Any) -> None:
    data, _ = tools.record("a", CALL)
    record = unpack_record(data, store="s", run="r")
    assert (record.exit, record.usage, record.log, record.origin, record.caught) == (None, Usage(), None, None, None)
    assert record.outputs == {}
    assert record.sequence is None
    assert record.read_values(MemoryStore()) == b""


def test_the_end_step_has_no_targets() -> None:
    outputs = OutputWriter(ArtifactStore({})).finish()
    for taken in (Next(targets=()), None):
        body = pack_body(outputs, reads={}, next=taken, started=0.0, finished=0.0)
        head = pack_head(
            path="end", call_digest=CALL, code_key=CALL, environment="", attempt=1, state="succeeded",
            predecessors=[], store="",
        )  # fmt: skip
        assert unpack_record(join_record(head, body), store="s", run="r").next == taken


def test_a_newer_record_is_refused(tools: Any) -> None:
    data, _ = tools.record("a", CALL)
    head, body = msgpack.unpackb(data)
    with pytest.raises(StoreVersionError, match="Upgrade"):
        unpack_record(msgpack.packb([[2, *head[1:]], body]), store="s", run="r")
    longer = unpack_record(msgpack.packb([[*head, "later field"], body]), store="s", run="r")
    assert longer.path == "a"


@pytest.mark.parametrize("data", [b"", b"\x92", msgpack.packb([1, 2]), msgpack.packb([[1], b""]), msgpack.packb(5)])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(CorruptDataError):
        unpack_record(data, store="s", run="r")


def test_a_damaged_body_is_told_when_it_is_looked_at() -> None:
    head = pack_head(
        path="end", call_digest=CALL, code_key=CALL, environment="", attempt=1, state="succeeded",
        predecessors=[], store="",
    )  # fmt: skip
    record = unpack_record(join_record(head, b"\x91\x01"), store="s", run="r")
    assert record.path == "end"
    with pytest.raises(CorruptDataError, match="r/end"):
        _ = record.outputs


# -- segments ---------------------------------------------------------------------------------------------------------


def test_write_and_read(store: DataStore, tools: Any) -> None:
    open_store(store)
    writer = SegmentWriter(store, tools.run, 1)
    assert writer.append([]) == []
    outputs = [{"x": i, "y": b"y" * i * 50} for i in range(10)]
    records = [tools.record(f"a[{i}]", bytes([i]) * 32, outputs[i]) for i in range(10)]
    told = writer.append(records[:4]) + writer.append(records[4:5]) + writer.append(records[5:])
    writer.close()
    found = list(read_records(store, tools.run))
    assert [record.path for record in found] == [f"a[{i}]" for i in range(10)]
    assert [(record.key, record.frame, record.values_at) for record in found] == told
    artifacts = ArtifactStore({open_store(store): store})
    for record, (_, values), expected in zip(found, records, outputs, strict=True):
        assert record.read_values(store) == values
        assert {name: artifacts.load(ref) for name, ref in record.outputs.items()} == expected
    for record in found:
        assert record.key is not None
        again = read_frame_records(store, tools.run, record.key, record.frame, uuid="u")
        assert record.path in [one.path for one in again]


def test_batches_are_compressed(local: DataStore, tools: Any) -> None:
    def size(count: int) -> int:
        run = f"{count:026d}"
        SegmentWriter(local, run, 1).append(
            [tools.record(f"train[{i}]", i.to_bytes(4, "big") * 8, {"loss": i}) for i in range(count)]
        )
        return local.head(segment_key(run, 1, 0)).size

    assert size(1000) / 1000 < 150
    assert size(1) < 400


def test_a_segment_that_is_large_is_followed_by_another(
    store: DataStore, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(store)
    monkeypatch.setattr(segments, "SEGMENT_LIMIT", 500)
    writer = SegmentWriter(store, tools.run, 1)
    for index in range(6):
        writer.append([tools.record(f"a[{index}]", CALL)])
    assert len(list(store.scan(f"runs/{tools.run}/segments/"))) > 1
    assert paths(store, tools.run) == [f"a[{i}]" for i in range(6)]


def test_after_a_failed_append_a_new_segment_begins(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    open_store(store)
    writer = SegmentWriter(store, tools.run, 1)
    writer.append([tools.record("a", CALL)])
    append = store.append

    def torn(key: str, body: Any) -> int:
        append(key, b"".join(body)[:40])
        raise StoreFullError("no room")

    monkeypatch.setattr(store, "append", torn)
    with pytest.raises(StoreFullError):
        writer.append([tools.record("lost", CALL)])
    monkeypatch.undo()
    writer.append([tools.record("b", CALL)])
    problems: list[str] = []
    assert paths(store, tools.run, problems=problems) == ["a", "b"]
    assert len(problems) == 1
    assert "000001-000000" in problems[0]


def test_a_second_writer_of_a_segment_is_noticed(tools: Any) -> None:
    store = MemoryStore()
    one, two = SegmentWriter(store, tools.run, 1), SegmentWriter(store, tools.run, 1)
    one.append([tools.record("a", CALL)])
    with pytest.raises(CorruptDataError, match="second writer"):
        two.append([tools.record("b", CALL)])


def test_a_torn_tail_is_ignored_at_every_offset(memory: Callable[..., Any], tools: Any) -> None:
    store = memory()
    open_store(store)
    writer = SegmentWriter(store, tools.run, 1)
    ends = []
    for index in range(3):
        batch = [tools.record(f"a[{index},{j}]", CALL, {"v": b"v" * 300 * j}) for j in range(2)]
        (key, _, _), _ = writer.append(batch)
        ends.append(store.head(key).size)
    whole = store.get(key).read()
    names = [f"a[{i},{j}]" for i in range(3) for j in range(2)]
    for cut in range(len(whole)):
        store.put(key, whole[:cut], mode="overwrite")
        problems: list[str] = []
        complete = sum(end <= cut for end in ends)
        assert paths(store, tools.run, uuid="u", problems=problems) == names[: 2 * complete]
        assert len(problems) == (cut not in (0, *ends))
    # The same tails as a new driver sees them: it fixes the end where the last whole frame ends.
    for cut in (0, 5, ends[0] - 1, ends[0], ends[1] + HEADER_SIZE, len(whole)):
        store.put(key, whole[:cut], mode="overwrite")
        store.delete([fence_key(tools.run, n) for n in range(1, 10)])
        assert claim_fence(store, tools.run) == 1
        assert claim_fence(store, tools.run) == 2
        complete = [0, *ends][sum(end <= cut for end in ends)]
        assert read_fences(store, tools.run)[2] == {"000001-000000": complete}


def test_a_flipped_bit_ends_a_segment(memory: Callable[..., Any], tools: Any) -> None:
    store = memory()
    writer = SegmentWriter(store, tools.run, 1)
    ends = [0]
    for index in range(3):
        ((key, _, _),) = writer.append([tools.record(f"a[{index}]", CALL, {"v": b"v" * 150})])
        ends.append(store.head(key).size)
    whole = store.get(key).read()
    for at in range(len(whole)):
        bad = bytearray(whole)
        bad[at] ^= 1 << (at % 8)
        store.put(key, bytes(bad), mode="overwrite")
        problems: list[str] = []
        intact = sum(end <= at for end in ends[1:])
        assert paths(store, tools.run, uuid="u", problems=problems) == [f"a[{i}]" for i in range(intact)]
        assert len(problems) == 1


def test_reading_needs_no_more_than_a_frame_at_a_time(monkeypatch: pytest.MonkeyPatch, tools: Any) -> None:
    import io

    monkeypatch.setattr(framing, "_CHUNK", 7)

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

    store = MemoryStore()
    writer = SegmentWriter(store, tools.run, 1)
    for index in range(4):
        ((key, _, _),) = writer.append([tools.record(f"a[{index}]", CALL, {"v": b"v" * 300})])
    data = store.get(key).read()
    frames = list(framing.read_frames(Dripping(data), len(data), framing.RECORD_MAGIC, keep_data=True))
    assert len(frames) == 4
    assert frames[-1].end == len(data)
    assert all(len(frame.data) > 300 for frame in frames)


def test_a_record_that_is_gone() -> None:
    store = MemoryStore()
    with pytest.raises(ArtifactGoneError, match="deleted"):
        read_frame_records(store, "r", segment_key("r", 1, 0), 0, uuid="u")
    store.put(segment_key("r", 1, 0), b"DVF1 nothing valid")
    with pytest.raises(CorruptDataError, match="byte 0"):
        read_frame_records(store, "r", segment_key("r", 1, 0), 0, uuid="u")


# -- precedence -------------------------------------------------------------------------------------------------------


def winner(store: DataStore, tools: Any, path: str = "a") -> int:
    (record,) = [record for record in read_records(store, tools.run) if record.path == path]
    found = find_record(store, tools.run, path, CALL)
    assert found is not None
    assert found.attempt == record.attempt
    return record.attempt


def test_an_object_wins_over_a_segment_and_a_lower_fence_over_a_higher(store: DataStore, tools: Any) -> None:
    open_store(store)
    assert claim_fence(store, tools.run) == 1
    first = SegmentWriter(store, tools.run, 1)
    first.append([tools.record("a", CALL, attempt=1), tools.record("a", CALL, attempt=2)])
    assert winner(store, tools) == 1
    assert claim_fence(store, tools.run) == 2
    SegmentWriter(store, tools.run, 2).append([tools.record("a", CALL, attempt=3), tools.record("b", CALL, attempt=4)])
    assert winner(store, tools) == 1
    assert winner(store, tools, "b") == 4
    key, frame, base = put_commit(store, tools.run, "a", CALL, *tools.record("a", CALL, {"x": b"x" * 200}, attempt=5))
    assert winner(store, tools) == 5
    record = find_record(store, tools.run, "a", CALL)
    assert record is not None
    assert (record.key, record.frame, record.values_at) == (key, frame, base)
    assert isinstance(record.outputs["x"].place, RecordPlace)
    assert ArtifactStore({open_store(store): store}).load(record.outputs["x"]) == b"x" * 200
    with pytest.raises(AlreadyExistsError):
        put_commit(store, tools.run, "a", CALL, *tools.record("a", CALL, attempt=6))


def test_records_of_other_calls_stand_beside(store: DataStore, tools: Any) -> None:
    open_store(store)
    writer = SegmentWriter(store, tools.run, 1)
    writer.append([tools.record("a", b"1" * 32), tools.record("a", b"2" * 32), tools.record("a/f", b"1" * 32)])
    put_commit(store, tools.run, "a/f", b"3" * 32, *tools.record("a/f", b"3" * 32))
    assert sorted(paths(store, tools.run)) == ["a", "a", "a/f", "a/f"]
    found = find_record(store, tools.run, "a/f", b"")
    assert found is not None
    assert found.call_digest == b"3" * 32
    found = find_record(store, tools.run, "a", b"")
    assert found is not None
    assert found.call_digest == b"1" * 32
    assert find_record(store, tools.run, "a", b"3" * 32) is None
    assert find_record(store, tools.run, "b", b"") is None


def test_a_commit_object_under_a_wrong_key_is_ignored(store: DataStore, tools: Any) -> None:
    open_store(store)
    key, _, _ = put_commit(store, tools.run, "a", CALL, *tools.record("a", CALL))
    data = store.get(key).read()
    store.put(commit_key(tools.run, "b", CALL), data)
    store.put(commit_key(tools.run, "a", b"x" * 32), data)
    store.put(commit_key(tools.run, "c", CALL), b"rubbish")
    problems: list[str] = []
    assert paths(store, tools.run, problems=problems) == ["a"]
    assert len(problems) == 1


def test_a_zombie_writes_into_the_void(store: DataStore, tools: Any) -> None:
    open_store(store)
    zombie = SegmentWriter(store, tools.run, claim_fence(store, tools.run))
    zombie.append([tools.record("before", CALL)])
    new = SegmentWriter(store, tools.run, claim_fence(store, tools.run))
    zombie.append([tools.record("late", CALL)])
    new.append([tools.record("after", CALL)])
    zombie.append([tools.record("later", CALL)])
    assert paths(store, tools.run) == ["before", "after"]
    assert find_record(store, tools.run, "late", CALL) is None
    assert claim_fence(store, tools.run) == 3
    zombie.append([tools.record("still", CALL)])
    assert paths(store, tools.run) == ["before", "after"]


# -- fences -----------------------------------------------------------------------------------------------------------


def test_fences_count_up(store: DataStore, tools: Any) -> None:
    assert newest_fence(store, tools.run) == 0
    assert [claim_fence(store, tools.run) for _ in range(11)] == list(range(1, 12))
    assert newest_fence(store, tools.run) == 11


def test_of_many_claims_each_gets_its_own(store: DataStore, tools: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: claim_fence(store, tools.run), range(24)))
    assert sorted(got) == list(range(1, 25))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"version":1}', b'{"version":1,"ends":{"a":"b"}}'])
def test_a_damaged_fence_is_told(memory: Callable[..., Any], body: bytes) -> None:
    store = memory()
    store.put(fence_key("r", 1), body)
    with pytest.raises(CorruptDataError, match="fences/000001"):
        list(read_records(store, "r", uuid="u"))


def test_a_newer_fence_is_refused(memory: Callable[..., Any]) -> None:
    store = memory()
    store.put(fence_key("r", 1), b'{"version":2,"ends":{}}')
    with pytest.raises(StoreVersionError):
        claim_fence(store, "r")


# -- a model ----------------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(
        st.just("append"), st.integers(0, 3), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=3)
    ),
    st.tuples(st.just("commit"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("claim")),
    st.tuples(st.just("tear"), st.integers(1, 60)),
)


@settings(max_examples=examples(120))
@given(st.lists(STEP, max_size=14), st.booleans())
def test_any_history_of_drivers_and_agents(steps: list[Any], appends: bool) -> None:
    """Of every call the record counts that the rules name, whatever zombies, agents and torn tails did."""
    store, run, record = _store(appends), "r" * 26, _record
    drivers = [SegmentWriter(store, run, claim_fence(store, run))]
    # The model: commits by call; for each fence the records that were valid when the next one was claimed.
    commits: dict[tuple[str, bytes], int] = {}
    fences: list[list[tuple[tuple[str, bytes], int]]] = [[]]
    torn: set[int] = set()
    number = 0
    for step in steps:
        if step[0] == "append":
            which = max(0, len(drivers) - 1 - step[1])  # 0: the newest driver, else a zombie
            batch = []
            for path, call in step[2]:
                number += 1
                key = (f"p{path}", bytes([call]) * 32)
                batch.append(record(*key, attempt=number))
                if which == len(drivers) - 1:
                    fences[-1].append((key, number))
            if which in torn:
                if which == len(drivers) - 1:
                    del fences[-1][len(fences[-1]) - len(step[2]) :]
                continue
            drivers[which].append(batch)
        elif step[0] == "commit":
            number += 1
            key = (f"p{step[1]}", bytes([step[2]]) * 32)
            try:
                put_commit(store, run, *key, *record(*key, attempt=number))
                commits.setdefault(key, number)
            except AlreadyExistsError:
                assert key in commits
        elif step[0] == "claim":
            drivers.append(SegmentWriter(store, run, claim_fence(store, run)))
            fences.append([])
        elif appends and len(drivers) - 1 not in torn:
            # The machine stops in the middle of a write: this driver never writes again.
            torn.add(len(drivers) - 1)
            data, values = record("torn", b"t" * 32, {"v": b"v" * 300})
            other = MemoryStore()
            ((key_name, _, _),) = SegmentWriter(other, run, 1).append([(data, values)])
            half = other.get(key_name).read()[: step[1]]
            store.append(segment_key(run, len(drivers), 0), half)
    expected = dict(commits)
    for written in fences:
        for key, n in written:
            expected.setdefault(key, n)
    found = {(r.path, r.call_digest): r.attempt for r in read_records(store, run)}
    assert found == expected
    for key in [(f"p{p}", bytes([c]) * 32) for p in range(4) for c in range(2)]:
        one: CommitRecord | None = find_record(store, run, *key)
        assert (None if one is None else one.attempt) == expected.get(key)


def _store(appends: bool) -> MemoryStore:
    store = MemoryStore()
    if not appends:
        store.capabilities = type(store).capabilities & ~type(store).capabilities.APPEND  # type: ignore[misc]
    open_store(store)
    return store


def _record(path: str, call: bytes, outputs: dict[str, Any] | None = None, *, attempt: int = 1) -> tuple[bytes, bytes]:
    writer = OutputWriter(ArtifactStore({}))
    for name, value in (outputs or {}).items():
        writer.add(name, value)
    done = writer.finish()
    head = pack_head(
        path=path, call_digest=call, code_key=call, environment="", attempt=attempt, state="succeeded",
        predecessors=[], store="",
    )  # fmt: skip
    return join_record(head, pack_body(done, reads={}, next=None, started=0.0, finished=0.0)), done.values


WRITER = """
import sys
from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.segments import SegmentWriter
from dovetail.artifacts.store import ArtifactStore
from dovetail.local.store import LocalStore
store, run = LocalStore(sys.argv[1]), "r" * 26
writer = SegmentWriter(store, run, claim_fence(store, run))
for n in range(10**9):
    outputs = OutputWriter(ArtifactStore({}))
    outputs.add("x", str(n) * 300)
    done = outputs.finish()
    head = pack_head(path=f"a[{n}]", call_digest=b"c" * 32, code_key=b"", environment="", attempt=1,
                     state="succeeded", predecessors=[], store="u")
    body = pack_body(done, reads={}, next=None, started=0.0, finished=0.0)
    writer.append([(join_record(head, body), done.values)])
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    from dovetail.local.store import LocalStore

    store = LocalStore(tmp_path)
    artifacts = ArtifactStore({"u": store})
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(30):
                child.stdout.readline()
            child.kill()
            acknowledged = 30 + len(child.stdout.read().splitlines())
        found = {record.path: record for record in read_records(store, "r" * 26, uuid="u")}
        for n in range(acknowledged):
            assert artifacts.load(found[f"a[{n}]"].outputs["x"]) == str(n) * 300
    assert newest_fence(store, "r" * 26) == 2
    store.close()
