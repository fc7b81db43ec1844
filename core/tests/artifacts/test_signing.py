"""Signatures of documents and records: what a signed reader accepts, and what it says of all else."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from blake3 import blake3
from storemaking import Making, values_of

from dovetail.artifacts.fences import read_fences
from dovetail.artifacts.layout import manifest_key, object_key, segment_key, segments_prefix
from dovetail.artifacts.manifest import read_json, read_manifest
from dovetail.artifacts.reports import put_inbox, read_inbox, read_reports
from dovetail.artifacts.segments import find_record, read_frame_records, read_records
from dovetail.artifacts.signed_store import SignedStore, signed_store, unchecked
from dovetail.artifacts.signing import SIGNATURE_SIZE, Keyring, SigningKey, open_keyring, split_document
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.datastore import DataStore, DataStoreCapability, SupportsAppend, SupportsLocalPath
from dovetail.interfaces.errors import CorruptDataError, NotFoundError, SettingsError, SignatureError
from dovetail.interfaces.events import Event, EventKind
from dovetail.local.store import LocalStore
from dovetail.settings.core import ArtifactSettings
from dovetail.testing.memory_store import MemoryStore

OURS = SigningKey("our secret, which is long enough to be one", name="env:OURS")
NEXT = SigningKey("the secret of the year that follows this one", name="env:NEXT")
THEIRS = SigningKey("a secret of somebody whom nobody trusts here", name="env:THEIRS")


@pytest.fixture(params=["local", "memory"])
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> DataStore:
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()


def made(store: DataStore, run: str = "") -> str:
    """A run with each kind of document and two frames of records; its id."""
    begun = Making(store).run(run, rows=3)
    begun.task("start", {"odd": {1, 2}, "large": {3: b"x" * 500}})
    begun.task("end", {"text": "done"})
    begun.fail("other", {3, 4})
    put_inbox(store, begun.id, Event("w", 1, EventKind.SIGNAL, 1.0, "", {"name": "a"}))
    begun.end()
    return begun.id


def read_all(store: DataStore, run: str) -> None:
    """Everything of a run that is signed."""
    read_manifest(store, run)
    read_fences(store, run)
    list(read_records(store, run))
    list(read_reports(store, run))
    read_inbox(store, run)


# -- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_from_a_secret_and_never_shown() -> None:
    secret = "correct horse battery staple, twice over"
    key = SigningKey(secret, name="env:KEY")
    assert key.id == SigningKey(secret).id
    assert key.id != OURS.id
    assert secret not in repr(key) + repr(Keyring(key))
    assert key._key.hex() not in repr(key)
    with pytest.raises(TypeError, match="stays in the process"):
        pickle.dumps(key)
    with pytest.raises(SettingsError, match="env:SHORT has 6 characters") as error:
        SigningKey("s3cret", name="env:SHORT")
    assert "s3cret" not in str(error.value)


def test_keys_are_looked_up_where_references_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("k" * 32 + "\n")
    monkeypatch.setenv("STORE_KEY", "e" * 32)
    found = open_keyring({"key": f"file:{tmp_path / 'key'}", "trusted": ["env:STORE_KEY"]}, tmp_path)
    assert found.signing is not None
    assert found.signing.id == SigningKey("k" * 32).id
    assert found._trusted.keys() == {SigningKey("k" * 32).id, SigningKey("e" * 32).id}
    with pytest.raises(NotFoundError, match="env:NOT_THERE"):
        open_keyring({"key": "env:NOT_THERE", "trusted": []}, tmp_path)


def test_a_reader_without_a_key_that_signs_writes_nothing(plain: DataStore) -> None:
    run = made(SignedStore(plain, Keyring(OURS)))
    reader = SignedStore(plain, Keyring(None, [OURS]))
    read_all(reader, run)
    with pytest.raises(SettingsError, match=r"no artifacts\.signing_key"):
        made(reader, "01hxxxxxxxxxxxxxxxxxxxxxxx")
    assert not list(plain.scan("runs/01hx"))


# -- the store --------------------------------------------------------------------------------------------------------


def test_a_signed_store_has_the_abilities_of_the_one_inside(tmp_path: Path) -> None:
    local = SignedStore(LocalStore(tmp_path / "store"), Keyring(OURS))
    assert local.capabilities & DataStoreCapability.LOCAL_PATH
    assert isinstance(local, SupportsAppend)
    assert isinstance(local, SupportsLocalPath)
    memory = MemoryStore()
    signed = SignedStore(memory, Keyring(OURS))
    assert signed.capabilities == memory.capabilities
    assert isinstance(signed, SupportsLocalPath) == isinstance(memory, SupportsLocalPath)
    assert unchecked(SignedStore(memory, Keyring(OURS))) is memory
    assert unchecked(memory) is memory


def test_a_store_is_not_put_inside_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_KEY", "e" * 32)
    once = signed_store(MemoryStore(), {"key": "env:STORE_KEY"}, tmp_path)
    assert signed_store(once, {"key": "env:STORE_KEY"}, tmp_path) is once


def test_what_is_signed_is_read_by_all(plain: DataStore) -> None:
    signed = SignedStore(plain, Keyring(OURS))
    run = made(signed)
    read_all(signed, run)
    read_all(plain, run)
    assert values_of(signed, run) == values_of(plain, run)
    body, signature = split_document(plain.get(manifest_key(run)).read())
    assert len(signature) == SIGNATURE_SIZE
    assert signed.get(manifest_key(run)).read() == body
    assert signed.get(manifest_key(run), byte_range=(1, 10)).read() == body[1:10]
    assert "signature" not in read_json(plain.get(manifest_key(run)).read(), "run.json")


def test_what_signing_costs(plain: DataStore) -> None:
    """No further object, and so many bytes a document or frame."""
    run = made(SignedStore(plain, Keyring(OURS)))
    bare = (
        MemoryStore() if isinstance(plain, MemoryStore) else LocalStore(Path(plain.url.removeprefix("file://") + "2"))
    )
    made(bare, run)
    sizes = {info.key: info.size for info in plain.scan(f"runs/{run}/")}
    unsigned = {info.key: info.size for info in bare.scan(f"runs/{run}/")}
    assert sizes.keys() == unsigned.keys()
    assert {info.key for info in plain.scan("objects/")} == {info.key for info in bare.scan("objects/")}
    frames = 2 if plain.capabilities & DataStoreCapability.APPEND else 1
    for key, size in sizes.items():
        more = size - unsigned[key]
        # A frame's meta may be compressed, and names a store of its own.
        limit = (SIGNATURE_SIZE + 16) * frames if key.startswith(segments_prefix(run)) else 97
        assert 0 < more <= limit, key


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [Keyring(THEIRS), Keyring(None, [NEXT])], ids=["signs itself", "only reads"])
def test_a_key_that_is_not_trusted(plain: DataStore, keys: Keyring) -> None:
    run = made(SignedStore(plain, Keyring(OURS)))
    reader = SignedStore(plain, keys)
    with pytest.raises(SignatureError, match=f"run {run} .* key {OURS.id.hex()}, which is not trusted") as error:
        read_manifest(reader, run)
    assert "trusted_keys" in (error.value.hint or "")
    with pytest.raises(SignatureError, match="not trusted"):
        list(reader_records(reader, run))


def reader_records(store: DataStore, run: str) -> list[str]:
    """Paths of a run's records, the fences as they are."""
    return [
        record.path
        for info in store.scan(segments_prefix(run))
        for record in read_frame_records(store, run, info.key, 0, uuid="")
    ]


