"""What the SQLite provider does beyond the model: size, order of work, waiting, versions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    StaleFenceError,
    StoreError,
    StoreVersionError,
    UsageError,
)
from dovetail.interfaces.events import TASK_COLUMNS, Event
from dovetail.interfaces.metadata import Query
from dovetail.local import _schema
from dovetail.local.metadata import SqliteMetadata
from dovetail.local.settings import SqliteSettings

NOW = 1_795_250_000.0


@pytest.fixture
def metadata(tmp_path: Path) -> SqliteMetadata:
    return SqliteMetadata(tmp_path / "home" / "metadata.db")


def task(n: int, path: str, state: str = "succeeded", **columns: Any) -> Event:
    return Event("w", n, "task", NOW + n, path, {"state": state, **columns})


def wide(metadata: SqliteMetadata, count: int, *, batch: int = 500, run: str = "r") -> None:
    """Tasks that did nothing, as a driver tells of them."""
    metadata.create_run("F", run_id=run, created=NOW)
    for begin in range(0, count, batch):
        metadata.append(
            run,
            [
                task(
                    at + 1,
                    f"body[{at}]",
                    attempt=1,
                    started=NOW + at * 0.00023,
                    finished=NOW + at * 0.00023 + 0.0001,
                    outputs=f'{{"y":[{at}]}}',
                    record=f'["runs/01m7yqj1m6egnb85sc2745sm62/segments/000001-000001",{at * 317}]',
                )
                for at in range(begin, min(begin + batch, count))
            ],
            fence=1,
        )


def plan(metadata: SqliteMetadata, monkeypatch: pytest.MonkeyPatch, query: Query, *columns: str) -> str:
    """How SQLite finds the rows of a query."""
    told: list[str] = []
    with metadata._database.read() as connection:
        connection.set_trace_callback(told.append)
    metadata.query(query, columns=columns or None)
    with metadata._database.read() as connection:
        connection.set_trace_callback(None)
        last = [sql for sql in told if sql.startswith("SELECT")][-1]
        return " | ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + last))


def test_a_task_is_small(metadata: SqliteMetadata) -> None:
    wide(metadata, 1000)
    metadata.close()
    before = metadata.path.stat().st_size
    metadata = SqliteMetadata(metadata.path)
    wide(metadata, 10_000, run="s")
    metadata.close()
    assert (metadata.path.stat().st_size - before) / 10_000 <= 120


def test_few_statements_a_batch(metadata: SqliteMetadata) -> None:
    """The interpreter's lock is taken a few times a batch, however many tasks it has."""
    wide(metadata, 600, batch=300)
    told: list[str] = []
    with metadata._database.write() as connection:
        connection.set_trace_callback(told.append)
    metadata.append("r", [task(n, f"body[{n}]", attempt=1) for n in range(601, 1501)], fence=1)
    assert len(told) - 1 <= 9  # the commit of the block above is told, too


