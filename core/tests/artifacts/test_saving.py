"""Large values: what is shared with earlier versions, compressed, left out, mapped; in every kind of store."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts import saving
from dovetail.artifacts.extents import KnownObject, shared_runs
from dovetail.artifacts.identity import LEAF_SIZE, digest_of, frame_leaves
from dovetail.artifacts.layout import edge_key, edges_prefix, object_key
from dovetail.artifacts.objectfile import Codec, FrameAt, Header
from dovetail.artifacts.objects import StoredObject
from dovetail.artifacts.saving import Saved
from dovetail.artifacts.store import GRACE_SECONDS, ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace, SerializedValue
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore

LEAVES = 40
SIZE = LEAVES * LEAF_SIZE


def noise(seed: int, size: int = SIZE) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size))


def value(frame: bytes | bytearray, *, raw: bool = True) -> SerializedValue:
    return SerializedValue("bytes", b"", [memoryview(frame)], "bytes", raw=raw, kin="noise")


def fresh(store: DataStore) -> ArtifactStore:
    """As another process would have it."""
    return ArtifactStore({"u": store}, default="u")


def ref_of(saved: Saved) -> ArtifactRef:
    return ArtifactRef(digest=saved.digest, size=saved.size, serializer="bytes", place=ObjectPlace(store="u"))


def read(store: DataStore, saved: Saved) -> memoryview:
    return fresh(store).fetch(ref_of(saved))[1][0]


def owners(store: DataStore, saved: Saved) -> set[bytes]:
    return {bytes.fromhex(info.key.rpartition("/")[2]) for info in store.scan(edges_prefix(saved.digest))}


def stored_bytes(store: DataStore) -> int:
    return sum(info.size for info in store.scan("objects/"))


def test_identity_does_not_depend_on_how_it_is_kept(store: DataStore) -> None:
    data = noise(1)
    for given_value in (value(data), value(data, raw=False), value(bytes(SIZE)), value(b"text " * 400_000, raw=False)):
        saved = fresh(store).save_value(given_value)
        assert saved.digest == digest_of(given_value)
        assert read(store, saved) == bytes(given_value.frames[0])
        again = fresh(store).save_value(given_value)
        assert (again.digest, again.size) == (saved.digest, saved.size)


def test_a_changed_part_is_stored_alone(store: DataStore) -> None:
    data = noise(2)
    artifacts = fresh(store)
    versions = [(artifacts.save_value(value(data)), bytes(data))]
    one = stored_bytes(store)
    for step in range(1, 10):
        begin = step * 3 * LEAF_SIZE
        data[begin : begin + LEAF_SIZE] = noise(100 + step, LEAF_SIZE)
        versions.append((artifacts.save_value(value(data)), bytes(data)))
    assert stored_bytes(store) < one * (1 + 10 / LEAVES)
    for saved, expected in versions:
        assert read(store, saved) == expected


def test_what_is_loaded_changed_and_saved_shares_with_it(store: DataStore) -> None:
    saved = fresh(store).save_value(value(noise(3)))
    artifacts = fresh(store)
    loaded = artifacts.fetch(ref_of(saved))[1][0]
    loaded[5 * LEAF_SIZE] ^= 1
    before = stored_bytes(store)
    changed = artifacts.save_value(value(bytearray(loaded)))
    assert stored_bytes(store) - before < 3 * LEAF_SIZE
    assert read(store, changed) == loaded
    assert read(store, saved)[5 * LEAF_SIZE] != loaded[5 * LEAF_SIZE]


def test_another_process_finds_earlier_versions_by_name(store: DataStore) -> None:
    data = noise(30)
    fresh(store).save_value(value(data), name="model")
    data[0] ^= 1
    before = stored_bytes(store)
    saved = fresh(store).save_value(value(data), name="model")
    assert stored_bytes(store) - before < 3 * LEAF_SIZE
    assert read(store, saved) == data
    data[SIZE // 2] ^= 1
    before = stored_bytes(store)
    fresh(store).save_value(value(data), name="another")
    assert stored_bytes(store) - before > SIZE


def test_a_hint_that_is_lost_damaged_or_wrong_costs_room_alone(store: DataStore) -> None:
    data = noise(31)
    first = fresh(store).save_value(value(data), name="model")
    (hint,) = [info.key for info in store.scan("hints/")]
    other = fresh(store).save_value(value(noise(32)))
    for wrong in (b"", b"[", b'["x", 7]', b'["' + b"00" * 32 + b'"]', b'["' + other.digest.hex().encode() + b'"]'):
        store.put(hint, wrong, mode="overwrite")
        data[0] = (data[0] + 1) % 256
        saved = fresh(store).save_value(value(data), name="model")
        assert read(store, saved) == data
    assert read(store, first) == noise(31)


def test_a_value_that_grows_costs_what_was_added(store: DataStore) -> None:
    artifacts = fresh(store)
    data = noise(4, SIZE + 1000)
    artifacts.save_value(value(data))
    before = stored_bytes(store)
    longer = data + noise(5, 2 * LEAF_SIZE)
    saved = artifacts.save_value(value(longer))
    assert stored_bytes(store) - before < 5 * LEAF_SIZE
    assert read(store, saved) == longer
    shorter = artifacts.save_value(value(longer[: SIZE // 2]))
    assert read(store, shorter) == longer[: SIZE // 2]


def test_a_value_of_many_pieces_is_written_whole(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_EXTENTS", 8)
    artifacts = fresh(store)
    data = noise(6)
    artifacts.save_value(value(data))
    for leaf in range(0, LEAVES, 4):
        data[leaf * LEAF_SIZE + 7] ^= 1
    saved = artifacts.save_value(value(data))
    assert saved.header is not None
    assert saved.header.frames[0].offset > 0
    assert read(store, saved) == data


def test_the_owners_of_shared_bytes_are_on_record_beforehand(store: DataStore) -> None:
    artifacts = fresh(store)
    data = noise(7)
    first = artifacts.save_value(value(data))
    data[0] ^= 1
    second = artifacts.save_value(value(data))
    data[3 * LEAF_SIZE] ^= 1
    third = artifacts.save_value(value(data))
    assert [owners(store, one) for one in (first, second, third)] == [
        set(),
        {first.digest},
        {first.digest, second.digest},
    ]
    keys = {object_key(third.digest), edge_key(third.digest, first.digest), edge_key(third.digest, second.digest)}
    assert keys == set(third.keys)


def test_reuse_refreshes_the_owners_too() -> None:
    now = 1000.0
    store = MemoryStore(clock=lambda: now)
    artifacts = fresh(store)
    data = noise(8)
    first = artifacts.save_value(value(data))
    data[0] ^= 1
    second = artifacts.save_value(value(data))
    now += GRACE_SECONDS / 2 + 1
    assert fresh(store).save_value(value(data)).keys == (object_key(second.digest),)
    assert {info.modified for info in store.scan("")} == {now}
    store.delete([object_key(first.digest)])
    now += GRACE_SECONDS
    assert not artifacts.renew("u", second.digest)


def test_an_owner_that_is_gone_is_not_referred_to(store: DataStore) -> None:
    artifacts = fresh(store)
    data = noise(9)
    first = artifacts.save_value(value(data))
    store.delete([object_key(first.digest)])
    data[0] ^= 1
    second = artifacts.save_value(value(data))
    assert read(store, second) == data
    assert not list(store.scan("edges/"))


def test_zeros_take_no_room_on_the_disk(local: LocalStore, tmp_path: Path) -> None:
    data = bytearray(64 << 20)
    data[30 << 20] = 1
    saved = fresh(local).save_value(value(data))
    file = local.local_path(object_key(saved.digest))
    assert file.stat().st_size > 64 << 20
    assert file.stat().st_blocks * 512 < len(data) // 100
    assert read(local, saved) == data


def test_what_shrinks_is_compressed_unless_it_is_to_be_mapped(store: DataStore, local: LocalStore) -> None:
    text = b"the same words again and again\n" * 100_000
    assert stored_size(store, text, raw=False) < len(text) // 10
    assert stored_size(local, text[1:], raw=True) > len(text)
    assert stored_size(store, bytes(noise(10)), raw=False) > SIZE


def stored_size(store: DataStore, data: bytes, *, raw: bool) -> int:
    saved = fresh(store).save_value(value(data, raw=raw))
    assert read(store, saved) == data
    return store.head(object_key(saved.digest)).size


def test_compressed_pieces_are_shared_too(store: DataStore) -> None:
    artifacts = fresh(store)
    text = bytearray(b"".join(b"line %09d of the file\n" % number for number in range(250_000)))
    saved = artifacts.save_value(value(text, raw=False))
    assert saved.header is not None
    assert {extent.codec for extent in saved.header.frames[0].extents} == {Codec.ZSTD}
    text[-10:] = b"0123456789"
    before = stored_bytes(store)
    changed = artifacts.save_value(value(text, raw=False))
    assert stored_bytes(store) - before < before / 3
    assert read(store, changed) == text


def test_only_pages_that_are_used_are_read(local: LocalStore) -> None:
    saved = fresh(local).save_value(value(noise(11)))
    stored = StoredObject(local, saved.digest, "it")
    assert stored.part(0, 100, 200) == noise(11)[100:200]
    assert stored.part(0, LEAF_SIZE - 1, 3 * LEAF_SIZE + 1) == noise(11)[LEAF_SIZE - 1 : 3 * LEAF_SIZE + 1]
    assert stored.part(0, SIZE - 5, SIZE) == noise(11)[-5:]
    assert not stored.part(0, 5, 5)


@settings(max_examples=examples(30), deadline=None)
@given(st.data())
def test_parts_of_any_object(draw: st.DataObject) -> None:
    """Whole, of shared pieces, compressed: a part is what the slice is."""
    store = MemoryStore()
    artifacts = fresh(store)
    packed = draw.draw(st.booleans())
    data = bytearray(b"abcd" * (SIZE // 4 + 5)) if packed else noise(12, SIZE + 20)
    artifacts.save_value(value(data, raw=not packed))
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=5)):
        data[at] ^= 1
    saved = artifacts.save_value(value(data, raw=not packed))
    stored = StoredObject(store, saved.digest, "it")
    begin = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(begin, len(data)))
    assert stored.part(0, begin, end) == data[begin:end]
    assert stored.frame(0) == data


@pytest.mark.parametrize("verify", ["always", "sample", "never"])
def test_how_much_of_a_mapped_frame_is_hashed(local: LocalStore, verify: str) -> None:
    saved = fresh(local).save_value(value(noise(13)))
    path = local.local_path(object_key(saved.digest))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    stored = StoredObject(local, saved.digest, "the array")
    if verify == "never":
        assert stored.frame(0, verify=verify) != noise(13)
    else:
        with pytest.raises(CorruptDataError, match=r"the array is corrupt: bytes .* of frame 0"):
            deque(stored.frame(0, verify=verify) for _ in range(200))  # eight of forty pieces each time


def test_what_is_unpickled_is_hashed_whole(local: LocalStore) -> None:
    artifacts = ArtifactStore({"u": local}, default="u", verify="never")
    pickled = SerializedValue("pickle", b"", [b"\x80\x05N.", bytes(noise(14))], "t", raw=True)
    saved = artifacts.save_value(pickled)
    path = local.local_path(object_key(saved.digest))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"\0" * 10)
    with pytest.raises(CorruptDataError):
        artifacts.fetch(dataclasses.replace(ref_of(saved), serializer="pickle"))


def test_an_owner_that_was_cut_short_or_lost_is_told(local: LocalStore) -> None:
    artifacts = fresh(local)
    data = noise(15)
    first = artifacts.save_value(value(data))
    data[0] ^= 1
    second = artifacts.save_value(value(data))
    path = local.local_path(object_key(first.digest))
    path.chmod(0o644)
    os.truncate(path, SIZE // 2)
    with pytest.raises(CorruptDataError, match="cut short"):
        read(local, second)
    path.unlink()
    with pytest.raises(ArtifactGoneError):
        read(local, second)


@settings(max_examples=examples(200))
@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.lists(st.integers(0, 3), max_size=12),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_shared_runs_cover_a_frame_and_are_the_same_bytes(
    before: list[int], after: list[int], tail_before: int, tail_after: int
) -> None:
    def made(kinds: list[int], tail: int) -> bytes:
        return b"".join(bytes([kind]) * LEAF_SIZE for kind in kinds) + bytes([9]) * tail

    old, new = made(before, tail_before), made(after, tail_after)
    frame = FrameAt(len(old), 4096, b"".join(frame_leaves(old)[1]))
    runs = shared_runs(frame_leaves(new), KnownObject(b"k" * 32, Header("x", b"", (frame,))), frame)
    assert [run.begin for run in runs] == [0, *(run.end for run in runs)][:-1]
    assert runs[-1].end == len(new)
    for run in runs:
        if run.extent is not None:
            at = run.extent.offset - 4096
            assert (run.extent.owner, run.extent.stored) == (b"k" * 32, run.end - run.begin)
            assert old[at : at + run.extent.stored] == new[run.begin : run.end]
    same = sum(old[at : at + LEAF_SIZE] == new[at : at + LEAF_SIZE] for at in range(0, len(new), LEAF_SIZE))
    assert sum(-(-(run.end - run.begin) // LEAF_SIZE) for run in runs if run.extent) == same


MEASURED = """
import os, resource, sys
from pathlib import Path
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace, SerializedValue
from dovetail.local.store import LocalStore

store = LocalStore(Path(sys.argv[1]))
data = bytearray(os.urandom(1 << 20)) * 256 if sys.argv[2] == "noise" else bytearray(b"0123456789abcdef" * (1 << 24))
def grown(work):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = work()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return found
value = SerializedValue("bytes", b"", [data], "t", raw=sys.argv[2] == "noise")
saved = grown(lambda: ArtifactStore({"u": store}, default="u").save_value(value))
del value, data
ref = ArtifactRef(digest=saved.digest, size=saved.size, serializer="bytes", place=ObjectPlace(store="u"))
header, frames = grown(lambda: ArtifactStore({"u": store}).fetch(ref))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB there")
@pytest.mark.parametrize("kind", ["noise", "text"])
def test_saving_takes_little_memory_beside_the_value(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "store"), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    saving_kib, loading_kib = map(int, done.stdout.split())
    assert saving_kib < 64 << 10
    assert loading_kib < 64 << 10  # mapped, or as large as the value that is gone
