"""Packed values, output tables and plain references: how a value and a reference look in msgpack and JSON.

A packed value is `msgpack([header, [frame, ...]])`; of the serializer `json` it is the JSON text itself.
An output table is a msgpack map `name -> [digest, size, serializer, place, type]` with a place that is the packed
value (bin), `[offset, length]` in the values section of the record that holds the table, the uuid (str) of the store
that has the value as an object, or `[uuid, pack digest, offset, length]` of a value that lies in a pack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.artifacts.msgpacked import pack, unpack_checked
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.errors import CorruptDataError

__all__ = [
    "FOREACH_OUTPUT",
    "JSON_ID",
    "RESULT",
    "Origin",
    "pack_value",
    "ref_from_plain",
    "ref_to_plain",
    "row_from_ref",
    "row_to_ref",
    "table_to_refs",
    "unpack_value",
]

JSON_ID = "json"
"""Id of the serializer whose packed values are bare text."""
FOREACH_OUTPUT = "_foreach"
"""Reserved output name under which a record keeps the sequence of its foreach. Not an artifact of the task."""
RESULT = "result"
"""Name of the output that holds what a function returned."""

Origin = tuple[str, str, str, bytes, str | None, int]
"""(store uuid, run, path, call digest, key of the object that holds the values section or None, its offset)."""


def pack_value(serializer: str, header: bytes, frames: Sequence[memoryview | bytes]) -> bytes:
    """A value in one piece."""
    if serializer == JSON_ID:
        return bytes(frames[0])
    return pack([header, [bytes(frame) for frame in frames]])


def unpack_value(serializer: str, packed: bytes | memoryview) -> tuple[bytes, list[bytes]]:
    """Header and frames of a packed value.

    Raises:
        CorruptDataError: It is not a packed value.
    """
    if serializer == JSON_ID:
        return b"", [bytes(packed)]
    found = unpack_checked(packed, "a packed value")
    try:
        header, frames = found
    except (TypeError, ValueError):
        header = frames = None
    if not isinstance(header, bytes) or not isinstance(frames, list) or not all(type(f) is bytes for f in frames):
        raise CorruptDataError("a packed value has an unknown shape")
    return header, frames


def row_to_ref(name: str, row: Sequence[Any], origin: Origin | None) -> ArtifactRef:
    """The reference that a row of an output table stands for.

    Args:
        name: Name of the output.
        row: `[digest, size, serializer, place, type]`.
        origin: Where the record is. Without it, a value in the record gets a relative place: its `run` is empty.
    """
    digest, size, serializer, place, type_name = row
    at: RecordPlace | InlinePlace | ObjectPlace | PackPlace
    if isinstance(place, bytes):
        at = InlinePlace(data=place)
    elif isinstance(place, str):
        at = ObjectPlace(store=place)
    elif len(place) == 4:
        at = PackPlace(store=place[0], pack=place[1], offset=place[2], length=place[3])
    elif origin is None:
        at = RecordPlace(store="", run="", path="", call_digest=b"", name=name)
    else:
        store, run, path, call_digest, key, base = origin
        where = None if key is None else (key, base + place[0], place[1])
        at = RecordPlace(store=store, run=run, path=path, call_digest=call_digest, name=name, at=where)
    return ArtifactRef(digest=digest, size=size, serializer=serializer, place=at, type=type_name)


def row_from_ref(ref: ArtifactRef) -> list[Any]:
    """A row of an output table. The value must not lie in a record: a table can't point into another one.

    Raises:
        ValueError: `ref` lies in a record.
    """
    place = ref.place
    at: object
    if isinstance(place, InlinePlace):
        at = place.data
    elif isinstance(place, ObjectPlace):
        at = place.store
    elif isinstance(place, PackPlace):
        at = [place.store, place.pack, place.offset, place.length]
    else:
        raise ValueError(f"the value of {place.name!r} lies in the record of {place.path}; its bytes must be copied")
    return [ref.digest, ref.size, ref.serializer, at, ref.type]


def table_to_refs(table: bytes, origin: Origin | None) -> dict[str, ArtifactRef]:
    """Every output of a table, the reserved one of a foreach included."""
    rows: dict[str, Any] = unpack_checked(table, "an output table")
    return {name: row_to_ref(name, row, origin) for name, row in rows.items()}


def ref_to_plain(ref: ArtifactRef) -> dict[str, Any]:
    """A reference as JSON-able data."""
    from base64 import b64encode

    plain: dict[str, Any] = {
        "digest": ref.digest.hex(),
        "size": ref.size,
        "serializer": ref.serializer,
        "type": ref.type,
    }
    place = ref.place
    if isinstance(place, InlinePlace):
        plain["inline"] = b64encode(place.data).decode()
    elif isinstance(place, ObjectPlace):
        plain["object"] = place.store
    elif isinstance(place, PackPlace):
        plain["pack"] = [place.store, place.pack.hex(), place.offset, place.length]
    else:
        plain["record"] = [place.store, place.run, place.path, place.call_digest.hex(), place.name]
    return plain


def ref_from_plain(plain: Mapping[str, Any]) -> ArtifactRef:
    """The inverse of `ref_to_plain`.

    Raises:
        CorruptDataError: It is no reference.
    """
    from base64 import b64decode

    place: InlinePlace | ObjectPlace | PackPlace | RecordPlace
    try:
        if "inline" in plain:
            place = InlinePlace(data=b64decode(plain["inline"]))
        elif "object" in plain:
            place = ObjectPlace(store=plain["object"])
        elif "pack" in plain:
            store, pack_digest, offset, length = plain["pack"]
            place = PackPlace(store=store, pack=bytes.fromhex(pack_digest), offset=offset, length=length)
        else:
            store, run, path, call, name = plain["record"]
            place = RecordPlace(store=store, run=run, path=path, call_digest=bytes.fromhex(call), name=name)
        return ArtifactRef(
            digest=bytes.fromhex(plain["digest"]),
            size=plain["size"],
            serializer=plain["serializer"],
            place=place,
            type=plain.get("type", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"a reference to an artifact can't be read: {error!r}") from error
