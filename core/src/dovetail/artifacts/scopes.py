"""Scopes: the table name → ArtifactRef that a class step's task can read, in layers that siblings share.

A layer is `msgpack([output table, origin])`; origin says where the record is that holds the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from dovetail.artifacts.identity import outputs_digest
from dovetail.artifacts.msgpacked import pack, unpack_checked
from dovetail.artifacts.packing import FOREACH_OUTPUT, Origin, row_from_ref, row_to_ref
from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.tasks import Scope

__all__ = ["ScopeReader", "pack_layer", "root_scope", "scope_digest"]


def pack_layer(table: bytes, origin: Origin | None) -> bytes:
    """A layer.

    Args:
        table: Output table of a task.
        origin: Where its record is; None where no value lies in the record.
    """
    return pack([table, origin])


def scope_digest(parent: bytes | None, outputs: bytes) -> bytes:
    """Identity of a scope: BLAKE3 over its parent's (nothing for the root) and the digest of its own outputs."""
    return blake3(outputs if parent is None else parent + outputs).digest()


def root_scope(refs: Mapping[str, ArtifactRef]) -> Scope:
    """The scope of a run's parameters and constants, inline or objects."""
    table = pack({name: row_from_ref(ref) for name, ref in refs.items()})
    digest = outputs_digest({name: ref.digest for name, ref in refs.items()})
    return Scope(None, pack_layer(table, None), scope_digest(None, digest))


class ScopeReader:
    """Looks names up in the layers of a scope, decoding only what it must.

    Args:
        layers: Packed layers, the outermost first (`Scope.layers()`).
    """

    __slots__ = ("_layers", "_tables")

    def __init__(self, layers: Sequence[bytes]) -> None:
        self._layers = layers
        self._tables: dict[int, tuple[dict[str, Any], Origin | None]] = {}

    def get(self, name: str) -> ArtifactRef | None:
        """The reference that `name` has in the nearest layer, or None."""
        needle = name.encode()
        layers = self._layers
        for index in range(len(layers) - 1, -1, -1):
            # The name stands in the layer as it is, so most layers are passed over undecoded.
            if needle not in layers[index]:
                continue
            table, origin = self._table(index)
            row = table.get(name)
            if row is not None:
                return row_to_ref(name, row, origin)
        return None

    def names(self) -> list[str]:
        """Every name, sorted."""
        found: set[str] = set()
        for index in range(len(self._layers)):
            found.update(self._table(index)[0])
        found.discard(FOREACH_OUTPUT)
        return sorted(found)

    def _table(self, index: int) -> tuple[dict[str, Any], Origin | None]:
        known = self._tables.get(index)
        if known is None:
            table, origin = unpack_checked(self._layers[index], "a layer of a scope")
            known = self._tables[index] = (unpack_checked(table, "an output table"), origin)
        return known
