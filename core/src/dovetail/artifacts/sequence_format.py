"""Format of sequences: the items of a foreach as one value.

A sequence is a value with the serializer id `sequence`. Its header is `msgpack([number of items, [serializer, ...]])`.
Frame 0 is the index, 64 bytes an item; frame 1 holds the packed values of the items one after the other. An item whose
packed value is larger than `RECORD_LIMIT` is an object of its own in the store of the sequence.
"""

from __future__ import annotations

import struct
from typing import Final

from dovetail.artifacts.identity import LEAF_SIZE

__all__ = ["ENTRY", "ENTRY_SIZE", "IS_OBJECT", "ITEMS_PER_LEAF", "SEQUENCE_ID"]

SEQUENCE_ID: Final = "sequence"
"""Stands as the serializer of a sequence."""
ENTRY: Final = struct.Struct("<QQIHH32s8x")
"""An item in the index: offset in frame 1, size, packed length, number of its serializer, flags, digest."""
ENTRY_SIZE: Final = ENTRY.size
ITEMS_PER_LEAF: Final = LEAF_SIZE // ENTRY_SIZE
"""An entry never crosses the border of two leaves, so each can be verified alone."""
IS_OBJECT: Final = 1
"""Flag: the item is an object of its own; offset and length are 0."""
