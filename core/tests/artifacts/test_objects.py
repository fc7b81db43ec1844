"""Objects: round trips through stores, sharing, verification, versions, errors that name the thing."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts.identity import frame_leaves, value_digest
from dovetail.artifacts.layout import object_digest, object_key
from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.objectfile import PAGE, PRELUDE_SIZE, layout_object
from dovetail.artifacts.store import GRACE_SECONDS, ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, SerializedValue
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import (
    ArtifactGoneError,
    CorruptDataError,
    StoreError,
    StoreVersionError,
    UnknownNameError,
    UnpicklableError,
)
from dovetail.local.store import LocalStore

BIG = bytes(range(256)) * 1000


def save_object(artifacts: ArtifactStore, value: Any) -> ArtifactRef:
    ref = artifacts.save(value)
    assert isinstance(ref.place, ObjectPlace)
    return ref


def test_small_values_are_inline_and_large_ones_objects(artifacts: ArtifactStore) -> None:
    small = artifacts.save([1, 2])
    assert small.place == InlinePlace(data=b"[1,2]")
    assert artifacts.load(small) == [1, 2]
    large = save_object(artifacts, BIG)
    assert (large.size, large.serializer, large.type) == (len(BIG), "bytes", "bytes")
    assert artifacts.load(large) == BIG
    assert object_digest(object_key(large.digest)) == large.digest


def test_arrays_load_writable_without_touching_the_store(artifacts: ArtifactStore) -> None:
    np = pytest.importorskip("numpy")
    for size in (1000, 20_000, 300_000):  # in the stream, read, mapped
        array = np.arange(float(size))
        ref = artifacts.save({"x": array})
        loaded = artifacts.load(ref)["x"]
        loaded[:] = -1.0
        loaded.sort()
        again = artifacts.load(ref)["x"]
        assert np.array_equal(again, array)


def test_a_mapping_outlives_the_object(local: LocalStore) -> None:
    np = pytest.importorskip("numpy")
    artifacts = ArtifactStore({"u": local}, default="u")
    array = np.arange(500_000.0)
    ref = artifacts.save(array)
    loaded = artifacts.load(ref)
    local.delete([object_key(ref.digest)])
    assert np.array_equal(loaded, array)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_large_local_frames_are_mapped_and_hold_no_descriptors(local: LocalStore) -> None:
    artifacts = ArtifactStore({"u": local}, default="u")
    ref = artifacts.save(bytearray(os.urandom(3 << 20)))
    before = len(os.listdir("/proc/self/fd"))
    kept = [artifacts.fetch(ref)[1][-1] for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(isinstance(frame.obj, mmap.mmap) for frame in kept)
    kept[0][0] ^= 1
    assert kept[0][0] != kept[1][0]


def test_the_same_value_is_written_once(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = save_object(artifacts, BIG)
    first = store.head(object_key(ref.digest))
    assert save_object(artifacts, bytes(BIG)) == ref
    assert store.head(object_key(ref.digest)).etag == first.etag


def test_an_old_object_is_refreshed_when_it_is_reused(memory: Callable[..., Any]) -> None:
    now = 1000.0
    store = memory(clock=lambda: now)
    artifacts = ArtifactStore({"u": store}, default="u")
    key = object_key(save_object(artifacts, BIG).digest)
    now += GRACE_SECONDS / 2 - 1
    artifacts.save(BIG)
    assert store.head(key).modified == 1000.0
    now += 2
    artifacts.save(BIG)
    assert store.head(key).modified == now


def test_an_object_that_was_cut_short_is_written_again(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = save_object(artifacts, BIG)
    key = object_key(ref.digest)
    whole = store.get(key).read()
    store.put(key, whole[:-100], mode="overwrite")
    with pytest.raises(CorruptDataError, match="cut short"):
        artifacts.load(ref)
    assert save_object(artifacts, BIG) == ref
    assert store.get(key).read() == whole


# -- the file ---------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(60))
@given(st.binary(max_size=200), st.lists(st.integers(0, 3 * PAGE), max_size=6))
def test_layout(header: bytes, sizes: list[int]) -> None:
    frames = [bytes([i + 1]) * size for i, size in enumerate(sizes)]
    leaves = [frame_leaves(frame) for frame in frames]
    buffers, offsets = layout_object("x", header, frames, leaves)
    data = b"".join(buffers)
    end = PRELUDE_SIZE
    for frame, offset in zip(frames, offsets, strict=True):
        assert data[offset : offset + len(frame)] == frame
        assert offset % (PAGE if len(frame) >= PAGE else 64) == 0
        assert offset >= end
        end = offset + len(frame)


def test_every_flipped_byte_is_found(memory: Callable[..., Any]) -> None:
    store = memory()
    artifacts = ArtifactStore({open_store(store): store}, default=open_store(store))
    value = SerializedValue("pickle", b"", [b"\x80\x05N.", b"x" * 70, b"y" * 5000], "t")
    (key,) = artifacts.save_value(value).keys
    digest = object_digest(key)
    ref = ArtifactRef(digest=digest, size=5074, serializer="pickle", place=ObjectPlace(store=artifacts.default))
    good = store.get(key).read()
    _, frames = artifacts.fetch(ref)
    harmless = 0
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x10
        store.put(key, bytes(bad), mode="overwrite")
        try:
            _, found = artifacts.fetch(ref)
        except (CorruptDataError, StoreVersionError):
            continue
        harmless += 1
        assert found == frames
    padding = len(good) - PRELUDE_SIZE - 5074
    assert harmless <= padding  # nothing but zeros between frames can change unnoticed


def test_every_truncation_is_found(memory: Callable[..., Any]) -> None:
    store = memory()
    artifacts = ArtifactStore({"u": store}, default="u")
    ref = save_object(artifacts, b"z" * 200)
    key = object_key(ref.digest)
    good = store.get(key).read()
    for length in range(len(good)):
        store.put(key, good[:length], mode="overwrite")
        with pytest.raises(CorruptDataError):
            artifacts.load(ref)


def test_another_objects_bytes_are_not_taken(artifacts: ArtifactStore, store: DataStore) -> None:
    one, two = save_object(artifacts, b"1" * 1000), save_object(artifacts, b"2" * 1000)
    store.put(object_key(one.digest), store.get(object_key(two.digest)).read(), mode="overwrite")
    with pytest.raises(CorruptDataError, match="does not match its digest"):
        artifacts.load(one)


def _with_prelude(data: bytes, **changes: int) -> bytes:
    fields = list(struct.unpack("<8sHHIIQQII", data[:44]))
    names = ["magic", "major", "minor", "incompat", "compat"]
    for name, value in changes.items():
        fields[names.index(name)] = value
    head = struct.pack("<8sHHIIQQI", *fields[:-1])
    return head + zlib.crc32(head).to_bytes(4, "little") + data[44:]


def test_versions(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = save_object(artifacts, BIG)
    key = object_key(ref.digest)
    good = store.get(key).read()
    for harmless in ({"minor": 7}, {"compat": 1 << 31}):
        store.put(key, _with_prelude(good, **harmless), mode="overwrite")
        assert artifacts.load(ref) == BIG
    for refused in ({"major": 2}, {"incompat": 2}):
        store.put(key, _with_prelude(good, **refused), mode="overwrite")
        with pytest.raises(StoreVersionError, match="Upgrade"):
            artifacts.load(ref)


# -- errors -----------------------------------------------------------------------------------------------------------


def test_a_missing_object(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = save_object(artifacts, BIG)
    store.delete([object_key(ref.digest)])
    with pytest.raises(ArtifactGoneError, match=r"artifact F/r/train/model .* is gone") as caught:
        artifacts.load(ref, name="F/r/train/model")
    assert store.url in caught.value.message
    assert object_key(ref.digest) in caught.value.message


def test_a_corrupt_frame_is_named(artifacts: ArtifactStore, store: DataStore) -> None:
    ref = save_object(artifacts, BIG)
    key = object_key(ref.digest)
    bad = bytearray(store.get(key).read())
    bad[-1] ^= 1
    store.put(key, bytes(bad), mode="overwrite")
    with pytest.raises(CorruptDataError, match=r"artifact F/r/train/model") as caught:
        artifacts.load(ref, name="F/r/train/model")
    assert key in caught.value.message
    assert "frame 0" in caught.value.message


def test_a_corrupt_inline_value() -> None:
    artifacts = ArtifactStore({})
    ref = ArtifactRef(digest=blake3(b"?").digest(), size=1, serializer="json", place=InlinePlace(data=b"5"))
    with pytest.raises(CorruptDataError, match="do not match"):
        artifacts.load(ref)


def test_a_store_that_is_not_open() -> None:
    ref = ArtifactRef(digest=bytes(32), size=1, serializer="json", place=ObjectPlace(store="elsewhere"))
    with pytest.raises(UnknownNameError, match="elsewhere"):
        ArtifactStore({}).load(ref)


def test_only_safe_values_where_that_is_asked_for(store: DataStore) -> None:
    careful = ArtifactStore({"u": store}, default="u", safe=True)
    assert careful.load(careful.save({"a": 1})) == {"a": 1}
    with pytest.raises(StoreError, match="can run code"):
        careful.load(careful.save((1, 2)))


def test_errors_of_loading_name_the_artifact(artifacts: ArtifactStore) -> None:
    header = b'{"python":"cpython-27"}'
    leaves = [frame_leaves(b"N.")]
    digest = value_digest("pickle", header, leaves)
    artifacts.save_frames("pickle", header, [b"N."], leaves, digest)
    ref = ArtifactRef(digest=digest, size=2, serializer="pickle", place=ObjectPlace(store=artifacts.default))
    with pytest.raises(UnpicklableError, match=r"artifact F/r/s/fn .*cpython-27"):
        artifacts.load(ref, name="F/r/s/fn")


def test_a_read_only_or_full_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    from dovetail.interfaces.errors import StoreFullError

    store = LocalStore(tmp_path / "s")
    artifacts = ArtifactStore({"u": store}, default="u")
    artifacts.save(b"first" * 100)

    def full(*args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreFullError):
        artifacts.save(BIG)


def test_a_reference_can_not_hand_bytes_to_the_unpickler(artifacts: ArtifactStore) -> None:
    trap = save_object(artifacts, b"cposix\nsystem\n(S'echo it was run'\ntR." + b" " * 200)
    lie = ArtifactRef(digest=trap.digest, size=trap.size, serializer="pickle", place=trap.place)
    with pytest.raises(CorruptDataError, match="serializer bytes, not pickle"):
        artifacts.load(lie)
