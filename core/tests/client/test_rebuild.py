from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from seed import Seed, SeedRun, error, linear, trained

from dovetail.artifacts.documents import encode_json
from dovetail.artifacts.layout import manifest_key
from dovetail.artifacts.manifest import read_manifest
from dovetail.client import Client
from dovetail.client.rebuild import Rebuilt, _swap, rebuild
from dovetail.client.restored import run_ids
from dovetail.interfaces.errors import StoreError
from dovetail.interfaces.events import RUN_COLUMNS, TASK_COLUMNS
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.tasks import Exit


def failed(seed: Seed) -> SeedRun:
    made = seed.run(parameters={"rate": 0.5, "names": ["a"] * 50}, tags=["nightly"])
    made.expect("start", 1)
    made.task("start", {"xs": [0, 1]}, targets=["train"], length=2, log=[("stdout", "hello\n")])
    made.expect("train", 2)
    made.fail("train[0]", error("flaky"), state="waiting")
    made.task("train[0]", {"y": 1}, after=["start"], attempt=2, was="waiting", caught=error("caught"))
    made.fail("train[1]", error("bad"), exit=Exit(signal=9), log=[("stderr", "boom\n")])
    return made.end("failed", failed="train[1]", message="bad")


def rows(seed: Seed) -> dict[str, Any]:
    """Everything that the index says, by run."""
    found: dict[str, Any] = {}
    with Client(seed.home, namespace=None) as client:
        for run in client.runs():
            row = dict(zip(RUN_COLUMNS, [run._row[name] for name in RUN_COLUMNS], strict=True))
            row["info"] = {name: value for name, value in row["info"].items() if name not in ("pid", "host", "store")}
            page = client._connection.provider.query(Query(kind="tasks", run=run.id), columns=TASK_COLUMNS)
            tasks = {task[0]: dict(zip(TASK_COLUMNS, task, strict=True)) for task in page.rows}
            found[run.id] = (row, tasks, run.counts())
    return found


def rebuilt(seed: Seed) -> Rebuilt:
    """Rebuild, as a process of its own would."""
    seed.provider.close()
    return rebuild(seed.settings)


def test_the_index_comes_back_as_it_was(seed: Seed) -> None:
    trained(seed, parameters={"n": 3}, tags=["a"])
    failed(seed)
    lost = seed.run(linear("start", "end"))
    lost.expect("start", 1)
    lost.task("start", {"x": 1}, targets=["end"])
    lost.expect("end", 1)
    lost.stop()
    before = rows(seed)
    done = rebuilt(seed)
    after = rows(seed)
    assert (done.runs, done.tasks, done.kept, done.failed, done.problems) == (3, 10, 0, [], [])
    assert done.aside is not None
    assert done.aside.exists()
    assert list(after) == list(before)
    for run, (row, tasks, counts) in before.items():
        new_row, new_tasks, new_counts = after[run]
        # A retried task's row keeps what its failed attempts said; the records do not say it again.
        for task in (*tasks.values(), *new_tasks.values()):
            if task["state"] in ("succeeded", "cached"):
                task["error"] = None
        assert new_tasks == tasks
        assert new_row == row
        assert {s: {k: n for k, n in c.items() if n} for s, c in new_counts.items()} == {
            s: {k: n for k, n in c.items() if n} for s, c in counts.items()
        }


def test_everything_can_be_read_after_a_rebuild(seed: Seed) -> None:
    made = failed(seed)
    rebuilt(seed)
    with Client(seed.home, namespace=None) as client:
        run = client.run(made.id)
        assert run.parameters == {"rate": 0.5, "names": ["a"] * 50}
        assert run.task("start").stdout == "hello\n"
        assert run.task("train[1]").stderr == "boom\n"
        assert run.task("train[1]").exit == Exit(signal=9)
        assert [one.number for one in run.task("train[0]").attempts] == [1, 2]
        assert run["train"].values("y") == [1, None]
        assert run.failed_task == run.task("train[1]")


def test_twice_gives_the_same(seed: Seed) -> None:
    failed(seed)
    rebuilt(seed)
    first = rows(seed)
    done = rebuild(seed.settings)
    assert done.aside is not None
    assert rows(seed) == first


def test_the_place_of_the_store_is_that_which_was_read(seed: Seed) -> None:
    made = trained(seed)
    plain = read_manifest(seed.store, made.id).to_plain()
    plain["stores"] = {uuid: {"backend": "elsewhere", "target": "else://where"} for uuid in plain["stores"]}
    seed.store.put(manifest_key(made.id), encode_json(plain), mode="overwrite")
    assert rebuilt(seed).runs == 1
    with Client(seed.home, namespace=None) as client:
        place = client.run(made.id)._row["info"]["store"]
        assert (place["backend"], place["url"]) == ("local", seed.store.url)
        assert client.run(made.id)["train"].tasks


def test_tags_are_taken_over(seed: Seed, client: Client) -> None:
    made = trained(seed, tags=["a", "b"])
    client.run(made.id).replace_tags(["a"], ["c"])
    client.close()
    done = rebuilt(seed)
    assert done.tags == 1
    assert not done.tags_lost
    with Client(seed.home, namespace=None) as fresh:
        assert fresh.run(made.id).user_tags == {"b", "c"}
    assert rebuild(seed.settings).tags == 1
    with Client(seed.home, namespace=None) as fresh:
        assert fresh.run(made.id).user_tags == {"b", "c"}


