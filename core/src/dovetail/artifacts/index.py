"""The metadata index's view of outputs: JSON text that a listing shows without touching the data store.

`{name: [value]}` for plain data inline, else `{name: [serializer, size, digest hex, kind, data, type]}` with kind `i`
(inline; data is the packed value in base64, or the value itself of `json`), `r` (in the record; data is
`[offset, length]` in its values section), `o` (an object; data is the store's uuid) or `p` (in a pack; data is
`[store uuid, pack digest hex, offset, length]`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from dovetail.artifacts.identity import simple_digest
from dovetail.artifacts.msgpacked import unpack_checked
from dovetail.artifacts.packing import FOREACH_OUTPUT, JSON_ID
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, Place, RecordPlace
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["decode_index", "encode_index", "index_ref", "index_text"]


def index_entry(name: str, row: list[Any]) -> str:
    """`"name":[...]` for a row of an output table."""
    digest, size, serializer, place, type_name = row
    key = encode_basestring_ascii(name)
    if isinstance(place, bytes):
        if serializer == JSON_ID:
            return f"{key}:[{place.decode()}]"
        kind, data = "i", f'"{b64encode(place).decode()}"'
    elif isinstance(place, str):
        kind, data = "o", encode_basestring_ascii(place)
    elif len(place) == 4:
        kind, data = "p", json.dumps([place[0], place[1].hex(), place[2], place[3]])
    else:
        kind, data = "r", f"[{place[0]},{place[1]}]"
    return (
        f'{key}:[{encode_basestring_ascii(serializer)},{size},"{digest.hex()}","{kind}",{data},'
        f"{encode_basestring_ascii(type_name)}]"
    )


def index_text(rows: Mapping[str, list[Any]]) -> str:
    """The index text of the rows of an output table."""
    entries = [
        f"{encode_basestring_ascii(name)}:[{row[3].decode()}]"  # `index_entry` of most, at a third of its time
        if row[2] == JSON_ID and type(row[3]) is bytes
        else index_entry(name, row)
        for name, row in rows.items()
        if name != FOREACH_OUTPUT
    ]
    return "{" + ",".join(entries) + "}"


def encode_index(table: bytes) -> str:
    """The index text of an output table."""
    return index_text(unpack_checked(table, "an output table"))


def index_ref(name: str, entry: list[Any], *, store: str, run: str, path: str) -> ArtifactRef:
    """The reference that an entry of the index stands for.

    Args:
        name: Name of the output.
        entry: Its entry.
        store: UUID of the run's data store.
        run: Run id.
        path: Path of the task.

    Returns:
        A reference. That of a value in a record has no call digest and no byte range: loading it looks for the
        task's record, so for many of them read the record by the index's `record` column first.
    """
    try:
        if len(entry) == 1:
            value = entry[0]
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
            return ArtifactRef(
                digest=simple_digest(JSON_ID, text),
                size=len(text),
                serializer=JSON_ID,
                place=InlinePlace(data=text),
                type=type(value).__name__,
            )
        serializer, size, digest, kind, data, type_name = entry
        place: Place
        if kind == "i":
            place = InlinePlace(data=b64decode(data))
        elif kind == "o":
            place = ObjectPlace(store=data)
        elif kind == "p":
            place = PackPlace(store=data[0], pack=bytes.fromhex(data[1]), offset=data[2], length=data[3])
        elif kind == "r":
            place = RecordPlace(store=store, run=run, path=path, call_digest=b"", name=name)
        else:
            raise ValueError(f"unknown kind {kind!r}")
        return ArtifactRef(digest=bytes.fromhex(digest), size=size, serializer=serializer, place=place, type=type_name)
    except (TypeError, ValueError, IndexError) as error:
        raise CorruptDataError(f"the index of {run}/{path} has a malformed entry for {name!r}: {error}") from error


def decode_index(text: str, *, store: str, run: str, path: str) -> dict[str, ArtifactRef]:
    """Every reference in an index text; arguments as of `index_ref`."""
    entries: Mapping[str, Any] = json.loads(text)
    return {name: index_ref(name, entry, store=store, run=run, path=path) for name, entry in entries.items()}
