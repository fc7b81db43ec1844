"""What a local store does beyond the model: files, targets, durability, ages."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.datastore import (
    DataStoreCapability,
    SupportsAppend,
    SupportsCopy,
    SupportsLocalPath,
    SupportsStage,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    StoreError,
    UnsupportedOperationError,
    UsageError,
)
from dovetail.local import _publish, _temporary
from dovetail.local.settings import LocalStoreSettings
from dovetail.local.store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def keys(store: LocalStore, prefix: str = "", after: str | None = None) -> list[str]:
    return [info.key for info in store.scan(prefix, after=after)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        ".",
        "a/./b",
        "a//b",
        "a/",
        "\ud800",
        "k" * 1025,
        "é" * 513,
    ],
)
def test_what_is_no_key_is_refused_everywhere(store: LocalStore, key: str) -> None:
    for action in (
        lambda: store.put(key, b""),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.append(key, b""),
        lambda: store.delete([key]),
        lambda: store.local_path(key),
        lambda: list(store.get_many([(key, None)])),
    ):
        with pytest.raises(UsageError):
            action()
    assert not store.root.exists()


@pytest.mark.parametrize(
    "key", ["C:\\x", "..\\..\\x", "a\0b", "~root", "%2e%2e/x", "k" * 1024, "x/" * 500 + "x", "-rf", "con"]
)
def test_odd_keys_stay_inside_the_folder(store: LocalStore, key: str) -> None:
    store.put(key, b"odd")
    assert store.local_path(key).resolve().is_relative_to(store.root)
    assert store.get(key).read() == b"odd"
    assert keys(store) == [key]


def test_an_ordinary_key_is_its_own_path(store: LocalStore) -> None:
    key = "runs/01hqx/commits/train[3,0]~0123456789abcdef#2/fit/" + "ab" * 32
    store.put(key, b"")
    assert store.local_path(key) == store.root / key


def test_keys_sort_by_code_points_not_by_folders(store: LocalStore) -> None:
    names = ["c", "c-", "c/", "c0", "cc", "c/a", "c/b/x", "c.d", "é", "\U0001f600", "z", "c/b", "B"]
    names = [name for name in names if not name.endswith("/")]
    for name in names:
        store.put(name, b"")
    assert keys(store) == sorted(names)
    assert keys(store, "c/") == ["c/a", "c/b", "c/b/x"]
    assert keys(store, "c", after="c/a") == ["c/b", "c/b/x", "c0", "cc"]
    assert keys(store, after="c/b") == sorted(name for name in names if name > "c/b")


def test_a_scan_lists_only_the_folders_it_needs(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in "abc":
        for second in "xyz":
            store.put(f"{first}/{second}/1", b"")
    listed: list[str] = []
    real = os.scandir

    def scandir(folder: str) -> object:
        listed.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    scan = store.scan("a/")
    assert listed == []
    assert next(scan).key == "a/x/1"
    assert [os.path.relpath(folder, store.root) for folder in listed] == ["a", "a/x"]
    listed.clear()
    assert keys(store, "b/y") == ["b/y/1"]
    assert [os.path.relpath(folder, store.root) for folder in listed] == ["b", "b/y"]
    listed.clear()
    assert keys(store, after="c/y/0") == ["c/y/1", "c/z/1"]
    assert [os.path.relpath(folder, store.root) for folder in listed] == [".", "c", "c/y", "c/z"]


def test_objects_that_vanish_during_a_scan_are_left_out(store: LocalStore) -> None:
    for at in range(4):
        store.put(f"d{at}/x", b"")
    scan = store.scan()
    assert next(scan).key == "d0/x"
    store.delete(["d1/x", "d2/x"])
    assert [info.key for info in scan] == ["d3/x"]


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = PluginContext(instance="local", home=tmp_path / "home")
    place = tmp_path / "a store é"

    def opened(target: str, settings: LocalStoreSettings | None = None) -> Path:
        store = LocalStore.open(target, settings or LocalStoreSettings(), ctx)
        again = LocalStore.open(store.url, LocalStoreSettings(), ctx)
        assert again.root == store.root
        return store.root

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert opened(str(place)) == opened(place.as_uri()) == opened("~/a store é") == opened("a store é") == place
    assert opened(f"file://localhost{place.as_posix()}") == place
    assert opened("") == tmp_path / "home" / "local"
    assert opened("", LocalStoreSettings(path=str(place))) == place
    assert opened("other", LocalStoreSettings(path=str(place))) == tmp_path / "other"
    with pytest.raises(UsageError, match="elsewhere"):
        opened("file://elsewhere/data")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="not a folder"):
        opened("file")


def test_opening_and_reading_make_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert keys(store) == []
    assert list(store.get_many([("a", None)])) == [("a", None)]
    with pytest.raises(NotFoundError):
        store.get("a")
    store.delete(["a"])
    assert not store.root.exists()


def test_capabilities_are_what_is_declared(store: LocalStore) -> None:
    assert isinstance(store, SupportsAppend)
    assert isinstance(store, SupportsStage)
    assert isinstance(store, SupportsCopy)
    assert isinstance(store, SupportsLocalPath)
    assert DataStoreCapability.PRESIGN not in store.capabilities
    with pytest.raises(UnsupportedOperationError):
        store.presign("a", method="GET", expires=1.0)


def test_objects_are_read_only_and_appended_ones_are_not(store: LocalStore) -> None:
    store.put("object", b"x")
    store.append("log", b"x")
    assert not store.local_path("object").stat().st_mode & 0o222
    assert store.local_path("log").stat().st_mode & stat.S_IWUSR
    with pytest.raises(PreconditionError):
        store.append("object", b"y")
    assert store.get("object").read() == b"x"


def test_an_object_is_never_changed_in_place(store: LocalStore) -> None:
    store.put("a", b"old")
    before = store.head("a")
    with store.get("a") as reading:
        store.put("a", b"new", mode="overwrite")
        assert reading.stream.read() == b"old"
    assert store.get("a").read() == b"new"
    assert store.head("a").etag != before.etag


def test_deleting_keeps_maps_valid(store: LocalStore) -> None:
    store.put("a", b"x" * 10_000)
    with open(store.local_path("a"), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        store.delete(["a"])
        assert view[:] == b"x" * 10_000


def test_deleting_prunes_empty_folders(store: LocalStore) -> None:
    store.put("a/b/c", b"")
    store.put("a/d", b"")
    store.delete(["a/b/c", "a/b/missing", "q/r"])
    assert sorted(os.listdir(store.root / "a")) == ["d"]
    store.delete(["a/d"])
    assert keys(store) == []
    assert not (store.root / "a").exists()
    assert store.root.exists()


def test_bodies_of_every_kind(store: LocalStore, tmp_path: Path) -> None:
    pieces = [bytes([at % 256]) * (at % 3) for at in range(3000)]
    source = tmp_path / "file"
    source.write_bytes(b"".join(pieces) * 100)
    cases: list[tuple[str, Any, bytes]] = [
        ("bytes", b"abc", b"abc"),
        ("bytearray", bytearray(b"abc"), b"abc"),
        ("view", memoryview(b"abcdef")[::1][2:], b"cdef"),
        ("wide", memoryview(bytearray(16)).cast("d"), bytes(16)),
        ("pieces", pieces, b"".join(pieces)),
        ("none", [], b""),
        ("path", source, source.read_bytes()),
    ]
    for name, body, expected in cases:
        assert store.put(name, body).size == len(expected)
        assert store.get(name).read() == expected
    with pytest.raises(NotFoundError, match="missing"):
        store.put("x", tmp_path / "missing")
    assert "x" not in keys(store)


def test_large_reads_of_get_many_stay_files(store: LocalStore) -> None:
    store.put("large", bytes(3 << 20))
    store.put("small", b"abc")
    found = dict(store.get_many([("small", (1, 2)), ("large", None)]))
    assert found["small"] is not None
    assert found["large"] is not None
    assert found["small"].read() == b"b"
    assert found["large"].read() == bytes(3 << 20)


@pytest.mark.parametrize("wrong", [(-1, 2), (3, 2)])
def test_wrong_ranges(store: LocalStore, wrong: tuple[int, int]) -> None:
    store.put("a", b"abc")
    with pytest.raises(UsageError):
        store.get("a", byte_range=wrong)


def test_modified_and_refresh(store: LocalStore) -> None:
    info = store.put("a", b"x")
    assert 0 <= info.now - info.modified < 60
    path = store.local_path("a")
    os.utime(path, (1000.0, 1000.0))
    assert store.head("a").modified == 1000.0
    assert next(store.scan()).modified == 1000.0
    fresh = store.refresh("a")
    assert 0 <= fresh.now - fresh.modified < 60
    assert store.get("a").read() == b"x"


def test_delete_leaves_what_was_modified_later(store: LocalStore) -> None:
    for name, age in (("old", 100.0), ("edge", 200.0), ("young", 300.0)):
        store.put(name, b"x")
        os.utime(store.local_path(name), (age, age))
    store.delete(["old", "edge", "young", "missing"], not_modified_since=200.0)
    assert keys(store) == ["young"]


def test_a_refresh_during_a_deletion_keeps_the_object(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a/b", b"x")
    os.utime(store.local_path("a/b"), (100.0, 100.0))
    real = os.rename

    def refreshed_first(src: str, dst: str) -> None:
        store.refresh("a/b")
        real(src, dst)

    monkeypatch.setattr(os, "rename", refreshed_first)
    store.delete(["a/b"], not_modified_since=200.0)
    assert store.get("a/b").read() == b"x"


def test_an_object_that_a_killed_deletion_put_aside_comes_back(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/b", b"x")
    store.put("a", b"own")
    for path in (store.local_path("a/b"), store.local_path("a")):
        os.rename(path, path.with_name(f"%g01234567{path.name}"))
    assert keys(store) == []
    for path in (store.root / "a").iterdir():
        assert path.name.startswith("%g")
    monkeypatch.setattr(_temporary, "ASIDE_AGE", -1.0)
    list(store.scan())
    assert keys(store) == ["a", "a/b"]
    assert store.get("a/b").read() == b"x"
    assert store.get("a").read() == b"own"


def test_metadata_survive_everything_but_overwriting(store: LocalStore) -> None:
    long = {"k": "v" * 100_000}
    for name, metadata in (("short", {"k": "é"}), ("long", long)):
        store.put(name, b"x", metadata=metadata)
        assert store.refresh(name).metadata == metadata
        assert store.copy(name, f"{name}-copy").metadata == metadata
        assert store.head(f"{name}-copy").metadata == metadata
        assert store.get(name).read() == b"x"
        store.put(name, b"x", mode="overwrite")
        assert store.head(name).metadata == {}
    store.delete(["long-copy", "long", "short", "short-copy"])
    assert not any((store.root / "%meta").iterdir())


def test_metadata_without_extended_attributes(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "setxattr", raising=False)
    monkeypatch.delattr(os, "getxattr", raising=False)
    test_metadata_survive_everything_but_overwriting(store)
    with store.stage() as staged:
        staged.write(b"x")
        staged.commit("staged", metadata={"a": "b"})
    assert store.head("staged").metadata == {"a": "b"}


class NoLinks:
    """Ways to be without hard links."""

    @staticmethod
    def missing(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "link")

    @staticmethod
    def refused(monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*_: object) -> None:
            raise PermissionError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", link)

    @staticmethod
    def neither_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "link")
        monkeypatch.setattr(_publish, "_rename", lambda *_: False)


@pytest.mark.parametrize("way", ["missing", "refused", "neither_renameat2"])
def test_create_only_without_hard_links(store: LocalStore, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    getattr(NoLinks, way)(monkeypatch)

    def create(at: int) -> bool:
        try:
            store.put(f"a/{at // 8}", b"%d" % at)
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(160)))
    assert won.count(True) == 20
    for info in store.scan():
        assert won[int(store.get(info.key).read())]
    assert os.listdir(store.root / "%tmp") == []


def test_a_key_below_an_object_needs_an_atomic_swap(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"x")
    with monkeypatch.context() as without:
        without.setattr(_publish, "_rename", lambda *_: False)
        with pytest.raises(PreconditionError, match="a is an object"):
            store.put("a/b", b"y")
    assert keys(store) == ["a"]
    assert store.get("a").read() == b"x"
    assert os.listdir(store.root / "%tmp") == []


def test_staging_drops_what_is_not_committed(store: LocalStore) -> None:
    with store.stage() as staged:
        staged.write(b"abc")
    with pytest.raises(UsageError):
        staged.write(b"late")
    store.put("taken", b"x")
    with store.stage() as staged:
        staged.write(b"abc")
        with pytest.raises(AlreadyExistsError):
            staged.commit("taken")
        with pytest.raises(UsageError):
            staged.commit("other")
    with store.stage() as staged:
        staged.write_at(3, b"de")
        staged.write(b"f")
        assert staged.commit("b").size == 6
    assert store.get("b").read() == b"\0\0\0def"
    assert keys(store) == ["b", "taken"]
    assert os.listdir(store.root / "%tmp") == []


def test_staged_writes_of_many_threads(store: LocalStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with store.stage() as staged, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: staged.write_at(at * 1000, bytes([at]) * 1000), range(100)))
        staged.commit("a")
    assert store.get("a").read() == b"".join(bytes([at]) * 1000 for at in range(100))


def test_old_temporary_files_are_swept(store: LocalStore) -> None:
    folder = store.root / "%tmp"
    folder.mkdir(parents=True)
    (folder / "old").write_bytes(b"x")
    (folder / "new").write_bytes(b"x")
    (folder / "old-folder").mkdir()
    past = time.time() - _temporary.MAX_AGE - 60
    os.utime(folder / "old", (past, past))
    os.utime(folder / "old-folder", (past, past))
    store.put("a", b"")
    assert os.listdir(folder) == ["new"]
    assert keys(store) == ["a"]


def test_old_temporary_files_beside_objects_are_swept(store: LocalStore) -> None:
    store.put("a/b", b"x")
    past = time.time() - _temporary.MAX_AGE - 60
    for name, age in (("%told", past), ("%tnew", time.time())):
        (store.root / "a" / name).write_bytes(b"x")
        os.utime(store.root / "a" / name, (age, age))
    assert keys(store) == ["a/b"]
    assert sorted(os.listdir(store.root / "a")) == ["%tnew", "b"]


def test_appending_to_more_files_than_are_kept_open(store: LocalStore) -> None:
    for turn in range(3):
        for at in range(50):
            assert store.append(f"log/{at}", b"%d" % turn) == turn + 1
    assert all(store.get(f"log/{at}").read() == b"012" for at in range(50))
    store.close()
    assert store.append("log/1", b"3") == 4


def test_an_append_after_a_deletion_by_another_begins_anew(store: LocalStore, tmp_path: Path) -> None:
    assert store.append("log", b"abc") == 3
    other = LocalStore(store.root)
    other.delete(["log"])
    assert store.append("log", b"de") == 2
    assert other.get("log").read() == b"de"
    other.put("log/below", b"x")
    assert store.append("log", b"f") == 3
    assert other.get("log").read() == b"def"
    store.delete(["log"])
    assert store.append("log", b"g") == 1


def test_sync_reaches_the_file_and_every_folder_above(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)

        def sync(fd: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{fd}"))
            real(fd)

        monkeypatch.setattr(os, name, sync)

    watch("fsync")
    watch("fdatasync")
    store.put("a/b/c", b"x")
    store.append("a/log", b"x")
    assert synced == []
    store.sync(["a/b/c", "a/log"])
    root = str(store.root)
    places = [f"{root}/a/b/c", f"{root}/a/log", f"{root}/a/b", f"{root}/a", root, os.path.dirname(root)]
    assert sorted(synced) == sorted(places)
    synced.clear()
    store.append("a/log", b"y")
    store.sync(["a/log"])
    assert synced == [f"{root}/a/log", f"{root}/a"]
    store.delete(["a/log", "a/b/c"])
    store.put("a/b/c", b"x")
    synced.clear()
    store.sync(["a/b/c"])
    assert sorted(synced) == sorted([f"{root}/a/b/c", f"{root}/a/b", f"{root}/a", root])  # whose name has stayed
    store.put("a/d/e", b"x")
    synced.clear()
    store.sync(["a/d/e"])
    assert sorted(synced) == sorted([f"{root}/a/d/e", f"{root}/a/d", f"{root}/a"])
    with pytest.raises(NotFoundError):
        store.sync(["a/b/c", "missing"])


def test_many_files_are_synced_side_by_side(store: LocalStore) -> None:
    names = [f"objects/{at % 4}/{at}" for at in range(40)]
    for name in names:
        store.put(name, b"x")
    store.sync(names)