def test_what_nobody_signed(plain: DataStore) -> None:
    run = made(plain)
    reader = SignedStore(plain, Keyring(OURS))
    with pytest.raises(SignatureError, match=rf"run\.json of run {run} in .* is not signed") as error:
        read_manifest(reader, run)
    assert "--trust-source" in (error.value.hint or "")
    assert error.value.key == manifest_key(run)
    with pytest.raises(SignatureError, match=r"at byte 0 .* is not signed"):
        reader_records(reader, run)
    with pytest.raises(SignatureError, match="is not signed"):
        find_record(reader, run, "start", b"")


def test_rotation(plain: DataStore) -> None:
    """A new key signs while the old one counts; then it counts no more."""
    old = made(SignedStore(plain, Keyring(OURS)), "01h00000000000000000000old")
    both = SignedStore(plain, Keyring(NEXT, [OURS]))
    new = made(both, "01h00000000000000000000new")
    read_all(both, old)
    read_all(both, new)
    later = SignedStore(plain, Keyring(NEXT))
    read_all(later, new)
    with pytest.raises(SignatureError, match="not trusted"):
        read_all(later, old)


def test_every_byte_of_what_is_signed_counts(plain: DataStore) -> None:
    signed = SignedStore(plain, Keyring(OURS))
    run = made(signed)
    for info in list(plain.scan(f"runs/{run}/")):
        if "/segments/" in info.key or "/logs/" in info.key:
            continue
        data = plain.get(info.key).read()
        for at in {0, len(data) // 3, len(data) - 110, len(data) - 60, len(data) - 2} - {-1}:
            changed = bytearray(data)
            changed[max(at, 0)] ^= 1
            plain.put(info.key, bytes(changed), mode="overwrite")
            with pytest.raises(SignatureError):
                signed.get(info.key)
        plain.put(info.key, data, mode="overwrite")
    read_all(signed, run)


def test_a_document_stands_for_its_own_key_alone(plain: DataStore) -> None:
    signed = SignedStore(plain, Keyring(OURS))
    one, other = made(signed, "01h00000000000000000000one"), made(signed, "01h00000000000000000000two")
    for info in list(plain.scan(f"runs/{one}/")):
        plain.put(info.key.replace(one, other), plain.get(info.key).read(), mode="overwrite")
    for info in list(plain.scan(f"runs/{other}/")):
        if "/segments/" not in info.key and "/logs/" not in info.key:
            with pytest.raises(SignatureError, match="put there from somewhere else"):
                signed.get(info.key)
    with pytest.raises(SignatureError, match="put there from somewhere else"):
        reader_records(signed, other)


def test_a_frame_stands_for_its_own_place_alone(tmp_path: Path) -> None:
    plain = LocalStore(tmp_path / "store")
    signed = SignedStore(plain, Keyring(OURS))
    run = made(signed)
    key = segment_key(run, 1, 0)
    data = plain.get(key).read()
    (second,) = [r.frame for r in read_records(signed, run) if r.path == "end"]
    plain.put(key, data[second:] + data[:second], mode="overwrite")
    with pytest.raises(SignatureError, match="at byte 0"):
        list(read_records(signed, run))
    plain.put(key, data, mode="overwrite")
    plain.put(segment_key(run, 1, 1), data, mode="overwrite")
    with pytest.raises(SignatureError, match="000001-000001"):
        list(read_records(signed, run))


def test_a_record_of_another_run_is_not_read_for_this_one(plain: DataStore) -> None:
    """Whatever an index says: signatures of the other run hold there."""
    signed = SignedStore(plain, Keyring(OURS))
    one, other = made(signed, "01h00000000000000000000one"), made(signed, "01h00000000000000000000two")
    with pytest.raises(CorruptDataError, match=f"no record of run {one}"):
        read_frame_records(signed, one, segment_key(other, 1, 0), 0, uuid="")


def test_a_text_that_looks_like_a_signature_is_none(plain: DataStore) -> None:
    signed = SignedStore(plain, Keyring(OURS))
    key = "runs/01h00000000000000000000one/tasks/ab"
    mac = blake3(b"x").hexdigest()
    body = json.dumps({"a": f',"signature":"{"0" * 16}:{mac}"' + "}"}).encode()
    signed.put(key, body)
    assert signed.get(key).read() == body
    listed = json.dumps(["b", f"signature:{'0' * 16}:{mac}"], separators=(",", ":")).encode()
    signed.put(key, listed, mode="overwrite")
    assert signed.get(key).read() == listed


def test_a_pickle_stream_is_not_read_from_a_file_after_it_was_hashed(tmp_path: Path) -> None:
    plain = LocalStore(tmp_path / "store")
    value = {"x" * 50_000}
    for store in (plain, SignedStore(plain, Keyring(OURS))):
        artifacts = ArtifactStore({"u": store}, default="u")
        ref = artifacts.save(value)
        _, frames = artifacts.fetch(ref)
        before = bytes(frames[0])
        path = plain.local_path(object_key(ref.digest))
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size - 10)
            file.write(b"!" * 10)
        assert (bytes(frames[0]) == before) or store is plain
        with pytest.raises(CorruptDataError):
            artifacts.load(ref)
        path.unlink()


@pytest.mark.parametrize(("settings", "expected"), [({}, "sample"), ({"signed": True}, "always")])
def test_in_signed_mode_all_of_a_mapped_array_is_verified(settings: dict[str, bool], expected: str) -> None:
    key = SecretRef(provider="env", id="KEY")
    assert ArtifactSettings(signing_key=key, **settings).policy["verify"] == expected
    assert ArtifactSettings(signing_key=key, verify="never", **settings).policy["verify"] == "never"


def test_a_changed_document_is_told_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    keyring = Keyring(OURS)
    run = made(SignedStore(store, keyring))
    assert verify(SignedStore(store, keyring)).sound
    key = manifest_key(run)
    store.put(key, store.get(key).read().replace(b'"user":"', b'"user":"x'), mode="overwrite")
    (fault,) = verify(SignedStore(store, keyring)).faults
    assert fault.key == key
    assert "is not what was signed there" in fault.reason
    (fault,) = verify(store).faults
    assert fault.key == key
    assert "does not match its check" in fault.reason
