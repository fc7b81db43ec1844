"""One database and many processes, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.metadata import Holder, Query
from dovetail.local._turns import Turns
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder, is_known_dead

Race = Callable[..., list[Any]]


def test_twenty_runs_begin_in_the_same_second(race: Race, tmp_path: Path) -> None:
    """None is locked out, and the database that all of them make is one."""
    path = tmp_path / "home" / "metadata.db"
    last = race(
        """
        from dovetail.interfaces.events import Event
        from dovetail.local.metadata import SqliteMetadata
        from dovetail.plugins.holder import current_holder

        def body(at, path):
            metadata = SqliteMetadata(path)
            run = metadata.create_run("F").run
            lease = metadata.lease(f"run:{run}", holder=current_holder())
            assert lease is not None
            for n in range(1, 11):
                batch = [Event("w", 5 * n + m, "task", 0.0, f"a[{n},{m}]", {"state": "succeeded"}) for m in range(5)]
                metadata.append(run, batch, fence=1)
            metadata.renew(lease)
            metadata.release(lease)
            last = [event.seq for event in metadata.read(run)]
            metadata.close()
            return last
        """,
        path,
    )
    assert last == [list(range(1, 51))] * 20
    metadata = SqliteMetadata(path)
    runs = metadata.query(Query(kind="runs"), columns=("run",)).rows
    assert len(runs) == 20
    assert all(metadata.counts(run) == {"a": {"succeeded": 50}} for (run,) in runs)
    assert metadata.leases() == []
    metadata.close()
    assert os.listdir(path.parent) == ["metadata.db"]


def test_an_empty_file_is_filled_once(race: Race, tmp_path: Path) -> None:
    (tmp_path / "metadata.db").touch()
    runs = race(
        """
        from dovetail.local.metadata import SqliteMetadata

        def body(at, path):
            metadata = SqliteMetadata(path)
            run = metadata.create_run("F").run
            metadata.close()
            return run
        """,
        tmp_path / "metadata.db",
    )
    metadata = SqliteMetadata(tmp_path / "metadata.db")
    assert sorted(runs) == sorted(row[0] for row in metadata.query(Query(kind="runs"), columns=("run",)).rows)
    metadata.close()


def test_many_writers_of_one_run(race: Race, tmp_path: Path) -> None:
    """Inbox events of all arrive once, in an order of their own each."""
    metadata = SqliteMetadata(tmp_path / "metadata.db")
    metadata.create_run("F", run_id="r")
    race(
        """
        from dovetail.interfaces.events import Event
        from dovetail.local.metadata import SqliteMetadata

        def body(at, path):
            metadata = SqliteMetadata(path)
            for n in range(1, 11):
                event = Event(f"cli-{at}", n, "tag", 0.0, "", {"add": [f"{at}-{n}"]})
                metadata.append("r", [event])
                metadata.append("r", [event])
            metadata.close()
        """,
        metadata.path,
        count=10,
    )
    events = list(metadata.read("r"))
    assert [event.seq for event in events] == list(range(1, 101))
    for at in range(10):
        assert [event.n for event in events if event.writer == f"cli-{at}"] == list(range(1, 11))
    tags = metadata.query(Query(kind="runs"), columns=("tags",)).rows[0][0]
    assert tags == sorted(f"{at}-{n}" for at in range(10) for n in range(1, 11))
    metadata.close()


def test_one_driver_of_many_has_the_newest_fence(race: Race, tmp_path: Path) -> None:
    metadata = SqliteMetadata(tmp_path / "metadata.db")
    metadata.create_run("F", run_id="r")
    done = race(
        """
        from dovetail.interfaces.errors import StaleFenceError
        from dovetail.interfaces.events import Event
        from dovetail.local.metadata import SqliteMetadata

        def body(at, path):
            metadata, done = SqliteMetadata(path), 0
            try:
                for n in range(1, 21):
                    metadata.append("r", [Event(f"w{at}", n, "note", 0.0, "", {"fence": at})], fence=at)
                    done = n
            except StaleFenceError:
                pass
            metadata.close()
            return done
        """,
        metadata.path,
        count=8,
    )
    assert done[7] == 20
    fences = [event.data["fence"] for event in metadata.read("r")]
    assert fences == sorted(fences)
    assert [fences.count(at) for at in range(8)] == done
    metadata.close()


def test_never_more_holders_than_slots(race: Race, tmp_path: Path) -> None:
    tokens = race(
        """
        import os
        from dovetail.local.metadata import SqliteMetadata
        from dovetail.plugins.holder import current_holder

        def body(at, folder):
            metadata, tokens = SqliteMetadata(f"{folder}/metadata.db"), []
            for n in range(30):
                lease = metadata.lease("gpu", holder=current_holder(), slots=3, ttl=60.0)
                if lease is None:
                    continue
                tokens.append(lease.token)
                os.mkdir(f"{folder}/slot-{lease.slot}")  # fails if somebody else is there
                assert lease.slot < 3 and len(metadata.leases("gpu")) <= 3
                os.rmdir(f"{folder}/slot-{lease.slot}")
                metadata.release(metadata.renew(lease))
            metadata.close()
            return tokens
        """,
        tmp_path,
    )
    given = [token for found in tokens for token in found]
    assert given
    assert len(set(given)) == len(given)
    assert all(found == sorted(found) for found in tokens)


_HOLDER = """
import sys, time
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder
metadata = SqliteMetadata(sys.argv[1])
print(metadata.lease("run:x", holder=current_holder(), ttl=1000.0).token, flush=True)
time.sleep(100)
"""


def test_a_killed_holder_frees_its_lease_at_once(tmp_path: Path) -> None:
    metadata = SqliteMetadata(tmp_path / "metadata.db")
    tokens = []
    for reaped in (True, False):
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(metadata.path)], stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        tokens.append(int(holder.stdout.readline()))
        holder.stdout.close()
        assert metadata.lease("run:x", holder=current_holder()) is None
        assert [lease.holder.pid for lease in metadata.leases("run:")] == [holder.pid]
        os.kill(holder.pid, signal.SIGKILL)
        if reaped:
            holder.wait()
        else:  # a zombie runs no more either
            os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert metadata.leases() == []
        lease = metadata.lease("run:x", holder=current_holder())
        assert lease is not None
        tokens.append(lease.token)
        metadata.release(lease)
        holder.wait()
    assert tokens == sorted(set(tokens))
    metadata.close()


def test_who_is_known_to_be_dead() -> None:
    mine = current_holder()
    assert not is_known_dead(mine)
    reused = Holder(host=mine.host, boot=mine.boot, pid=mine.pid, started="1")
    parent = Holder(host=mine.host, boot=mine.boot, pid=os.getppid(), started="1")
    assert is_known_dead(reused)
    assert is_known_dead(parent)
    for other in (
        Holder(host="elsewhere", boot=mine.boot, pid=mine.pid, started="1"),
        Holder(host=mine.host, boot="before", pid=mine.pid, started="1"),
        Holder(host=mine.host, boot="", pid=mine.pid, started="1"),
        Holder(host=mine.host, boot=mine.boot, pid=1, started=""),
    ):
        assert not is_known_dead(other)


def test_a_forked_child_is_another_holder(race: Race) -> None:
    holders = race(
        """
        from dovetail.plugins.holder import current_holder
        current_holder()

        def body(at):
            holder = current_holder()
            return [holder.pid, holder.started]
        """,
        count=3,
    )
    assert len({pid for pid, _ in holders}) == 3


_DRIVER = """
import sys
from dovetail.interfaces.events import Event
from dovetail.local.metadata import SqliteMetadata
metadata = SqliteMetadata(sys.argv[1])
n = int(sys.argv[2])
while True:
    batch = [Event("w", n + m, "task", 0.0, f"a[{n + m}]", {"state": "succeeded", "info": "x" * 20}) for m in range(7)]
    print(metadata.append("r", batch, fence=1), flush=True)
    n += 7
