"""Copies runs from one data store to another, with everything they need.

In the target all values lie in the target: wherever a record or document names a store that the run used, the copy
names the target. Frames are therefore written anew, and the ends that fences list with them. What a signed store gives
out has been checked, and what is put into one is signed by whoever copies. A copy to any other store has no signatures:
they hold for what was written at its place alone. So a signed run goes there only where that is asked for.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, cast

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.fences import newest_fence, read_fences, valid_end
from dovetail.artifacts.framing import RECORD_MAGIC, encode_frame
from dovetail.artifacts.layout import manifest_key, run_prefix
from dovetail.artifacts.manifest import open_store, read_manifest
from dovetail.artifacts.msgpacked import pack, unpack_checked
from dovetail.artifacts.segments import checked_frames
from dovetail.artifacts.signed_store import SignedStore
from dovetail.artifacts.store_pins import read_store_pins
from dovetail.artifacts.upkeep.references import References
from dovetail.artifacts.upkeep.signatures import is_signed
from dovetail.artifacts.upkeep.transfer import copy_object
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStoreCapability, SupportsAppend
from dovetail.interfaces.errors import CorruptDataError, NotFoundError, SignatureError, StoreError, UsageError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["CopiedRun", "copy_run"]

_THREADS = 8
_RECENT = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedRun:
    """What was copied of a run."""

    run: str
    """The run."""
    objects: int
    """Objects that were written; those that were there already don't count."""
    size: int
    """Bytes that were written, records included."""
    complete: bool
    """Whether all of it was there before."""


