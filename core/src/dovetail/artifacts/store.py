"""Values in data stores: saves and loads what references stand for."""

from __future__ import annotations

from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from blake3 import blake3

from dovetail.artifacts.checks import corrupt, describe, gone, matches
from dovetail.artifacts.identity import Leaves, frame_leaves, value_digest
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.objectfile import (
    PRELUDE_SIZE,
    Header,
    check_header,
    decode_header,
    decode_prelude,
    layout_object,
)
from dovetail.artifacts.objects import open_object
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
    CorruptDataError,
    NotFoundError,
    StoreError,
    UnknownNameError,
    UnpicklableError,
)

if TYPE_CHECKING:
    from dovetail.artifacts.sequences import SequenceReader
    from dovetail.interfaces.datastore import Body, DataStore

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
    """

    def __init__(
        self,
        stores: Mapping[str, DataStore],
        serializers: SerializerRegistry | None = None,
        default: str = "",
        *,
        safe: bool = False,
    ) -> None:
        self.serializers = SerializerRegistry() if serializers is None else serializers
        """The serializers."""
        self.default = default
        """UUID of the store that takes new values."""
        self._stores = stores
        self._safe = safe
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
        serializer, header = serialized.serializer, serialized.header
        frames = [memoryview(frame).cast("B") for frame in serialized.frames]
        leaves = [frame_leaves(frame) for frame in frames]
        digest = value_digest(serializer, header, leaves)
        size = sum(length for length, _ in leaves)
        place: InlinePlace | ObjectPlace | None = None
        if size <= INLINE_LIMIT:
            packed = pack_value(serializer, header, frames)
            if len(packed) <= INLINE_LIMIT:
                place = InlinePlace(data=packed)
        if place is None:
            self.save_frames(serializer, header, frames, leaves, digest)
            place = ObjectPlace(store=self.default)
        return ArtifactRef(digest=digest, size=size, serializer=serializer, place=place, type=serialized.type)

    def save_object(self, serialized: SerializedValue, digest: bytes | None = None) -> str:
        """Store a value as an object of the default store; its key. One that is there already is reused.

        Args:
            serialized: The value.
            digest: Its identity, where known.

        Raises:
            StoreFullError: No room.
            StoreReadOnlyError: The store can't be written.
        """
        frames = [memoryview(frame).cast("B") for frame in serialized.frames]
        leaves = [frame_leaves(frame) for frame in frames]
        if digest is None:
            digest = value_digest(serialized.serializer, serialized.header, leaves)
        return self.save_frames(serialized.serializer, serialized.header, frames, leaves, digest)

    def save_frames(
        self,
        serializer: str,
        header: bytes,
        frames: Sequence[memoryview | bytes],
        leaves: Sequence[Leaves],
        digest: bytes,
    ) -> str:
        """`save_object` for frames whose leaves are hashed already."""
        key = object_key(digest)
        buffers, _ = layout_object(serializer, header, frames, leaves)
        self._put(key, buffers)
        return key

    def save_pack(self, values: bytes) -> PackPlace:
        """Store packed values together as one object of the default store; where the first one begins."""
        leaves = [frame_leaves(values)]
        digest = value_digest(PACK_ID, b"", leaves)
        buffers, offsets = layout_object(PACK_ID, b"", [values], leaves)
        self._put(object_key(digest), buffers)
        return PackPlace(store=self.default, pack=digest, offset=offsets[0], length=len(values))

    def _put(self, key: str, buffers: list[bytes | memoryview]) -> None:
        size = sum(map(len, buffers))
        if self.reuse(key, size):
            return
        store, body = self.store(self.default), cast("Body", buffers)
        try:
            store.put(key, body)
        except AlreadyExistsError:
            # Written meanwhile by someone else, or there with another size: cut short by the storage.
            if not self.reuse(key, size):
                store.put(key, body, mode="overwrite")

    def reuse(self, key: str, size: int) -> bool:
        """Whether the default store has an object of this size; if so it is made young enough to be left alone by a
        collector."""
        return self._renew(self.store(self.default), key, size)

    def renew(self, uuid: str, digest: bytes) -> bool:
        """Whether a store has an object; if so it is made young enough to be left alone by a collector."""
        return self._renew(self.store(uuid), object_key(digest), None)

    @staticmethod
    def _renew(store: DataStore, key: str, size: int | None) -> bool:
        try:
            info = store.head(key)
            if size is not None and info.size != size:
                return False
            if info.now - info.modified > GRACE_SECONDS / 2:
                store.refresh(key)
        except NotFoundError:
            return False
        return True

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
        return self.decode(ref, serializer, header, frames, name)

    def decode(
        self, ref: ArtifactRef, serializer: Serializer, header: bytes, frames: Sequence[memoryview], name: str
    ) -> Any:
        """The value of verified frames; errors name the artifact."""
        try:
            return serializer.load(header, frames)
        except UnpicklableError as error:
            raise UnpicklableError(f"{describe(ref, name)}: {error.message}", hint=error.hint) from error.__cause__

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
                hint="Allow unsafe serializers if you trust whoever wrote it.",
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
        record = find_record(store, place.run, place.path, place.call_digest, uuid=place.store)
        if record is None and place.at is not None and packed:
            key, offset, length = place.at
            raise corrupt(ref, name, f"bytes {offset} to {offset + length} of {key} in {store.url} do not match it")
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
        store = self.store(ref.place.store)
        key = object_key(ref.digest)
        what = f"{describe(ref, name)}: {key} in {store.url}"
        try:
            view = open_object(store, key)
        except NotFoundError as error:
            raise gone(ref, name, f"{key} is not in {store.url}") from error
        header = _object_header(view, ref, what)
        frames: list[memoryview] = []
        for number, at in enumerate(header.frames):
            frame = view[at.offset : at.offset + at.length]
            for begin, end, digest in at.pieces():
                if blake3(frame[begin:end]).digest() != digest:
                    raise CorruptDataError(
                        f"{what} is corrupt: bytes {begin} to {end} of frame {number} do not match their digest"
                    )
            frames.append(frame)
        return header.header, frames


def _object_header(view: memoryview, ref: ArtifactRef, what: str) -> Header:
    offset, length, crc = decode_prelude(view[:PRELUDE_SIZE], what)
    header = decode_header(view[offset : offset + length], crc, what)
    check_header(header, ref.digest, view.nbytes, what)
    if header.serializer != ref.serializer:
        # A reference must not be able to hand plain bytes to the unpickler.
        raise CorruptDataError(f"{what} was written by the serializer {header.serializer}, not {ref.serializer}")
    return header
