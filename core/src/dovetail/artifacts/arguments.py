"""Arguments of function calls: name → reference, packed, with the identity that keys a call.

The table is a msgpack map `name -> [digest, size, serializer, place, type]` as in an output table, with two more
places: nil where only the digest is known, since the value was used in the process that had it, and
`[store, run, path, call digest, name, key or nil, offset, length]` of a value that lies in another task's record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.identity import digest_of, outputs_digest, simple_digest
from dovetail.artifacts.msgpacked import pack, unpack_checked
from dovetail.artifacts.packing import JSON_ID, row_from_ref, row_to_ref
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.interfaces.artifacts import INLINE_LIMIT, ArtifactRef, RecordPlace
from dovetail.interfaces.tasks import Arguments

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore

__all__ = ["ArgumentWriter", "argument_digests", "argument_rows", "key_digest", "read_arguments"]


def key_digest(key: str) -> bytes:
    """What stands for the inputs of a call with an explicit key."""
    return simple_digest(JSON_ID, b'"key":' + key.encode("utf-8", "surrogatepass"))


class ArgumentWriter:
    """Collects the arguments of one call.

    Args:
        artifacts: Takes values that are too large for the table, and knows the serializers.
        keep: Whether the values must be readable by another process; else of large ones only the digest is kept.
    """

    __slots__ = ("_artifacts", "_identities", "_keep", "_rows")

    def __init__(self, artifacts: ArtifactStore, *, keep: bool) -> None:
        self._artifacts = artifacts
        self._keep = keep
        self._rows: dict[str, list[Any]] = {}
        self._identities: dict[str, bytes] = {}
        """Where they are not the digests of what is stored: two equal values may be stored as different bytes."""

    def add(self, name: str, value: object) -> None:
        """Add a value.

        Raises:
            UnpicklableError: It can't be stored, or its identity not be known.
            StoreError: The store does not take it.
        """
        frame = json_frame(value)
        if frame is not None and len(frame) <= INLINE_LIMIT:
            self._rows[name] = [simple_digest(JSON_ID, frame), len(frame), JSON_ID, frame, type(value).__name__]
        elif self._keep:
            self._rows[name] = row_from_ref(self._artifacts.save(value))
            self._identities[name] = digest_of(self._artifacts.serializers.identify(value))
        else:
            serialized = self._artifacts.serializers.identify(value)
            size = sum(memoryview(one).nbytes for one in serialized.frames)
            self._rows[name] = [digest_of(serialized), size, serialized.serializer, None, serialized.type]

    def add_ref(self, name: str, ref: ArtifactRef) -> None:
        """Add what is an artifact already, without loading it."""
        place = ref.place
        if not isinstance(place, RecordPlace):
            self._rows[name] = row_from_ref(ref)
            return
        where = [place.store, place.run, place.path, place.call_digest, place.name, *(place.at or (None, 0, 0))]
        self._rows[name] = [ref.digest, ref.size, ref.serializer, where, ref.type]

    def finish(self, key: str | None = None) -> Arguments:
        """The arguments.

        Args:
            key: Stands for the inputs in the identity.
        """
        rows = self._rows
        if key is not None:
            return Arguments(pack(rows), key_digest(key))
        return Arguments(
            pack(rows), outputs_digest({**{name: row[0] for name, row in rows.items()}, **self._identities})
        )


def argument_rows(table: bytes) -> dict[str, list[Any]]:
    """Name → `[digest, size, serializer, place, type]`.

    Raises:
        CorruptDataError: It is not a table.
    """
    rows: dict[str, list[Any]] = unpack_checked(table, "a table of arguments")
    return rows


def argument_digests(table: bytes) -> dict[str, bytes]:
    """Name → identity of the value."""
    return {name: row[0] for name, row in argument_rows(table).items()}


def read_arguments(table: bytes) -> Mapping[str, ArtifactRef | None]:
    """Name → reference, None where the value was not stored."""
    return {name: _ref(name, row) for name, row in argument_rows(table).items()}


def _ref(name: str, row: list[Any]) -> ArtifactRef | None:
    digest, size, serializer, place, type_name = row
    if place is None:
        return None
    if isinstance(place, list) and len(place) == 8:
        store, run, path, call_digest, output, key, offset, length = place
        at = None if key is None else (key, offset, length)
        found = RecordPlace(store=store, run=run, path=path, call_digest=call_digest, name=output, at=at)
        return ArtifactRef(digest=digest, size=size, serializer=serializer, place=found, type=type_name)
    return row_to_ref(name, row, None)
