"""msgpack with the options that stored bytes use, and with types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgpack  # type: ignore[import-untyped, unused-ignore]

from dovetail.interfaces.errors import CorruptDataError

__all__ = ["pack", "unpack", "unpack_checked"]

pack = cast("Callable[[Any], bytes]", msgpack.packb)
"""Plain data as msgpack: `bytes` as bin, `str` as UTF-8 str."""
unpack = cast("Callable[[bytes | bytearray | memoryview], Any]", msgpack.unpackb)
"""The inverse of `pack`; arrays become lists. Malformed bytes raise errors of many types."""


def unpack_checked(data: bytes | bytearray | memoryview, what: str) -> Any:
    """The inverse of `pack`.

    Raises:
        CorruptDataError: `data` is not one whole msgpack value.
    """
    try:
        return unpack(data)
    except Exception as error:  # msgpack documents ValueError; UnicodeDecodeError and its own types come too
        raise CorruptDataError(f"{what} can't be decoded: {error or type(error).__name__}") from error
