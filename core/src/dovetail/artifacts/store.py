"""Values in data stores: saves and loads what references stand for."""

from __future__ import annotations

from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from dovetail.artifacts.checks import corrupt, describe, gone, matches
from dovetail.artifacts.extents import KnownObject, KnownObjects
from dovetail.artifacts.identity import Leaves, digest_of, frame_leaves, value_digest
from dovetail.artifacts.layout import edges_prefix, object_key
from dovetail.artifacts.objectfile import layout_object
from dovetail.artifacts.objects import SAVE_WHOLE_UP_TO, WRITE_TRIES, Saved, StoredObject
from dovetail.artifacts.packing import pack_value, unpack_value
from dovetail.artifacts.segments import find_record
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.interfaces.artifacts import (
    INLINE_LIMIT,
    ArtifactRef,
    InlinePlace,
    ObjectPlace,
    PackPlace,
    RecordPlace,
    SerializedValue,
    Serializer,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    ArtifactGoneError,
    CorruptDataError,
    DovetailError,
    NotFoundError,
    StoreError,
    UnknownNameError,
    UnpicklableError,
)

if TYPE_CHECKING:
    from dovetail.artifacts.lazy_values import LazyValue
    from dovetail.artifacts.sequences import SequenceReader
    from dovetail.interfaces.datastore import Body, DataStore, ObjectInfo

__all__ = ["GRACE_SECONDS", "ArtifactStore"]

GRACE_SECONDS = 24 * 3600.0
"""A collector deletes nothing younger; so what is reused and older than half of it is refreshed."""
SEQUENCES = 16
"""Sequences whose index is kept."""
PACK_ID = "pack"
"""What stands as the serializer of an object that holds packed values."""


