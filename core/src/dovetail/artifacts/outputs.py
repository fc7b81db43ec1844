"""What a task leaves: serialises its outputs and decides where each value goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.identity import digest_of, outputs_digest, simple_digest
from dovetail.artifacts.index import index_text
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.msgpacked import pack
from dovetail.artifacts.packing import FOREACH_OUTPUT, JSON_ID, pack_value, row_from_ref, row_to_ref
from dovetail.artifacts.scopes import ScopeReader, pack_layer, root_scope, scope_digest
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.interfaces.artifacts import (
    INLINE_LIMIT,
    RECORD_LIMIT,
    ArtifactRef,
    ObjectPlace,
)
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError, UnpicklableError

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore

__all__ = ["OutputWriter", "Outputs", "ScopeReader", "pack_layer", "root_scope", "scope_digest"]


SECTION_LIMIT = 1 << 20
"""Bytes of a record's values section from which on only inline values go into the record: it is one message to the
driver, which holds many at a time."""
PACKED_LIMIT = 8 * 1024
"""Values of at most so many bytes that the record has no room for are put together into objects."""
PACK_LIMIT = 8 << 20
"""Bytes of such an object from which on another one is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What `OutputWriter.finish` gives."""

    table: bytes
    """The output table."""
    digest: bytes
    """Identity of all outputs, 32 bytes."""
    values: bytes
    """Packed values that live in the record; offsets in `table` count from its first byte."""
    index: str
    """JSON text of the outputs as the metadata index shows them."""
    objects: tuple[str, ...]
    """Keys of objects that were written or reused in the default store."""


class OutputWriter:
    """Collects the outputs of one attempt. Not thread-safe.

    Values of at most `INLINE_LIMIT` bytes go into the output table, of at most `RECORD_LIMIT` into the record's values
    section while that is at most `SECTION_LIMIT`; beyond, those of at most `PACKED_LIMIT` are put together into an
    object, and the others become objects at once.

    Args:
        artifacts: Takes the objects.
        inline: False for a step with a data store of its own: nothing goes into table or record; its small values
            are put together into one object of that store.
    """

    __slots__ = ("_artifacts", "_inline", "_objects", "_pack", "_pack_size", "_packed", "_rows", "_size", "_values")

    def __init__(self, artifacts: ArtifactStore, *, inline: bool = True) -> None:
        self._artifacts = artifacts
        self._inline = inline
        self._rows: dict[str, list[Any]] = {}
        self._values: list[bytes] = []
        self._size = 0
        self._pack: list[bytes] = []
        self._pack_size = 0
        self._packed: list[tuple[list[Any], int, int]] = []
        self._objects: dict[str, None] = {}

    def add(self, name: str, value: object) -> bytes:
        """Store an output; its digest. A second one of the same name takes the place of the first.

        Raises:
            UnpicklableError: The value can't be stored; names the output and what inside is to blame.
            StoreFullError: No room.
            StoreReadOnlyError: The store can't be written.
        """
        frame = json_frame(value)
        if frame is None:
            return self._add_serialized(name, value)
        size = len(frame)
        if size <= INLINE_LIMIT and self._inline:  # most of what there are thousands of
            digest = simple_digest(JSON_ID, frame)
            self._rows[name] = [digest, size, JSON_ID, frame, type(value).__name__]
            return digest
        if size > RECORD_LIMIT or self._has_no_room(size):
            return self._add_serialized(name, value)
        digest = simple_digest(JSON_ID, frame)
        self._rows[name] = self._place_small(digest, size, JSON_ID, frame, type(value).__name__)
        return digest

    def add_ref(self, name: str, ref: ArtifactRef) -> bytes:
        """Take over an artifact that is stored already, without loading it; its digest.

        A value that lies in another record is copied, since it lives and dies with that one.

        Raises:
            ArtifactGoneError: Its record or object is gone.
            CorruptDataError: Its bytes do not match its digest.
        """
        place = ref.place
        if not isinstance(place, ObjectPlace):
            packed = self._artifacts.fetch_packed(ref)
            self._rows[name] = self._place_small(ref.digest, ref.size, ref.serializer, packed, ref.type)
        else:
            self._rows[name] = row_from_ref(ref)
            if place.store == self._artifacts.default:
                self._objects[object_key(ref.digest)] = None
        return ref.digest

    def write_sequence(self, iterable: Iterable[Any]) -> tuple[ArtifactRef, int]:
        """Store the items of a foreach as they are drawn, in bounded memory; (the sequence, its length).

        It becomes the reserved output `_foreach`. Where it is small, its place is relative (`run` is empty) until the
        record is written; the record's `sequence` then gives the whole reference.
        """
        from dovetail.artifacts.sequence_writer import write_sequence

        written = write_sequence(self._artifacts, iterable)
        self._objects.update(dict.fromkeys(written.objects))
        if written.packed is None:
            row: list[Any] = [written.digest, written.size, SEQUENCE_ID, self._artifacts.default, "sequence"]
        else:
            # One with items that are objects must have a place that names their store.
            row = self._place_small(
                written.digest, written.size, SEQUENCE_ID, written.packed, "sequence", may_be_inline=not written.objects
            )
        self._rows[FOREACH_OUTPUT] = row
        if row[3] is None:  # in the pack: at once, since the reference must have a place
            self._write_pack()
        return row_to_ref(FOREACH_OUTPUT, row, None), written.length

    def finish(self) -> Outputs:
        """The outputs, ready for `pack_body`."""
        self._write_pack()
        rows = self._rows
        return Outputs(
            table=pack(rows),
            digest=outputs_digest({name: row[0] for name, row in rows.items()}),
            values=b"".join(self._values),
            index=index_text(rows),
            objects=tuple(self._objects),
        )

    def _add_serialized(self, name: str, value: object) -> bytes:
        try:
            serialized = self._artifacts.serializers.serialize(value)
        except UnpicklableError as error:
            raise UnpicklableError(f"artifact {name!r}: {error.message}", hint=error.hint) from error.__cause__
        frames = [memoryview(frame).cast("B") for frame in serialized.frames]
        size = sum(frame.nbytes for frame in frames)
        if size <= RECORD_LIMIT:
            packed = pack_value(serialized.serializer, serialized.header, frames)
            if len(packed) <= RECORD_LIMIT and not self._has_no_room(len(packed)):
                digest = digest_of(serialized)
                self._rows[name] = self._place_small(digest, size, serialized.serializer, packed, serialized.type)
                return digest
        try:
            saved = self._artifacts.save_value(serialized, name=name)
        except DovetailError as error:  # no room, not writable: the store does not know what it was given
            error.message = f"artifact {name!r}: {error.message}"
            raise
        self._objects.update(dict.fromkeys(saved.keys))
        self._rows[name] = [saved.digest, size, serialized.serializer, self._artifacts.default, serialized.type]
        return saved.digest

    # -- placing --------------------------------------------------------------------------------------------------

    def _has_no_room(self, length: int) -> bool:
        """Whether a value of this packed length has to become an object of its own."""
        return self._inline and length > PACKED_LIMIT and self._size + length > SECTION_LIMIT

    def _place_small(
        self, digest: bytes, size: int, serializer: str, packed: bytes, type_name: str, *, may_be_inline: bool = True
    ) -> list[Any]:
        length = len(packed)
        if self._inline and length <= INLINE_LIMIT and may_be_inline:
            return [digest, size, serializer, packed, type_name]
        if self._inline and self._size + length <= SECTION_LIMIT:
            row: list[Any] = [digest, size, serializer, [self._size, length], type_name]
            self._values.append(packed)
            self._size += length
            return row
        row = [digest, size, serializer, None, type_name]
        self._packed.append((row, self._pack_size, length))
        self._pack.append(packed)
        self._pack_size += length
        if self._pack_size >= PACK_LIMIT:
            self._write_pack()
        return row

    def _write_pack(self) -> None:
        """Put small values together into one object: all of a step with a data store of its own, else what does not
        go into the record any more."""
        if not self._packed:
            return
        place = self._artifacts.save_pack(b"".join(self._pack))
        self._objects[object_key(place.pack)] = None
        for row, offset, length in self._packed:
            row[3] = [place.store, place.pack, place.offset + offset, length]
        self._packed, self._pack, self._pack_size = [], [], 0
