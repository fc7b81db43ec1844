"""Identity of values: BLAKE3 over what a value is, never over where or how its bytes are kept.

`digest = BLAKE3-256(b"dovetail-value-1\\0" + msgpack([serializer, header, [[length, [leaf, ...]], ...]]))`, one inner
list for each frame, its leaves the BLAKE3-256 digests of each 64 KiB piece of the raw frame; an empty frame has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from blake3 import blake3

from dovetail.artifacts.msgpacked import pack
from dovetail.interfaces.artifacts import SerializedValue

__all__ = [
    "DIGEST_SIZE",
    "LEAF_SIZE",
    "Leaves",
    "digest_of",
    "frame_leaves",
    "outputs_digest",
    "simple_digest",
    "value_digest",
]

DIGEST_SIZE = 32
"""Bytes of every digest."""
LEAF_SIZE = 64 * 1024
"""Bytes of a frame that one leaf covers; the last leaf covers what is left."""

Leaves = tuple[int, Sequence[bytes]]
"""(length of a frame in bytes, digests of its leaves)"""

_DOMAIN = b"dovetail-value-1\0"


def frame_leaves(frame: memoryview | bytes) -> Leaves:
    """Length and leaf digests of a frame."""
    view = memoryview(frame)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    length = view.nbytes
    if length <= LEAF_SIZE:
        return length, [blake3(view).digest()] if length else []
    return length, [blake3(view[at : at + LEAF_SIZE]).digest() for at in range(0, length, LEAF_SIZE)]


def value_digest(serializer: str, header: bytes, frames: Sequence[Leaves]) -> bytes:
    """Identity of a value, from the lengths and leaf digests of its frames."""
    structure = [serializer, header, [[length, list(leaves)] for length, leaves in frames]]
    return blake3(_DOMAIN + pack(structure)).digest()


@lru_cache(maxsize=64)
def _simple_prefix(serializer: str) -> bytes:
    # The msgpack of [serializer, b"", [[ up to the length of the only frame.
    return _DOMAIN + b"\x93" + pack(serializer) + b"\xc4\x00\x91\x92"


def simple_digest(serializer: str, frame: bytes) -> bytes:
    """`value_digest` of a value with an empty header and one frame: most small values, so without detours."""
    length = len(frame)
    if not 0 < length <= LEAF_SIZE:
        return value_digest(serializer, b"", [frame_leaves(frame)])
    packed_length = length.to_bytes(1, "big") if length < 128 else pack(length)
    leaf = blake3(frame).digest()
    return blake3(_simple_prefix(serializer) + packed_length + b"\x91\xc4\x20" + leaf).digest()


def digest_of(value: SerializedValue) -> bytes:
    """Identity of a serialized value."""
    return value_digest(value.serializer, value.header, [frame_leaves(frame) for frame in value.frames])


def outputs_digest(digests: Mapping[str, bytes]) -> bytes:
    """Identity of named outputs: BLAKE3 over the msgpack of their sorted `[name, digest]` pairs."""
    return blake3(pack([[name, digests[name]] for name in sorted(digests)])).digest()
