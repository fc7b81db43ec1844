"""Full and read-only file systems, and mounts inside the store."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.errors import StoreError, StoreFullError, StoreReadOnlyError
from dovetail.local.store import LocalStore


def test_a_full_disk(mounts: Any, tmp_path: Path) -> None:
    store = LocalStore(mounts.tmpfs(tmp_path / "small", "1m"))
    store.put("kept", b"x" * 100_000)
    assert store.append("log", b"y" * 100_000) == 100_000
    source = tmp_path / "source"
    source.write_bytes(bytes(2 << 20))
    for action in (
        lambda: store.put("large", bytes(2 << 20)),
        lambda: store.put("large", source),
        lambda: store.put("kept", [bytes(1 << 20)] * 2, mode="overwrite"),
        lambda: store.append("log", [b"z" * 600_000, b"z" * 600_000]),
    ):
        with pytest.raises(StoreFullError, match="no space is left") as caught:
            action()
        assert str(store.root) in caught.value.message
        assert caught.value.hint is not None
        assert caught.value.errno == errno.ENOSPC
    with store.stage() as staged:
        staged.write(bytes(500_000))
        with pytest.raises(StoreFullError):
            staged.write(bytes(1 << 20))
    # Nothing was lost, changed or left behind, and there is room again.
    assert [info.key for info in store.scan()] == ["kept", "log"]
    assert store.get("kept").read() == b"x" * 100_000
    assert store.get("log").read() == b"y" * 100_000
    assert os.listdir(store.root / "%tmp") == []
    assert store.append("log", b"z" * 600_000) == 700_000
    store.close()


def test_no_inode_is_left(mounts: Any, tmp_path: Path) -> None:
    store = LocalStore(mounts.tmpfs(tmp_path / "small", "1m,nr_inodes=8"))

    def fill() -> None:
        for at in range(10):
            store.put(f"{at}/x", b"")

    with pytest.raises(StoreFullError):
        fill()
    assert os.listdir(store.root / "%tmp") == []


def test_a_read_only_file_system(mounts: Any, tmp_path: Path) -> None:
    place = mounts.tmpfs(tmp_path / "fixed", "1m")
    store = LocalStore(place)
    store.put("a", b"x", metadata={"k": "v"})
    store.append("log", b"y")
    store.close()
    mounts.read_only(place)
    for action in (
        lambda: store.put("b", b""),
        lambda: store.put("a", b"", mode="overwrite"),
        lambda: store.append("log", b""),
        lambda: store.append("new", b""),
        lambda: store.refresh("a"),
        lambda: store.delete(["a"]),
        lambda: store.delete(["a"], not_modified_since=1e12),
        lambda: store.stage().__enter__(),
        lambda: LocalStore(place / "below").put("a", b""),
    ):
        with pytest.raises(StoreReadOnlyError, match="the file system is read-only") as caught:
            action()
        assert str(place) in caught.value.message
        assert "DOVETAIL_HOME" in (caught.value.hint or "")
    again = LocalStore(place)
    assert [info.key for info in again.scan()] == ["a", "log"]
    assert again.head("a").metadata == {"k": "v"}
    assert again.get("a").read() == b"x"
    again.close()


def test_another_file_system_mounted_inside(mounts: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put("objects/aa/x", b"before")
    mounts.tmpfs(store.root / "objects" / "bb", "1m")
    store.put("objects/bb/x", b"x" * 1000, metadata={"k": "v"})
    store.put("objects/bb/x", b"y" * 1000, mode="overwrite")
    with store.stage() as staged:
        staged.write(b"z")
        staged.commit("objects/bb/deep/z")
    assert [info.key for info in store.scan()] == ["objects/aa/x", "objects/bb/deep/z", "objects/bb/x"]
    assert store.get("objects/bb/x").read() == b"y" * 1000
    with pytest.raises(StoreFullError):
        store.put("objects/bb/large", bytes(2 << 20))
    assert sorted(os.listdir(store.root / "objects" / "bb")) == ["deep", "x"]
    assert os.listdir(store.root / "%tmp") == []


def test_too_many_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="too many open files") as caught:
        store.get("a")
    assert "ulimit" in (caught.value.hint or "")


def test_a_quota_that_is_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)

    def refuse(*_: object) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StoreFullError, match="quota"):
        store.put("a", b"x")
    assert os.listdir(store.root / "%tmp") == []
