"""JSON documents of a data store, with a check in them that tells every changed bit.

The check is the last member of an object, `,"check":"<32 hex>"}`, or the last element of a list, `,"check:<32 hex>"]`:
BLAKE3, cut to 16 bytes, of all bytes in front of its comma. Whoever does not know it reads JSON with a member more.
Documents of earlier versions have none; they are read as they are.
"""

from __future__ import annotations

import json
from typing import Any

from dovetail.interfaces.errors import CorruptDataError

__all__ = ["encode_json", "has_check", "read_json"]

_MEMBER, _ELEMENT = b',"check":"', b',"check:'
_ENDS = {b"}": (_MEMBER, b'"}'), b"]": (_ELEMENT, b'"]')}
_HEX = 32
_REACH = 110
"""Bytes at the end that a signature takes at most."""
_DAMAGED = 2
"""Bytes of what surrounds a check that may differ: fewer than any other document's end has in common with it."""


def encode_json(plain: Any) -> bytes:
    """A document, without a member `check` of its own, with its check; an empty one has none."""
    text = json.dumps(plain, separators=(",", ":")).encode()
    if len(text) == 2:
        return text
    begin, end = _ENDS[text[-1:]]
    body = text[:-1]
    return b"".join((body, begin, _check_of(body), end))


def read_json(data: bytes, what: str) -> Any:
    """A document, without its check and its signature; a store that is to look at the latter has done so.

    Raises:
        CorruptDataError: It is no JSON, or not as it was written.
    """
    data = _unsigned(data)
    try:
        plain = json.loads(data)
    except ValueError as error:
        raise CorruptDataError(
            f"{what} is not valid JSON: {error}", hint="Restore a copy of it; without one, start the flow anew."
        ) from error
    at = _place_of_check(data)
    if at is None:
        return plain
    begin, end = _ENDS[b"}" if isinstance(plain, dict) else b"]"]
    if data[at:] != b"".join((begin, _check_of(data[:at]), end)):
        raise CorruptDataError(
            f"{what} is corrupt: it does not match its check",
            hint="Repair it with: dovetail store verify --repair-from INSTANCE",
        )
    if isinstance(plain, dict):
        del plain["check"]
    else:
        plain.pop()
    return plain


def has_check(data: bytes) -> bool:
    """Whether a document has a check, right or wrong."""
    return _place_of_check(_unsigned(data)) is not None


def _unsigned(data: bytes) -> bytes:
    """A document as it was before it was signed: a signature comes behind the check."""
    if b'"signature' in data[-_REACH:]:
        from dovetail.artifacts.signing import split_document

        return split_document(data)[0]
    return data


def _place_of_check(data: bytes) -> int | None:
    """Where the check of a document begins; None where it has none.

    What stands around a check may be damaged itself, and must not pass for the end of a document without one.
    """
    found = _ENDS.get(data[-1:])
    if found is None:
        return None
    begin, end = found
    at = len(data) - len(begin) - _HEX - len(end)
    frame = data[at : at + len(begin)] + data[-len(end) :]
    if at <= 0 or sum(a != b for a, b in zip(frame, begin + end, strict=True)) > _DAMAGED:
        return None
    return at


def _check_of(body: bytes) -> bytes:
    from blake3 import blake3

    return bytes(blake3(body).hexdigest(_HEX // 2), "ascii")