"""


def test_a_killed_driver_loses_nothing(tmp_path: Path) -> None:
    metadata = SqliteMetadata(tmp_path / "metadata.db")
    metadata.create_run("F", run_id="r")
    metadata.close()
    seq = 0
    for _ in range(5):
        driver = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(metadata.path), str(seq + 1)], stdout=subprocess.PIPE, text=True
        )
        assert driver.stdout is not None
        lines = [driver.stdout.readline()]
        time.sleep(random.uniform(0, 0.03))
        os.kill(driver.pid, signal.SIGKILL)
        lines += driver.stdout.read().splitlines(keepends=True)
        driver.stdout.close()
        driver.wait()
        told = int([line for line in lines if line.endswith("\n")][-1])
        metadata = SqliteMetadata(metadata.path)
        events = list(metadata.read("r"))
        seq = len(events)
        assert seq >= told
        assert seq % 7 == 0  # a batch is there or is not
        assert [event.seq for event in events] == [event.n for event in events] == list(range(1, seq + 1))
        paths = [row[0] for row in metadata.query(Query(kind="tasks", oldest_first=True), columns=("path",)).rows]
        assert paths == [event.path for event in events]
        assert metadata.counts("r") == {"a": {"succeeded": seq}}
        metadata.close()
    with sqlite3.connect(metadata.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_writer_that_is_stopped_in_its_turn(tmp_path: Path) -> None:
    """The turn of a process that does not go on ends for the others when their patience does."""
    metadata = SqliteMetadata(tmp_path / "metadata.db", busy_timeout=0.05)
    stopped = Turns(str(tmp_path))
    with stopped.turn(1.0):
        metadata.create_run("F", run_id="r")
        metadata.create_run("F", run_id="s")
    metadata.create_run("F", run_id="t")
    assert len(metadata.query(Query(kind="runs")).rows) == 3
    metadata.close()
    stopped.close()


def test_turns_are_kept(race: Race, tmp_path: Path) -> None:
    found = race(
        """
        import os
        from dovetail.local._turns import Turns

        def body(at, folder):
            turns = Turns(folder)
            for n in range(50):
                with turns.turn(60.0):
                    os.mkdir(f"{folder}/mine")  # fails if it is another's turn as well
                    os.rmdir(f"{folder}/mine")
            turns.close()
            return len(os.listdir("/proc/self/fd"))
        """,
        tmp_path,
        count=10,
    )
    assert max(found) < 30  # no descriptor is left open


def test_a_process_that_holds_the_lock_too_long(tmp_path: Path) -> None:
    from dovetail.interfaces.errors import BackendTimeoutError

    metadata = SqliteMetadata(tmp_path / "metadata.db", busy_timeout=0.05)
    metadata.create_run("F", run_id="r")
    blocker = sqlite3.connect(metadata.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendTimeoutError, match="kept the database locked") as caught:
        metadata.create_run("F")
    assert str(metadata.path) in caught.value.message
    assert metadata.query(Query(kind="runs"), columns=("run",)).rows == [("r",)]  # readers do not wait
    blocker.execute("ROLLBACK")
    blocker.close()
    metadata.create_run("F")
    metadata.close()
