"""Logs: what each attempt wrote is found again, whatever else was written between."""

from __future__ import annotations

from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts import logs
from dovetail.artifacts.logs import LogFollower, LogWriter, read_log, tail_log
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, StoreFullError
from dovetail.testing.memory_store import MemoryStore

RUN = "r" * 26


def text(store: DataStore, location: Any, path: str, attempt: int = 1, stream: str = "stdout") -> bytes:
    return b"".join(e.data for e in read_log(store, RUN, location, path, attempt) if e.stream == stream)


def test_one_task(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    assert writer.location("a", 1) is None
    writer.append("a", 1, "stdout", 0, 1.0, b"one\n")
    writer.append("a", 1, "stderr", 0, 1.5, b"oops\n")
    writer.append("a", 1, 0, 4, 2.0, b"two\n")
    writer.append("a", 1, "stdout", 8, 2.0, b"")
    assert writer.pending == 13
    location = writer.location("a", 1)
    assert location is not None
    keys = writer.flush()
    assert [key.startswith(f"runs/{RUN}/logs/000001-") for key in keys] == [True]
    assert writer.flush() == ()
    assert writer.pending == 0
    entries = list(read_log(store, RUN, location, "a", 1))
    assert [(e.stream, e.offset, e.time, e.data) for e in entries] == [
        ("stdout", 0, 1.0, b"one\n"),
        ("stderr", 0, 1.5, b"oops\n"),
        ("stdout", 4, 2.0, b"two\n"),
    ]


def test_many_tasks_between_each_other(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    for part in range(3):
        for task in range(5):
            writer.append(f"t[{task}]", 1, 0, part, 0.0, b"%d-%d\n" % (task, part))
        if part == 1:
            writer.flush()
    locations = {task: writer.location(f"t[{task}]", 1) for task in range(5)}
    writer.close()
    for task, location in locations.items():
        writer.forget(f"t[{task}]", 1)
        assert text(store, location, f"t[{task}]") == b"".join(b"%d-%d\n" % (task, part) for part in range(3))
    assert writer.location("t[0]", 1) is None


def test_attempts_are_apart(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    writer.append("a", 1, 0, 0, 0.0, b"first")
    first = writer.location("a", 1)
    writer.append("a", 2, 0, 0, 0.0, b"second")
    second = writer.location("a", 2)
    writer.close()
    assert text(store, first, "a", 1) == b"first"
    assert text(store, second, "a", 2) == b"second"


def test_locations_before_the_flush_hold_after_it(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    locations = []
    for task in range(4):
        writer.append(f"t[{task}]", 1, 0, 0, 0.0, b"x" * task * 400)
        locations.append(writer.location(f"t[{task}]", 1))
        writer.forget(f"t[{task}]", 1)
    assert list(store.scan("runs/")) == []
    writer.flush()
    assert locations[0] is None
    for task in range(1, 4):
        assert text(store, locations[task], f"t[{task}]") == b"x" * task * 400


def test_much_is_written_at_once(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_SIZE", 1000)
    writer = LogWriter(store, RUN, 1)
    for part in range(10):
        writer.append("a", 1, 0, part * 400, 0.0, b"y" * 400)
        assert writer.pending < 1000
    location = writer.location("a", 1)
    assert len(writer.flush()) >= 1
    assert text(store, location, "a") == b"y" * 4000


def test_a_task_stays_in_its_segment(local: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SEGMENT_LIMIT", 100)
    writer = LogWriter(local, RUN, 1)
    writer.append("long", 1, 0, 0, 0.0, b"a" * 200)
    writer.flush()
    writer.append("next", 1, 0, 0, 0.0, b"b" * 200)
    writer.append("long", 1, 0, 200, 0.0, b"c" * 200)
    writer.flush()
    long, after = writer.location("long", 1), writer.location("next", 1)
    assert long is not None
    assert after is not None
    assert (long[0], after[0]) == ("000001-000000", "000001-000001")
    assert text(local, long, "long") == b"a" * 200 + b"c" * 200
    assert text(local, after, "next") == b"b" * 200


CHUNKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.binary(max_size=30), st.sampled_from(["", "flush", "locate"])),
    max_size=30,
)


@settings(max_examples=examples(80))
@given(CHUNKS, st.booleans())
def test_any_chunks(chunks: list[tuple[int, int, bytes, str]], appends: bool) -> None:
    store = MemoryStore()
    if not appends:
        store.capabilities = type(store).capabilities & ~type(store).capabilities.APPEND  # type: ignore[misc]
    writer = LogWriter(store, RUN, 1)
    expected: dict[tuple[str, str], bytes] = {}
    for task, stream, data, then in chunks:
        key = (f"t[{task}]", ("stdout", "stderr")[stream])
        writer.append(key[0], 1, stream, len(expected.get(key, b"")), 0.0, data)
        expected[key] = expected.get(key, b"") + data
        if then == "flush":
            writer.flush()
        elif then == "locate":
            writer.location(key[0], 1)
    locations = {path: writer.location(path, 1) for path, _ in expected}
    writer.close()
    for (path, stream_name), data in expected.items():
        location = locations[path]
        if location is None:
            assert data == b""
        else:
            assert text(store, location, path, stream=stream_name) == data
    followed: dict[tuple[str, str], bytes] = {}
    for entry in LogFollower(store, RUN).read():
        key = (entry.path, entry.stream)
        assert entry.offset == len(followed.get(key, b""))
        followed[key] = followed.get(key, b"") + entry.data
    assert followed == {key: data for key, data in expected.items() if data}


def test_tail(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    writer.append("a", 1, 0, 0, 1.0, b"one\ntw")
    writer.append("a", 1, 1, 0, 1.5, b"err\n")
    writer.append("a", 1, 0, 6, 2.0, b"o\nthree\nfo")
    writer.append("a", 1, 0, 16, 3.0, b"ur")
    location = writer.location("a", 1)
    writer.close()
    assert location is not None
    tail = tail_log(store, RUN, location, "a", 1, lines=3)
    assert tail == [(2.0, b"two"), (2.0, b"three"), (3.0, b"four")]
    every = tail_log(store, RUN, location, "a", 1, lines=100, stream="stderr")
    assert every == [(1.5, b"err")]


def test_following(store: DataStore) -> None:
    writer = LogWriter(store, RUN, 1)
    follower = LogFollower(store, RUN)
    assert list(follower.read()) == []
    writer.append("a", 1, 0, 0, 0.0, b"1")
    writer.flush()
    writer.append("b", 1, 0, 0, 0.0, b"2")
    assert [e.data for e in follower.read()] == [b"1"]
    assert [e.data for e in follower.read()] == []
    writer.flush()
    later = LogWriter(store, RUN, 2)
    later.append("b", 2, 0, 0, 0.0, b"3")
    later.flush()
    assert [(e.path, e.attempt, e.data) for e in follower.read()] == [("b", 1, b"2"), ("b", 2, b"3")]


def test_damage_and_loss_are_told(memory: Any) -> None:
    store = memory()
    writer = LogWriter(store, RUN, 1)
    writer.append("a", 1, 0, 0, 0.0, b"good")
    writer.flush()
    writer.append("a", 1, 0, 4, 0.0, b"bad")
    location = writer.location("a", 1)
    (key,) = writer.flush()
    data = bytearray(store.get(key).read())
    data[-1] ^= 1
    store.put(key, bytes(data), mode="overwrite")
    found = []
    with pytest.raises(CorruptDataError, match="log of a is damaged"):
        found += read_log(store, RUN, location, "a", 1)  # type: ignore[arg-type]
    assert next(LogFollower(store, RUN).read()).data == b"good"
    store.delete([key])
    with pytest.raises(ArtifactGoneError, match="log of a is gone"):
        list(read_log(store, RUN, location, "a", 1))  # type: ignore[arg-type]


def test_after_a_failed_write_another_segment_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    writer = LogWriter(store, RUN, 1)
    writer.append("a", 1, 0, 0, 0.0, b"kept")
    kept = writer.location("a", 1)
    writer.flush()
    writer.forget("a", 1)
    append = store.append

    def torn(key: str, body: Any) -> int:
        append(key, b"".join(body)[:9])
        raise StoreFullError("no room")

    writer.append("b", 1, 0, 0, 0.0, b"lost")
    monkeypatch.setattr(store, "append", torn)
    with pytest.raises(StoreFullError):
        writer.flush()
    monkeypatch.undo()
    writer.append("b", 1, 0, 4, 0.0, b"later")
    later = writer.location("b", 1)
    writer.append("c", 1, 0, 0, 0.0, b"new")
    new = writer.location("c", 1)
    writer.flush()
    assert text(store, kept, "a") == b"kept"
    assert text(store, later, "b") == b"later"
    assert text(store, new, "c") == b"new"