def copy_run(
    source: DataStore,
    target: DataStore,
    run: str,
    *,
    stores: Mapping[str, DataStore],
    pin: Mapping[str, Any],
    drop_signatures: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> CopiedRun:
    """Copy a run, `run.json` last: killed at any point, the target has no half run, and the same call goes on.

    Every object and record is read back and compared. A run that was copied and went on since is copied again.

    Args:
        source: The store that holds the run.
        target: Where it shall be.
        run: Run id. It must not be driven meanwhile.
        stores: The stores that its values lie in, by uuid; the source too.
        pin: How the target is opened, as a run's manifest has it.
        drop_signatures: Copy also a run that somebody signed where nobody signs the copy.
        progress: Called with the number of objects that were looked at since the last call.

    Raises:
        NotFoundError: The source has no such run.
        CorruptDataError: Something of it is damaged.
        StoreError: It went on in the target, or a store that holds values of it is not at hand.
        UsageError: The copy would be without the signatures that the run has.
        StoreFullError: No room.
    """
    uuid, home = open_store(source), open_store(target)
    manifest = read_manifest(source, run)
    if not (drop_signatures or isinstance(target, SignedStore)) and is_signed(source, run):
        raise UsageError(
            f"run {run} in {source.url} is signed, and its copy in {target.url} would not be: nothing is signed here",
            hint="Turn the setting artifacts.signed on, with a key that signs the copy; or say --drop-signatures.",
        )
    used = {uuid, *manifest.stores, *read_store_pins(source, run)}
    rewriter = _Rewriter(dict.fromkeys(used, home), pin)
    if newest_fence(target, run) > newest_fence(source, run):
        raise StoreError(
            f"run {run} went on in {target.url}: its copy there is newer", hint="Copy it back, or delete it there."
        )
    objects, size = _copy_objects(source, uuid, target, run, stores, progress)
    records, touched = _copy_keys(source, target, run, rewriter)
    _sync(target, touched)
    body = encode_json(rewriter.document(read_json(source.get(manifest_key(run)).read(), "run.json")))
    last = _put(target, manifest_key(run), body)
    _sync(target, [manifest_key(run)])
    return CopiedRun(run=run, objects=objects, size=size + records + last, complete=not objects + records + last)


# -- objects ----------------------------------------------------------------------------------------------------------


def _copy_objects(
    source: DataStore,
    uuid: str,
    target: DataStore,
    run: str,
    stores: Mapping[str, DataStore],
    progress: Callable[[int], None],
) -> tuple[int, int]:
    references = References(source, uuid, stores)
    done: set[bytes] = set()
    objects = size = 0
    pending: set[Future[int]] = set()

    def finish(futures: set[Future[int]]) -> None:
        nonlocal objects, size
        for future in futures:
            written = future.result()
            objects += bool(written)
            size += written
        progress(len(futures))

    def copy(place: DataStore, digest: bytes, must: bool, what: str) -> int:
        try:
            return copy_object(place, target, digest)
        except NotFoundError as error:
            if not must:  # a text that only looks like a digest
                return 0
            raise StoreError(f"{what} is not in {place.url}: {digest.hex()}") from error

    with ThreadPoolExecutor(_THREADS, "dovetail-copy") as pool:
        try:
            for found in references.of_run(run, source.scan(run_prefix(run))):
                if found.digest in done:
                    continue
                if len(done) >= _RECENT:
                    done.clear()
                done.add(found.digest)
                place = source if found.store in ("", uuid) else stores.get(found.store)
                if place is None:
                    raise StoreError(
                        f"{found} lies in the data store {found.store}, which is not at hand",
                        hint="Configure an instance for it.",
                    )
                pending.add(pool.submit(copy, place, found.digest, bool(found.store), str(found)))
                if len(pending) >= 4 * _THREADS:
                    ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                    finish(ended)
            finish(pending)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if references.damage:
        raise CorruptDataError(
            f"run {run} in {source.url} is damaged: {'; '.join(references.damage)}",
            hint="dovetail store verify tells more.",
        )
    return objects, size


# -- records and documents --------------------------------------------------------------------------------------------


def _copy_keys(source: DataStore, target: DataStore, run: str, rewriter: _Rewriter) -> tuple[int, list[str]]:
    """Everything below the run's key but `run.json`; bytes that were written, and their keys."""
    begin = len(run_prefix(run))
    fences = read_fences(source, run)
    ends: dict[str, int] = {}
    written = 0
    touched: list[str] = []

    def put(key: str, body: bytes) -> None:
        nonlocal written
        count = _put(target, key, body)
        written += count
        if count:
            touched.append(key)

    late: list[str] = []
    for info in source.scan(run_prefix(run)):
        key, rest = info.key, info.key[begin:]
        kind = rest.partition("/")[0]
        if kind in ("run.json", "stores"):
            continue
        if kind in ("fences", "end"):
            late.append(key)
        elif kind in ("segments", "commits"):
            end = valid_end(fences, key) if kind == "segments" else None
            body = _frames(source, target, key, end, rewriter)
            ends[rest.partition("/")[2]] = len(body)
            put(key, body)
        elif kind == "logs":
            put(key, source.get(key).read())
        else:
            put(key, encode_json(rewriter.report(read_json(source.get(key).read(), key))))
    for key in late:
        plain = read_json(source.get(key).read(), key)
        if "/fences/" in key:
            plain["ends"] = {name: ends.get(name, 0) for name in plain["ends"]}
        put(key, encode_json(plain))
    return written, touched


def _frames(source: DataStore, target: DataStore, key: str, end: int | None, rewriter: _Rewriter) -> bytes:
    """A segment with its frames written anew, and signed anew where the target is a signed store."""
    if end == 0:
        return b""
    written = bytearray()
    with source.get(key, byte_range=None if end is None else (0, end)) as found:
        for frame in checked_frames(source, key, found.stream, found.length, keep_data=True):
            items = [[rewriter.record(record), *place] for record, *place in frame.items()]
            sign = target.keyring.frame_signer(key, len(written)) if isinstance(target, SignedStore) else None
            for part in encode_frame(RECORD_MAGIC, items, [frame.data], sign)[0]:
                written += part
    return bytes(written)


def _put(target: DataStore, key: str, body: bytes) -> int:
    """Write a key where it has other bytes, and read it back; bytes that were written."""
    try:
        if target.get(key).read() == body:
            return 0
    except (NotFoundError, SignatureError):
        pass
    target.put(key, body, mode="overwrite")
    if target.get(key).read() != body:
        raise CorruptDataError(f"{key} was not stored in {target.url} as it was written")
    return len(body)


def _sync(target: DataStore, keys: list[str]) -> None:
    if target.capabilities & DataStoreCapability.APPEND and keys:
        cast(SupportsAppend, target).sync(keys)


class _Rewriter:
    """Names another store in records and documents.

    Args:
        names: UUID of a store → that of the one to be named instead.
        pin: How that one is opened.
    """

    def __init__(self, names: Mapping[str, str], pin: Mapping[str, Any]) -> None:
        self._names = names
        self._pin = pin

    def document(self, plain: Any) -> Any:
        """The manifest."""
        found = self._walk(plain)
        found["stores"] = {uuid: dict(self._pin) for uuid in set(self._names.values())}
        return found

    def report(self, plain: Any) -> Any:
        """Any other document."""
        if isinstance(plain, dict) and plain.get("arguments"):
            arguments = self._table(b64decode(plain["arguments"]))
            plain = {**plain, "arguments": b64encode(arguments).decode()}
        return self._walk(plain)

    def _walk(self, plain: Any) -> Any:
        if isinstance(plain, str):
            return self._names.get(plain, plain)
        if isinstance(plain, list):
            return [self._walk(item) for item in plain]
        if isinstance(plain, dict):
            return {self._names.get(key, key): self._walk(value) for key, value in plain.items()}
        return plain

    def record(self, record: bytes) -> bytes:
        """A commit record."""
        head, body = unpack_checked(record, "a commit record")
        head[8] = self._names.get(head[8], head[8])
        fields = unpack_checked(body, "a commit record")
        fields[0] = self._table(fields[0])
        if len(fields) > 7 and fields[7]:
            fields[7] = self._table(fields[7])
        return pack([head, pack(fields)])

    def _table(self, table: bytes) -> bytes:
        """An output table, or one of arguments."""
        rows = unpack_checked(table, "an output table")
        for row in rows.values():
            place = row[3]
            if isinstance(place, str):
                row[3] = self._names.get(place, place)
            elif isinstance(place, list) and len(place) in (4, 8):
                place[0] = self._names.get(place[0], place[0])
        return pack(rows)