def test_a_missing_database_is_made(seed: Seed) -> None:
    made = trained(seed)
    seed.provider.close()
    for file in seed.home.glob("metadata.db*"):
        file.unlink()
    done = rebuild(seed.settings)
    assert done.aside is None
    assert not done.tags_lost
    with Client(seed.home, namespace=None) as client:
        assert client.run(made.id).data.total == 5


def test_a_damaged_database_is_kept_and_replaced(seed: Seed) -> None:
    made = trained(seed)
    seed.provider.close()
    file = seed.home / "metadata.db"
    for beside in seed.home.glob("metadata.db-*"):
        beside.unlink()
    file.write_bytes(b"garbage" * 1000)
    done = rebuild(seed.settings)
    assert done.tags_lost
    assert done.aside is not None
    assert done.aside.read_bytes() == b"garbage" * 1000
    with Client(seed.home, namespace=None) as client:
        assert client.run(made.id).data.total == 5


def test_a_write_ahead_log_goes_with_its_database(tmp_path: Path) -> None:
    for name in ("db", "db-wal", "new"):
        (tmp_path / name).write_text(name)
    aside = _swap(tmp_path / "new", tmp_path / "db")
    assert aside is not None
    assert (tmp_path / "db").read_text() == "new"
    assert aside.read_text() == "db"
    assert aside.with_name(aside.name + "-wal").read_text() == "db-wal"
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / "new").write_text("newer")
    assert _swap(tmp_path / "new", tmp_path / "db") not in (None, aside)


def test_a_run_that_only_the_old_database_knows_is_kept(seed: Seed) -> None:
    gone, stays = trained(seed, tags=["old"]), trained(seed)
    with Client(seed.home, namespace=None) as client:
        client.run(gone.id).add_tag("later")
    shutil.rmtree(seed.store.root / "runs" / gone.id)
    before = rows(seed)
    done = rebuilt(seed)
    assert (done.runs, done.kept) == (1, 1)
    assert rows(seed)[gone.id] == before[gone.id]
    assert list(rows(seed)) == [stays.id, gone.id]


def test_not_while_a_run_is_driven(seed: Seed) -> None:
    made = seed.run()
    made.flush()
    before = sorted(path.name for path in seed.home.iterdir())
    with pytest.raises(StoreError, match="while runs are driven"):
        rebuild(seed.settings)
    assert sorted(path.name for path in seed.home.iterdir()) == before
    made.stop()


def test_damage_in_the_store_is_told(seed: Seed) -> None:
    whole, torn = trained(seed), trained(seed)
    empty = seed.store.root / "runs" / "01k7zzzzzzzzzzzzzzzzzzzzzz" / "fences"
    empty.mkdir(parents=True)
    (empty / "000001").write_bytes(b"{}")
    (segment,) = (seed.store.root / "runs" / torn.id / "segments").iterdir()
    data = segment.read_bytes()
    segment.chmod(0o644)
    segment.write_bytes(data[:-3])
    done = rebuilt(seed)
    assert done.runs == 2
    assert any("torn or corrupt" in line for line in done.problems)
    assert any("has no run.json" in line for line in done.failed)
    assert set(rows(seed)) == {whole.id, torn.id}


def test_nothing_to_read_changes_nothing(seed: Seed) -> None:
    trained(seed)
    seed.provider.close()
    before = (seed.home / "metadata.db").read_bytes()
    shutil.rmtree(seed.store.root)
    with pytest.raises(StoreError, match="nothing was changed"):
        rebuild(seed.settings)
    assert (seed.home / "metadata.db").read_bytes() == before


def test_a_failure_half_way_leaves_the_old_one(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trained(seed)
    seed.provider.close()

    def fails() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(seed.settings, progress=fails)
    assert sorted(path.name for path in seed.home.glob("metadata.db*")) == ["metadata.db"]
    with Client(seed.home, namespace=None) as client:
        assert client.run(made.id).data.total == 5


def test_a_continued_run_that_ended_before_is_lost(seed: Seed) -> None:
    from dovetail.artifacts.fences import claim_fence

    made = seed.run(linear("start", "end"))
    made.task("start", {"x": 1}, targets=["end"])
    made.end("interrupted")
    claim_fence(seed.store, made.id)
    rebuilt(seed)
    with Client(seed.home, namespace=None) as client:
        assert client.run(made.id).state == "lost"


def test_requests_that_were_acted_on_come_back(seed: Seed) -> None:
    from dovetail.artifacts.reports import put_inbox

    made = seed.run(linear("start", "end"))
    made.flush()
    with Client(seed.home, namespace=None) as client:
        client.run(made.id).cancel("enough")
    request = list(seed.provider.read(made.id))[-1]
    put_inbox(seed.store, made.id, request)
    made.end("cancelled")
    rebuilt(seed)
    with Client(seed.home, namespace=None) as client:
        kinds = {event.kind: dict(event.data) for event in client.run(made.id).events()}
    assert kinds["cancel"] == {"reason": "enough"}


def test_runs_of_a_store(seed: Seed) -> None:
    ids = [trained(seed).id for _ in range(5)]
    assert list(run_ids(seed.store)) == ids


def test_a_database_of_someone_else_is_not_lost(seed: Seed) -> None:
    trained(seed)
    seed.provider.close()
    file = seed.home / "metadata.db"
    for found in seed.home.glob("metadata.db*"):
        found.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    done = rebuild(seed.settings)
    assert done.aside is not None
    kept = sqlite3.connect(done.aside)
    try:
        assert kept.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    finally:
        kept.close()


def test_a_home_elsewhere(seed: Seed, tmp_path: Path) -> None:
    trained(seed)
    assert rebuilt(seed).stores == [seed.store.url]
