"""Headers of typed serializers: JSON in the one form that counts in identities."""

from __future__ import annotations

import json
from typing import Any

from dovetail.interfaces.artifacts import DeclinedError
from dovetail.interfaces.errors import CorruptDataError

__all__ = ["decode_header", "encode_header"]


def encode_header(content: dict[str, Any]) -> bytes:
    """UTF-8 JSON with sorted keys and without spaces.

    Raises:
        DeclinedError: It holds what JSON can't: a number that is not finite, text with lone surrogates.
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise DeclinedError(str(error)) from error


def decode_header(header: bytes) -> dict[str, Any]:
    """What `encode_header` wrote.

    Raises:
        CorruptDataError: It is no JSON object.
    """
    try:
        content = json.loads(header)
    except ValueError as error:
        raise CorruptDataError(f"a header is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise CorruptDataError("a header is no JSON object")
    return content