def test_queries_use_the_order_of_the_rows(metadata: SqliteMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    wide(metadata, 2000)
    metadata.append("r", [task(5001, "end", "failed"), task(5002, "other")], fence=1)
    by_id = "SEARCH t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    found = plan(metadata, monkeypatch, Query(kind="tasks", run="r", step="body", limit=10))
    assert by_id in found
    assert "TEMP B-TREE" not in found
    found = plan(metadata, monkeypatch, Query(kind="tasks", run="r"), "path", "state", "artifact:y")
    assert by_id in found
    assert "TEMP B-TREE" not in found
    found = plan(metadata, monkeypatch, Query(kind="tasks", run="r", path="body[7]"))
    assert "task_path (step=? AND path=?" in found
    assert "task_unfinished" in plan(metadata, monkeypatch, Query(kind="tasks", run="r", states=("failed", "running")))
    assert "task_path (step=?" in plan(metadata, monkeypatch, Query(kind="tasks", run="r", step="other"))
    found = plan(metadata, monkeypatch, Query(kind="runs", flow="F", limit=1))
    assert "run_of_flow (flow=?)" in found
    assert "TEMP B-TREE" not in found
    found = plan(metadata, monkeypatch, Query(kind="runs", limit=1))
    assert "run_created" in found
    assert "TEMP B-TREE" not in found


def test_values_come_back_exactly(metadata: SqliteMetadata) -> None:
    metadata.create_run("F", run_id="r", created=1.5)
    now = time.time()
    rows: list[dict[str, Any]] = [
        {"started": now, "finished": now + 1 / 3, "cpu": 0.004321, "memory": 1 << 40},
        {"started": 0.1, "finished": 100.7, "cpu": 1 / 3, "memory": 0},
        {"started": None, "finished": -5.25, "cpu": 0.0, "memory": None},
        {"started": 4e9, "finished": 1e300, "cpu": 1e9, "memory": 1},
    ]
    metadata.append("r", [task(n, f"a[{n}]", **row) for n, row in enumerate(rows, 1)], fence=1)
    page = metadata.query(
        Query(kind="tasks", run="r", oldest_first=True), columns=("started", "finished", "cpu", "memory")
    )
    assert page.rows == [tuple(row.values()) for row in rows]
    assert [dict(event.data) for event in metadata.read("r")] == [{"state": "succeeded", **row} for row in rows]


def test_texts_that_tasks_share_are_kept_once(metadata: SqliteMetadata) -> None:
    """A thousand tasks that fail for one reason do not store its traceback a thousand times."""
    metadata.create_run("F", run_id="r", created=NOW)
    error = '{"type":"ValueError","traceback":"%s"}' % ("x" * 5000)
    texts = [
        {"error": error, "log": f'["000001-000001",{at},{at + 200}]', "record": f'["000001-000001",{at}]'}
        for at in range(1000)
    ]
    for begin in range(0, 1000, 100):
        metadata.append(
            "r", [task(at + 1, f"a[{at}]", "failed", **texts[at]) for at in range(begin, begin + 100)], fence=1
        )
    page = metadata.query(Query(kind="tasks", run="r", oldest_first=True), columns=("error", "log", "record"))
    assert page.rows == [tuple(row.values()) for row in texts]
    metadata.close()
    assert metadata.path.stat().st_size < 500_000


def test_another_process_went_on_with_the_texts(metadata: SqliteMetadata) -> None:
    """Numbers of shared texts and steps that this process remembers are not trusted blindly."""
    metadata.create_run("F", run_id="r", created=NOW)
    other = SqliteMetadata(metadata.path)
    n = 0
    for turn in range(4):
        for provider in (metadata, other):
            for text in ("x", "x", f"{turn % 2}", "y"):
                n += 1
                provider.append("r", [task(n, f"s{turn}[{n}]", info=text * 30, record=f'["{text}",{n}]')], fence=1)
    rows = metadata.query(Query(kind="tasks", run="r", oldest_first=True), columns=("info", "record")).rows
    expected = [text for turn in range(4) for _ in range(2) for text in ("x", "x", f"{turn % 2}", "y")]
    assert rows == [(text * 30, f'["{text}",{n}]') for n, text in enumerate(expected, 1)]
    metadata.delete_run("r")
    metadata.create_run("F", run_id="r", created=NOW)
    other.append("r", [task(1, "s1[1]", info="x" * 30), task(2, "s1[2]", info="x" * 30)], fence=1)
    rows = metadata.query(Query(kind="tasks", run="r"), columns=("path", "info")).rows
    assert rows == [("s1[2]", "x" * 30), ("s1[1]", "x" * 30)]
    other.close()


def test_a_batch_that_fails_changes_nothing(metadata: SqliteMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.local import _appending

    wide(metadata, 10)
    before = metadata.query(Query(kind="tasks", run="r")), metadata.counts("r"), list(metadata.read("r"))
    batch = [task(n, f"new[{n}]", info="shared text", attempt=2) for n in range(11, 15)]
    with monkeypatch.context() as failing:
        failing.setattr(_appending, "_update_run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            metadata.append("r", batch, fence=1)
    assert before == (metadata.query(Query(kind="tasks", run="r")), metadata.counts("r"), list(metadata.read("r")))
    assert metadata.append("r", batch, fence=1) == 14
    assert metadata.append("r", batch, fence=1) == 14
    rows = metadata.query(Query(kind="tasks", run="r", step="new"), columns=("path", "info")).rows
    assert rows == [(f"new[{n}]", "shared text") for n in range(14, 10, -1)]


def test_fences(metadata: SqliteMetadata) -> None:
    metadata.create_run("F", run_id="r")
    with pytest.raises(PreconditionError, match="fence"):
        metadata.append("r", [task(1, "a")])
    metadata.append("r", [task(1, "a")], fence=2)
    with pytest.raises(StaleFenceError, match="newer driver"):
        metadata.append("r", [task(2, "b")], fence=1)
    assert metadata.append("r", [Event("cli", 1, "tag", NOW, "", {"add": ["x"]})]) == 2
    assert metadata.append("r", [], fence=3) == 2
    with pytest.raises(StaleFenceError):
        metadata.append("r", [], fence=2)
    with pytest.raises(NotFoundError, match="run q"):
        metadata.append("q", [], fence=1)
    with pytest.raises(AlreadyExistsError, match="of flow F"):
        metadata.create_run("G", run_id="r")
    assert metadata.create_run("F", run_id="r").run == "r"


def test_unknown_columns_and_kinds(metadata: SqliteMetadata) -> None:
    with pytest.raises(UsageError) as caught:
        metadata.query(Query(kind="tasks"), columns=("sate",))
    assert caught.value.hint == "Did you mean state?"
    with pytest.raises(UsageError):
        metadata.query(Query(kind="thing"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cursor"):
        metadata.query(Query(kind="runs", cursor="x"))
    with pytest.raises(UsageError):
        metadata.query(Query(kind="runs", limit=-1))


def test_limits_of_time(metadata: SqliteMetadata) -> None:
    for at in range(3):
        metadata.create_run("F", run_id=f"r{at}", created=NOW + at)
        metadata.append(f"r{at}", [task(1, "a", started=NOW + at)], fence=1)
    kinds: list[Any] = ["runs", "tasks"]
    for kind in kinds:
        query = Query(kind=kind, since=NOW, until=NOW + 2)
        assert [row[0] for row in metadata.query(query, columns=("run",)).rows] == ["r1", "r0"]


def test_a_reader_that_stops_holds_nothing(metadata: SqliteMetadata) -> None:
    wide(metadata, 2000, batch=10)
    reading = metadata.read("r", since=5)
    assert next(reading).seq == 6
    metadata.append("r", [task(2001, "end")], fence=1)
    assert [event.seq for event in reading] == list(range(7, 2002))
    assert list(metadata.read("r", since=2001)) == []
    with pytest.raises(NotFoundError):
        metadata.read("q")


def test_watch_tells_everything_and_ends(metadata: SqliteMetadata) -> None:
    metadata.create_run("F", run_id="r", created=NOW)
    other = SqliteMetadata(metadata.path)
    seen: dict[str, list[int]] = {"same": [], "other": []}

    def follow(name: str, provider: SqliteMetadata) -> None:
        for event in provider.watch("r", since=1):
            seen[name].append(event.seq)

    threads = [
        threading.Thread(target=follow, args=(name, provider))
        for name, provider in (("same", metadata), ("other", other))
    ]
    for thread in threads:
        thread.start()
    for n in range(1, 30):
        metadata.append("r", [task(n, f"a[{n}]")], fence=1)
    other.append("r", [Event("cli", 1, "tag", NOW, "", {"add": ["x"]})])
    metadata.append("r", [Event("w", 30, "run.state", NOW, "", {"state": "succeeded"})], fence=1)
    for thread in threads:
        thread.join(30)
    assert seen == {"same": list(range(2, 32)), "other": list(range(2, 32))}
    assert [event.seq for event in metadata.watch("r", since=31)] == []
    other.close()


def test_watching_a_run_that_is_deleted_ends(metadata: SqliteMetadata) -> None:
    metadata.create_run("F", run_id="r", created=NOW)
    watched = metadata.watch("r")
    ended = threading.Event()

    def follow() -> None:
        assert list(watched) == []
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    metadata.delete_run("r")
    assert ended.wait(30)
    thread.join()
    with pytest.raises(NotFoundError):
        metadata.watch("r")


def test_deleting_leaves_no_row(metadata: SqliteMetadata) -> None:
    wide(metadata, 100)
    metadata.append("r", [Event("c", 1, "tag", NOW, "", {"add": ["x"]})])
    metadata.delete_run("r")
    with metadata._database.read() as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        left = {name for name in tables if connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]}
    assert left == {"token", "sqlite_sequence"}


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ctx = PluginContext(instance="sqlite", home=tmp_path / "home")

    def opened(target: str, settings: SqliteSettings | None = None, ctx: PluginContext = ctx) -> str:
        provider = SqliteMetadata.open(target, settings or SqliteSettings(), ctx)
        provider.close()
        return str(provider.path.relative_to(tmp_path))

    assert opened("") == "home/metadata.db"
    assert opened("~/x.db") == "x.db"
    assert opened(f"sqlite://{tmp_path}/y.db") == "y.db"
    assert opened("", SqliteSettings(path="~/z.db")) == "z.db"
    assert opened("", ctx=PluginContext(instance="second", home=tmp_path / "home")) == "home/second/metadata.db"
    assert sorted(os.listdir(tmp_path / "home")) == ["metadata.db", "second"]


def test_a_commit_is_on_the_disk(metadata: SqliteMetadata) -> None:
    """FULL: without it SQLite syncs a write-ahead log only now and then."""
    metadata.create_run("F", run_id="r")
    for _ in range(2):
        with metadata._database.write() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with metadata._database.write(power_durable=False) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    other = SqliteMetadata(metadata.path.with_name("other.db"), journal="truncate")
    with other._database.write(power_durable=False) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    other.close()


def test_a_database_without_write_ahead_log(tmp_path: Path) -> None:
    metadata = SqliteMetadata(tmp_path / "metadata.db", journal="truncate")
    wide(metadata, 10)
    assert not (tmp_path / "metadata.db-wal").exists()
    assert metadata.counts("r") == {"body": {"succeeded": 10}}
    metadata.close()


def test_a_newer_format_is_refused(metadata: SqliteMetadata) -> None:
    metadata.close()
    with sqlite3.connect(metadata.path) as connection:
        connection.execute(f"PRAGMA user_version = {_schema.FORMAT + 1}")
    connection.close()
    with pytest.raises(StoreVersionError, match=f"format {_schema.FORMAT + 1}") as caught:
        SqliteMetadata(metadata.path)
    assert str(metadata.path) in caught.value.message
    assert "Upgrade" in (caught.value.hint or "")


def older(path: Path) -> None:
    """Make a database what a version that cached nothing has left."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX task_cache")
        connection.execute("ALTER TABLE task DROP COLUMN cache")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_an_older_format_is_brought_up_to_date(metadata: SqliteMetadata) -> None:
    wide(metadata, 10)
    metadata.close()
    older(metadata.path)
    again = SqliteMetadata(metadata.path)
    assert len(again.query(Query(kind="tasks"), columns=("path", "cache")).rows) == 10
    again.append("r", [task(900, "body[3]", cache="k")], fence=1)
    assert again.query(Query(kind="tasks", cache=("k",)), columns=("path",)).rows == [("body[3]",)]
    again.close()
    with sqlite3.connect(metadata.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (_schema.FORMAT,)
    connection.close()


def test_an_older_format_that_can_not_be_written_is_read(metadata: SqliteMetadata) -> None:
    wide(metadata, 10)
    older(metadata.path)  # a file is brought up to date when it is opened, and this one is open
    assert {row[-1] for row in metadata.query(Query(kind="tasks"), columns=TASK_COLUMNS).rows} == {None}
    assert metadata.query(Query(kind="tasks", cache=("k",)), columns=("path",)).rows == []
    metadata.close()


def test_cached_tasks_are_found_by_key_with_one_statement(
    metadata: SqliteMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, run in enumerate(("r", "s", "t")):
        metadata.create_run("F", run_id=run)
        keyed = {"cache": f"key{n}", "record": f'["{run}",{n}]', "finished": 5.0 + n}
        events = [task(i, f"body[{i}]", **keyed) for i in (1, 2)] + [task(3, "other", cache="both"), task(4, "none")]
        metadata.append(run, events, fence=1)
    columns = ("cache", "run", "path", "record", "finished", "cpu")

    def found(*keys: str, besides: str | None = None) -> list[tuple[object, ...]]:
        return sorted(metadata.query(Query(kind="tasks", cache=keys, besides=besides), columns=columns).rows)

    assert found("key0", "both", "nothing") == [
        ("both", "t", "other", None, None, None),
        ("key0", "r", "body[2]", '["r",0]', 5.0, None),
    ]
    assert found("both", "key2", besides="t") == [("both", "s", "other", None, None, None)]
    told = plan(metadata, monkeypatch, Query(kind="tasks", cache=("a", "b"), besides="r"), *columns)
    assert "SEARCH c USING COVERING INDEX task_cache (cache=?)" in told
    assert "TEMP B-TREE" not in told


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(StoreError, match="not one of Dovetail"):
        SqliteMetadata(path)


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"{}"])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metadata.db"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        SqliteMetadata(path)
    assert str(path) in caught.value.message
    assert "dovetail metadata-rebuild" in (caught.value.hint or "")
    assert path.read_bytes() == content


def test_a_damaged_page(metadata: SqliteMetadata) -> None:
    wide(metadata, 1000)
    metadata.close()
    data = bytearray(metadata.path.read_bytes())
    data[4096 : len(data)] = os.urandom(len(data) - 4096)
    metadata.path.write_bytes(data)
    again = SqliteMetadata(metadata.path)
    with pytest.raises(StoreError, match="damaged") as caught:
        again.query(Query(kind="tasks"), columns=TASK_COLUMNS)
    assert "dovetail metadata-rebuild" in (caught.value.hint or "")
    with pytest.raises(StoreError, match="damaged"):
        again.create_run("F", run_id="new")
    again.close()


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    path.touch()
    metadata = SqliteMetadata(path)
    wide(metadata, 3)
    assert metadata.counts("r") == {"body": {"succeeded": 3}}
    metadata.close()


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "metadata.db").mkdir()
    with pytest.raises(StoreError, match=r"metadata\.db"):
        SqliteMetadata(tmp_path / "metadata.db")
    (tmp_path / "home").touch()
    with pytest.raises(StoreError, match="home is not a folder"):
        SqliteMetadata(tmp_path / "home" / "metadata.db")
