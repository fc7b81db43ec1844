"""Commit records in a data store: written in segments or as objects, read back with the rules of precedence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, cast

from dovetail.artifacts.fences import read_fences, valid_end
from dovetail.artifacts.framing import RECORD_MAGIC, Frame, encode_frame, read_frames
from dovetail.artifacts.layout import commit_key, commits_prefix, run_prefix, segment_key, segments_prefix
from dovetail.artifacts.manifest import read_marker
from dovetail.artifacts.records import CommitRecord, unpack_record
from dovetail.interfaces.datastore import DataStoreCapability, SupportsAppend
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.artifacts.signing import Keyring
    from dovetail.interfaces.datastore import Buffer, DataStore

__all__ = [
    "SEGMENT_LIMIT",
    "SegmentWriter",
    "checked_frames",
    "find_record",
    "put_commit",
    "read_frame_records",
    "read_frames_from",
    "read_records",
]

SEGMENT_LIMIT = 64 * 1024 * 1024
"""A segment of at least this many bytes is followed by a new one."""


def _keyring(store: DataStore) -> Keyring | None:
    """The keys of a `SignedStore`. That class is imported only where something is signed."""
    return getattr(store, "keyring", None)


def _encode(
    store: DataStore, key: str, frame: int, records: Iterable[tuple[bytes, bytes]]
) -> tuple[list[bytes | memoryview], int, list[int]]:
    """Buffers of the frame at an offset, the offset of its values section, and that of each record's values in the
    section. In a signed store it is signed."""
    keyring = _keyring(store)
    items: list[tuple[bytes, int, int]] = []
    values: list[bytes | memoryview] = []
    starts: list[int] = []
    at = 0
    for record, section in records:
        items.append((record, at, len(section)))
        starts.append(at)
        if section:
            values.append(section)
            at += len(section)
    sign = None if keyring is None else keyring.frame_signer(key, frame)
    buffers, data_at = encode_frame(RECORD_MAGIC, items, values, sign)
    return buffers, data_at, starts


class SegmentWriter:
    """Writes the commit records of a driver. Not thread-safe: the driver owns it.

    Args:
        store: The run's data store. Without `APPEND`, every batch becomes a segment.
        run: Run id.
        fence: The driver's fence.
    """

    def __init__(self, store: DataStore, run: str, fence: int) -> None:
        self._store = store
        self._run = run
        self._fence = fence
        self._n = 0
        self._end = 0
        self._appends = bool(store.capabilities & DataStoreCapability.APPEND)

    def append(self, records: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, int, int]]:
        """Write a batch of (record, values section), whole or not at all; kill-durable when it returns.

        Returns:
            For each record (key, offset of the frame, offset of the record's values section).
        """
        if not records:
            return []
        if self._end >= SEGMENT_LIMIT:
            self._roll()
        key = segment_key(self._run, self._fence, self._n)
        frame = self._end
        buffers, data_at, starts = _encode(self._store, key, frame, records)
        try:
            if self._appends:
                size = sum(map(len, buffers))
                self._end = cast(SupportsAppend, self._store).append(key, cast("Sequence[Buffer]", buffers))
                if self._end != frame + size:
                    raise CorruptDataError(f"{key} ends at {self._end}, not {frame + size}: it has a second writer")
            else:
                self._store.put(key, cast("Sequence[Buffer]", buffers))
                self._roll()
        except BaseException:
            # Whatever part of the frame was written would hide all frames behind it.
            self._roll()
            raise
        base = frame + data_at
        return [(key, frame, base + start) for start in starts]

    def close(self) -> None:
        """Nothing is held open; kept for symmetry with the other writers."""

    def _roll(self) -> None:
        self._n += 1
        self._end = 0


def put_commit(
    store: DataStore, run: str, path: str, call_digest: bytes, record: bytes, values: bytes
) -> tuple[str, int, int]:
    """Write a record as an object of its own, create-only; the result is as of `SegmentWriter.append`.

    Raises:
        AlreadyExistsError: The call has a record. It stays as it is.
    """
    key = commit_key(run, path, call_digest)
    buffers, data_at, _ = _encode(store, key, 0, [(record, values)])
    store.put(key, cast("Sequence[Buffer]", buffers))
    return key, 0, data_at


def _records_of(frame: Frame, *, store: str, run: str, key: str) -> Iterator[CommitRecord]:
    for data, offset, length in frame.items():
        yield unpack_record(
            data, store=store, run=run, key=key, frame=frame.offset, values=(frame.data_at + offset, length)
        )


def checked_frames(
    store: DataStore, key: str, stream: IO[bytes], length: int, *, keep_data: bool = False, offset: int = 0
) -> Iterator[Frame]:
    """Frames of a segment or commit object, as of `read_frames`. Of a signed store each is checked before it is given.

    Raises:
        SignatureError: No trusted key has signed one as it is, where it is.
    """
    keyring = _keyring(store)
    for frame in read_frames(stream, length, RECORD_MAGIC, keep_data=keep_data, offset=offset):
        if keyring is not None:
            keyring.check_frame(key, frame.offset, frame.meta, frame.signature, store.url)
        yield frame


def _frames(store: DataStore, key: str, end: int | None, problems: list[str] | None) -> Iterator[Frame]:
    """Frames of a segment or commit object; what follows the last valid one is told to `problems`."""
    if end == 0:
        return
    try:
        found = store.get(key, byte_range=None if end is None else (0, end))
    except NotFoundError:
        return
    last = 0
    with found:
        for frame in checked_frames(store, key, found.stream, found.length):
            last = frame.end
            yield frame
    expected = found.length if end is None else end
    if last != expected and problems is not None:
        problems.append(f"{key} is torn or corrupt from byte {last} of {expected}")


def read_records(
    store: DataStore, run: str, *, uuid: str | None = None, problems: list[str] | None = None
) -> Iterator[CommitRecord]:
    """Every commit record of a run, one for each call: an object under `commits/` wins over a segment's record, and
    a lower fence over a higher.

    Memory grows by the calls' names only, and by one frame.

    Args:
        store: The run's data store.
        run: Run id.
        uuid: The store's uuid; read from its marker by default.
        problems: Gets a line for each tail that is torn or corrupt and was left out.

    Raises:
        StoreVersionError: A newer Dovetail wrote a record.
    """
    home = read_marker(store).uuid if uuid is None else uuid
    seen: set[bytes] = set()

    def first(record: CommitRecord) -> bool:
        call = record.call_digest + record.path.encode()
        if call in seen:
            return False
        seen.add(call)
        return True

    commits = [info.key for info in store.scan(commits_prefix(run))]
    for key in commits:
        for frame in _frames(store, key, None, problems):
            for record in _records_of(frame, store=home, run=run, key=key):
                if key == commit_key(run, record.path, record.call_digest) and first(record):
                    yield record
    fences = read_fences(store, run)
    for key in [info.key for info in store.scan(segments_prefix(run))]:
        for frame in _frames(store, key, valid_end(fences, key), problems):
            for record in _records_of(frame, store=home, run=run, key=key):
                if first(record):
                    yield record


def read_frame_records(store: DataStore, run: str, key: str, frame: int, *, uuid: str) -> list[CommitRecord]:
    """The records of one frame, such as the index's `record` column names.

    Raises:
        ArtifactGoneError: The run was deleted.
        CorruptDataError: There is no valid frame.
    """
    for _, records in read_frames_from(store, run, key, frame, uuid=uuid):
        return records
    raise CorruptDataError(f"{key} in {store.url} has no valid frame at byte {frame}")


def read_frames_from(
    store: DataStore, run: str, key: str, frame: int, *, uuid: str
) -> Iterator[tuple[int, list[CommitRecord]]]:
    """(offset, records) of a frame and those that follow it, read as they are asked for.

    Raises:
        ArtifactGoneError: The run was deleted.
    """
    if not key.startswith(run_prefix(run)):  # the index names it, and a signature holds for its own run alone
        raise CorruptDataError(
            f"{key} is no record of run {run}", hint="Make the index anew: dovetail metadata-rebuild"
        )
    try:
        found = store.get(key, byte_range=(frame, 1 << 62))
    except NotFoundError as error:
        raise ArtifactGoneError(f"{key} is gone from {store.url}: its run was deleted") from error
    with found:
        for one in checked_frames(store, key, found.stream, found.length, offset=frame):
            yield one.offset, list(_records_of(one, store=uuid, run=run, key=key))


def find_record(
    store: DataStore,
    run: str,
    path: str,
    call_digest: bytes,
    *,
    uuid: str | None = None,
    problems: list[str] | None = None,
) -> CommitRecord | None:
    """The record of one call, by the same precedence; None when it has none.

    Args:
        store: The run's data store.
        run: Run id.
        path: Path of the task.
        call_digest: Digest of its call; empty for the first record of any call at the path.
        uuid: The store's uuid; read from its marker by default.
        problems: Gets a line for each tail of those looked through that is torn or corrupt: it may be in there.
    """
    home = read_marker(store).uuid if uuid is None else uuid
    if call_digest:
        keys = [commit_key(run, path, call_digest)]
    else:
        keys = [info.key for info in store.scan(commits_prefix(run, path))]
    needle = path.encode()

    def search(key: str, end: int | None) -> CommitRecord | None:
        for frame in _frames(store, key, end, problems):
            if needle not in frame.meta:
                continue
            for record in _records_of(frame, store=home, run=run, key=key):
                if record.path == path and (not call_digest or record.call_digest == call_digest):
                    return record
        return None

    for key in keys:
        if (record := search(key, None)) is not None:
            return record
    fences = read_fences(store, run)
    for info in store.scan(segments_prefix(run)):
        if (record := search(info.key, valid_end(fences, info.key))) is not None:
            return record
    return None
