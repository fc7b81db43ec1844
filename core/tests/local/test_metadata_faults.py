"""A database on full and read-only file systems."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.errors import StoreFullError, StoreReadOnlyError
from dovetail.interfaces.events import Event
from dovetail.interfaces.metadata import Query
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder


def batch(begin: int, count: int = 200) -> list[Event]:
    return [
        Event("w", n, "task", 0.0, f"a[{n}]", {"state": "succeeded", "outputs": os.urandom(30).hex()})
        for n in range(begin, begin + count)
    ]


def test_a_full_disk(mounts: Any, tmp_path: Path) -> None:
    place = mounts.tmpfs(tmp_path / "small", "1m")
    metadata = SqliteMetadata(place / "metadata.db")
    metadata.create_run("F", run_id="r")
    begin = 1

    def fill() -> None:
        nonlocal begin
        while True:
            begin = metadata.append("r", batch(begin), fence=1) + 1

    with pytest.raises(StoreFullError, match="no space is left") as caught:
        fill()
    assert begin > 1
    assert str(metadata.path) in caught.value.message
    assert str(place) in (caught.value.hint or "")
    # What was told is there, in this process and in a new one, and nothing else.
    for provider in (metadata, SqliteMetadata(metadata.path)):
        assert [event.n for event in provider.read("r")] == list(range(1, begin))
        assert len(provider.query(Query(kind="tasks", run="r"), columns=("path",)).rows) == begin - 1
        assert provider.counts("r") == {"a": {"succeeded": begin - 1}}
    with pytest.raises(StoreFullError):
        fill()
    mounts.resize(place, "4m")
    assert metadata.append("r", batch(begin), fence=1) == begin + 199
    metadata.close()


def test_no_room_for_a_new_database(mounts: Any, tmp_path: Path) -> None:
    place = mounts.tmpfs(tmp_path / "small", "64k")
    (place / "fill").write_bytes(bytes(60_000))
    with pytest.raises(StoreFullError, match="no space is left"):
        SqliteMetadata(place / "home" / "metadata.db")
    assert os.listdir(place / "home") == []


@pytest.mark.parametrize("clean", [True, False])
def test_a_read_only_file_system(mounts: Any, tmp_path: Path, clean: bool) -> None:
    """It can be read, whether the last process closed it or was killed; writing says what to do."""
    place = mounts.tmpfs(tmp_path / "fixed", "4m")
    metadata = SqliteMetadata(place / "metadata.db")
    metadata.create_run("F", run_id="r")
    metadata.append("r", batch(1), fence=1)
    if clean:
        metadata.close()
    else:
        for name in os.listdir(place):
            shutil.copy(place / name, tmp_path)
        metadata.close()
        for name in ("metadata.db", "metadata.db-wal", "metadata.db-shm"):
            shutil.copy(tmp_path / name, place)
    mounts.read_only(place)
    fixed = SqliteMetadata(place / "metadata.db")
    assert len(fixed.query(Query(kind="tasks", run="r")).rows) == 200
    assert [event.n for event in fixed.read("r")] == list(range(1, 201))
    assert fixed.leases() == []
    for action in (
        lambda: fixed.append("r", batch(201), fence=1),
        lambda: fixed.create_run("F"),
        lambda: fixed.lease("x", holder=current_holder()),
        lambda: SqliteMetadata(place / "new.db"),
        lambda: SqliteMetadata(place / "folder" / "new.db"),
    ):
        with pytest.raises(StoreReadOnlyError) as caught:
            action()
        assert str(place) in caught.value.message
        assert "DOVETAIL_HOME" in (caught.value.hint or "")
    fixed.close()