class ArtifactStore:
    """Saves and loads values. Thread-safe.

    Args:
        stores: Store uuid → data store.
        serializers: The serializers; the built-in ones by default.
        default: UUID of the store that takes new values.
        safe: Refuse serializers whose values can run code when loaded.
        verify: How much of a mapped frame is hashed before use: `sample`, `always` or `never`. What is read from a
            store and what is unpickled always is, all of it.
    """

    def __init__(
        self,
        stores: Mapping[str, DataStore],
        serializers: SerializerRegistry | None = None,
        default: str = "",
        *,
        safe: bool = False,
        verify: str = "sample",
    ) -> None:
        self.serializers = SerializerRegistry() if serializers is None else serializers
        """The serializers."""
        self.default = default
        """UUID of the store that takes new values."""
        self._stores = stores
        self._safe = safe
        self._verify = verify
        self._known = KnownObjects()
        self._sequences: OrderedDict[bytes, SequenceReader] = OrderedDict()
        self._lock = allocate_lock()

    def store(self, uuid: str) -> DataStore:
        """The data store with a uuid.

        Raises:
            UnknownNameError: It is not one of the stores at hand.
        """
        try:
            return self._stores[uuid]
        except KeyError:
            raise UnknownNameError(
                f"the data store {uuid} is not open here",
                hint="The run's manifest (runs/<run>/run.json) says where it is; configure an instance for it.",
            ) from None

    # -- saving ---------------------------------------------------------------------------------------------------

    def save(self, value: object) -> ArtifactRef:
        """Store a value that belongs to no record (a parameter, a constant): inline or as an object.

        Raises:
            UnpicklableError: No serializer can write it.
            StoreFullError: No room.
            StoreReadOnlyError: The store can't be written.
        """
        serialized = self.serializers.serialize(value)
        if sum(memoryview(frame).nbytes for frame in serialized.frames) <= INLINE_LIMIT:
            frames = [memoryview(frame).cast("B") for frame in serialized.frames]
            packed = pack_value(serialized.serializer, serialized.header, frames)
            if len(packed) <= INLINE_LIMIT:
                size = sum(frame.nbytes for frame in frames)
                return _ref(digest_of(serialized), size, serialized, InlinePlace(data=packed))
        saved = self.save_value(serialized)
        return _ref(saved.digest, saved.size, serialized, ObjectPlace(store=self.default))

    def save_value(self, value: SerializedValue, *, name: str = "") -> Saved:
        """Store a value as an object of the default store. One that is there already is reused, and a large one
        refers to what earlier versions of it have in common with it.

        Args:
            value: What a serializer made of it.
            name: Of the artifact: where earlier versions are looked for.

        Raises:
            StoreFullError: No room.
            StoreReadOnlyError: The store can't be written.
        """
        size = sum(memoryview(frame).nbytes for frame in value.frames)
        if size <= SAVE_WHOLE_UP_TO:
            frames = [memoryview(frame).cast("B") for frame in value.frames]
            leaves = [frame_leaves(frame) for frame in frames]
            digest = value_digest(value.serializer, value.header, leaves)
            key = self.save_frames(value.serializer, value.header, frames, leaves, digest)
            return Saved(digest=digest, size=size, keys=(key,), header=None)
        from dovetail.artifacts.hints import hinted_objects, leave_hint
        from dovetail.artifacts.saving import ObjectSaver

        kin = f"{value.serializer} {value.kin or value.type}"
        store = self.store(self.default)
        known = chain(self._known.of(self.default, kin), hinted_objects(store, name, kin) if name else ())
        saved = ObjectSaver(store, self.reuse).save(value, known)
        if name:
            leave_hint(store, name, kin, saved.digest)
        if saved.header is not None:
            self._known.add(self.default, kin, KnownObject(saved.digest, saved.header))
        return saved

    def save_frames(
        self,
        serializer: str,
        header: bytes,
        frames: Sequence[memoryview | bytes],
        leaves: Sequence[Leaves],
        digest: bytes,
    ) -> str:
        """Store frames whose leaves are hashed already as an object, as they are; its key."""
        buffers, _ = layout_object(serializer, header, frames, leaves)
        self._put(digest, buffers)
        return object_key(digest)

    def save_pack(self, values: bytes) -> PackPlace:
        """Store packed values together as one object of the default store; where the first one begins."""
        leaves = [frame_leaves(values)]
        digest = value_digest(PACK_ID, b"", leaves)
        buffers, offsets = layout_object(PACK_ID, b"", [values], leaves)
        self._put(digest, buffers)
        return PackPlace(store=self.default, pack=digest, offset=offsets[0], length=len(values))

    def _put(self, digest: bytes, buffers: list[bytes | memoryview]) -> None:
        size = sum(map(len, buffers))
        if self.reuse(digest, size):
            return
        for left in reversed(range(WRITE_TRIES)):
            try:
                self.store(self.default).put(object_key(digest), cast("Body", buffers))
                return
            except AlreadyExistsError:
                if self.reuse(digest, size):  # written meanwhile by someone else
                    return
                if not left:  # else it is gone by now: a collector was about to delete it, or it was damaged
                    raise

    def reuse(self, digest: bytes, size: int | None = None) -> bool:
        """Whether the default store has an object that is whole; if so it is made young enough to be left alone by a
        collector. One that was cut short by the storage is deleted.

        Args:
            digest: Its name.
            size: Bytes that the file has if it is whole, where one size is to be expected.
        """
        store = self.store(self.default)
        info = self._renew(store, digest, replace=True)
        if info is None or info.size == size:
            return info is not None
        try:
            StoredObject(store, digest, object_key(digest))
        except NotFoundError:
            return False
        except CorruptDataError:
            store.delete([object_key(digest)], not_modified_since=info.modified)
            return False
        return True

    def renew(self, uuid: str, digest: bytes) -> bool:
        """Whether a store has an object; if so it is made young enough to be left alone by a collector."""
        return self._renew(self.store(uuid), digest) is not None

    def _renew(self, store: DataStore, digest: bytes, *, replace: bool = False) -> ObjectInfo | None:
        """Make an object young, and before it the owners that it holds parts of: so it is never young without them.

        Where an owner is gone the object is useless; with `replace` it is deleted, so that it can be written anew,
        unless somebody else has refreshed it.
        """
        key = object_key(digest)
        try:
            info = store.head(key)
            if info.now - info.modified <= GRACE_SECONDS / 2:
                return info
            prefix = edges_prefix(digest)
            for edge in list(store.scan(prefix)):
                store.refresh(edge.key)
                if self._renew(store, bytes.fromhex(edge.key[len(prefix) :])) is None:
                    if replace:
                        store.delete([key], not_modified_since=info.modified)
                    return None
            return store.refresh(key)
        except NotFoundError:
            return None

    # -- loading --------------------------------------------------------------------------------------------------

    def load(self, ref: ArtifactRef, *, name: str = "") -> Any:
        """The value. Changing it never touches the store.

        Args:
            ref: What to load.
            name: What errors call it.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its bytes do not match its digest.
            PluginNotFoundError: Its serializer is not installed.
            UnpicklableError: It holds code of another Python version.
        """
        if ref.serializer == SEQUENCE_ID:
            return list(self.open_sequence(ref))
        serializer = self.reader_of(ref, name)
        header, frames = self.fetch(ref, name=name)
        return self.decode(ref, serializer, lambda: serializer.load(header, frames), name)

    def open(self, ref: ArtifactRef, *, name: str = "") -> LazyValue:
        """A value of which only the header is read; arguments and errors as of `load`."""
        from dovetail.artifacts.lazy_values import LazyValue, StoredFrame
        from dovetail.artifacts.serializers.loaded_frames import LoadedFrame

        if not isinstance(ref.place, ObjectPlace):
            header, loaded = self.fetch(ref, name=name)
            return LazyValue(self, ref, header, [LoadedFrame(frame) for frame in loaded], name)
        try:
            stored, verify = self._open_object(ref, ref.place.store, name)
        except NotFoundError as error:
            raise self._gone(ref, name) from error
        frames = [StoredFrame(stored, number, verify, ref, name) for number in range(len(stored.header.frames))]
        return LazyValue(self, ref, stored.header.header, frames, name)

    def decode(self, ref: ArtifactRef, serializer: Serializer, read: Callable[[], Any], name: str) -> Any:
        """What `read` makes of verified frames of a value; errors name the artifact."""
        try:
            return read()
        except UnpicklableError as error:
            raise UnpicklableError(f"{describe(ref, name)}: {error.message}", hint=error.hint) from error.__cause__
        except CorruptDataError as error:
            if ref.digest.hex()[:12] not in error.message:
                error.message = f"{describe(ref, name)} is corrupt: {error.message}"
                error.args = (error.message,)
            raise
        except (DovetailError, MemoryError):
            raise
        except Exception as error:
            if not serializer.safe:
                raise
            raise StoreError(
                f"{describe(ref, name)} can't be loaded by the serializer {ref.serializer}: "
                f"{type(error).__name__}: {error}",
                hint="The libraries here may be others than those that it was written with; or it was never written by "
                "Dovetail.",
            ) from error

    def reader_of(self, ref: ArtifactRef, name: str) -> Serializer:
        """The serializer that reads an artifact.

        Raises:
            PluginNotFoundError: It is not installed.
            StoreError: It can run code, and only safe ones are allowed.
        """
        serializer = self.serializers.by_id(ref.serializer)
        if self._safe and not serializer.safe:
            raise StoreError(
                f"{describe(ref, name)} is not loaded: {ref.serializer} can run code, only safe formats are allowed",
                hint='If you trust whoever wrote it, load it with the setting artifacts.load = "any".',
            )
        return serializer

    def fetch(self, ref: ArtifactRef, *, name: str = "") -> tuple[bytes, list[memoryview]]:
        """Header and frames, verified. The frames are the caller's own and writable.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its bytes do not match its digest.
        """
        if isinstance(ref.place, ObjectPlace):
            return self._fetch_object(ref, name)
        packed = self.fetch_packed(ref, name=name)
        header, frames = unpack_value(ref.serializer, packed)
        return header, [memoryview(bytearray(frame)) for frame in frames]

    def fetch_packed(self, ref: ArtifactRef, *, name: str = "") -> bytes:
        """The packed value of a small artifact, verified.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its bytes do not match its digest.
        """
        place = ref.place
        if isinstance(place, InlinePlace):
            packed = place.data
        elif isinstance(place, RecordPlace):
            return self._fetch_from_record(ref, place, name)
        elif isinstance(place, PackPlace):
            key = object_key(place.pack)
            packed = self._read(place.store, key, place.offset, place.length, ref, name)
        else:
            header, frames = self._fetch_object(ref, name)
            return pack_value(ref.serializer, header, frames)
        if not matches(ref, packed):
            raise corrupt(ref, name, "its bytes do not match its digest")
        return packed

    def open_sequence(self, ref: ArtifactRef, *, name: str = "") -> SequenceReader:
        """The items of a foreach, read one at a time. Kept for the next call.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its index does not match its digest.
        """
        with self._lock:
            reader = self._sequences.get(ref.digest)
            if reader is not None:
                self._sequences.move_to_end(ref.digest)
                return reader
        from dovetail.artifacts.sequences import SequenceReader

        reader = SequenceReader(self, ref, name=name)
        with self._lock:
            self._sequences[ref.digest] = reader
            if len(self._sequences) > SEQUENCES:
                self._sequences.popitem(last=False)
        return reader

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _read(self, uuid: str, key: str, offset: int, length: int, ref: ArtifactRef, name: str) -> bytes:
        store = self.store(uuid)
        try:
            return store.get(key, byte_range=(offset, offset + length)).read()
        except NotFoundError as error:
            raise gone(ref, name, f"{key} is not in {store.url}") from error

    def _fetch_from_record(self, ref: ArtifactRef, place: RecordPlace, name: str) -> bytes:
        if not place.run:
            raise StoreError(f"{describe(ref, name)} has no place yet: its record is not written")
        store = self.store(place.store)
        packed = b""
        if place.at is not None:
            key, offset, length = place.at
            with suppress(NotFoundError):
                packed = store.get(key, byte_range=(offset, offset + length)).read()
            if matches(ref, packed):
                return packed
        problems: list[str] = []
        record = find_record(store, place.run, place.path, place.call_digest, uuid=place.store, problems=problems)
        if record is None and place.at is not None and packed:
            key, offset, length = place.at
            raise corrupt(ref, name, f"bytes {offset} to {offset + length} of {key} in {store.url} do not match it")
        if record is None and problems:
            raise corrupt(ref, name, f"its record is not found, and {'; '.join(problems)} in {store.url}")
        if record is None:
            raise gone(ref, name, f"the task has no commit record in {store.url}")
        found = record.sequence if ref.serializer == SEQUENCE_ID else record.outputs.get(place.name)
        if found is None or found.digest != ref.digest:
            raise gone(ref, name, f"the task's commit record in {store.url} has another value")
        if isinstance(found.place, RecordPlace):
            assert found.place.at is not None
            key, offset, length = found.place.at
            packed = self._read(place.store, key, offset, length, ref, name)
            if not matches(ref, packed):
                raise corrupt(ref, name, f"bytes {offset} to {offset + length} of {key} in {store.url} do not match it")
            return packed
        return self.fetch_packed(found, name=name)

    def _fetch_object(self, ref: ArtifactRef, name: str) -> tuple[bytes, list[memoryview]]:
        assert isinstance(ref.place, ObjectPlace)
        try:
            stored, verify = self._open_object(ref, ref.place.store, name)
            header = stored.header
            # Who can write to a file that is mapped could change an opcode after it was hashed.
            is_safe = self.serializers.by_id(ref.serializer).safe
            own = not is_safe and hasattr(self.store(ref.place.store), "keyring")
            frames = [
                stored.frame(number, verify=verify, own=own and number == 0) for number in range(len(header.frames))
            ]
        except NotFoundError as error:
            raise self._gone(ref, name) from error
        if ref.size >= SAVE_WHOLE_UP_TO:  # what is changed and saved again shares with it
            self._known.add(ref.place.store, "", KnownObject(ref.digest, header))
        return header.header, frames

    def _open_object(self, ref: ArtifactRef, uuid: str, name: str) -> tuple[StoredObject, str]:
        """The object of a value, and how much of its mapped frames is to be verified."""
        store = self.store(uuid)
        what = f"{describe(ref, name)}: {object_key(ref.digest)} in {store.url}"
        stored = StoredObject(store, ref.digest, what)
        if stored.header.serializer != ref.serializer:
            # A reference must not be able to hand plain bytes to the unpickler.
            raise CorruptDataError(
                f"{what} was written by the serializer {stored.header.serializer}, not {ref.serializer}"
            )
        return stored, self._verify if self.serializers.by_id(ref.serializer).safe else "always"

    def _gone(self, ref: ArtifactRef, name: str) -> ArtifactGoneError:
        assert isinstance(ref.place, ObjectPlace)
        return gone(ref, name, f"{object_key(ref.digest)} is not in {self.store(ref.place.store).url}")


def _ref(digest: bytes, size: int, value: SerializedValue, place: InlinePlace | ObjectPlace) -> ArtifactRef:
    return ArtifactRef(digest=digest, size=size, serializer=value.serializer, place=place, type=value.type)
