"""Checks packed values, and makes the errors of artifacts that are gone or corrupt."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.artifacts.identity import Leaves, frame_leaves, value_digest
from dovetail.artifacts.packing import unpack_value
from dovetail.interfaces.artifacts import ArtifactRef, RecordPlace
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError

__all__ = ["corrupt", "describe", "gone", "matches"]


def matches(ref: ArtifactRef, packed: bytes | memoryview) -> bool:
    """Whether a packed value has the digest of its reference."""
    try:
        header, frames = unpack_value(ref.serializer, packed)
    except CorruptDataError:
        return False
    leaves: Sequence[Leaves] = [frame_leaves(frame) for frame in frames]
    return value_digest(ref.serializer, header, leaves) == ref.digest


def describe(ref: ArtifactRef, name: str) -> str:
    """What errors call an artifact."""
    place = ref.place
    if not name and isinstance(place, RecordPlace):
        name = f"{place.run}/{place.path}/{place.name}"
    kind = f"{ref.type or ref.serializer}, {ref.size} bytes, {ref.digest.hex()[:12]}"
    return f"artifact {name} ({kind})" if name else f"an artifact ({kind})"


def gone(ref: ArtifactRef, name: str, why: str) -> ArtifactGoneError:
    """The error of an artifact whose bytes are not there."""
    return ArtifactGoneError(
        f"{describe(ref, name)} is gone: {why}",
        hint="Its run was deleted, or its store was cleaned. Run the step that wrote it again: "
        "dovetail resume RUN --from STEP.",
    )


def corrupt(ref: ArtifactRef, name: str, why: str) -> CorruptDataError:
    """The error of an artifact whose bytes are not its own."""
    return CorruptDataError(f"{describe(ref, name)} is corrupt: {why}")
