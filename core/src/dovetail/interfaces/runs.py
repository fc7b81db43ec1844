"""Run ids: 26 characters that sort by time and are unique across flows and machines."""

from __future__ import annotations

import os
import re
import time

__all__ = ["RUN_ID", "new_run_id", "run_id_time"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
"""What a run id looks like: lower-case Crockford base32 of a UUIDv7 (RFC 9562 §5.7)."""


def new_run_id(now: float | None = None) -> str:
    """A fresh run id.

    Args:
        now: Seconds since the epoch; the clock's by default.
    """
    stamp = int((time.time() if now is None else now) * 1000)
    random = int.from_bytes(os.urandom(10), "big")
    # 48 bits of milliseconds, version 7, 12 random bits, variant 0b10, 62 random bits.
    value = stamp << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def run_id_time(run: str) -> float:
    """When a run id was made, seconds since the epoch."""
    value = 0
    for char in run:
        value = value << 5 | _ALPHABET.index(char)
    return (value >> 80) / 1000
