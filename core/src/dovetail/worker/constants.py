"""Class constants as artifacts: small ones travel in the description, larger ones are stored by the first worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.packing import pack_value, ref_to_plain
from dovetail.authoring.describe import constants
from dovetail.interfaces.artifacts import INLINE_LIMIT, ArtifactRef, InlinePlace, ObjectPlace
from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.artifacts.serializers.registry import SerializerRegistry
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["describe_constants", "save", "unsaved"]


def describe_constants(flow_cls: type[FlowSpec], serializers: SerializerRegistry) -> dict[str, dict[str, Any]]:
    """Name → plain reference. One whose value is too large to be inline names the data store "", which stands for
    the run's own; see `save`. A constant that can't be stored (a lock, a module's object) is left out: tasks then
    see it as the class has it."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in constants(flow_cls).items():
        try:
            serialized = serializers.serialize(value)
        except (DovetailError, TypeError, ValueError):
            continue
        size = sum(memoryview(frame).nbytes for frame in serialized.frames)
        place: InlinePlace | ObjectPlace = ObjectPlace(store="")
        if size <= INLINE_LIMIT:
            packed = pack_value(serialized.serializer, serialized.header, serialized.frames)
            if len(packed) <= INLINE_LIMIT:
                place = InlinePlace(data=packed)
        found[name] = ref_to_plain(
            ArtifactRef(
                digest=digest_of(serialized),
                size=size,
                serializer=serialized.serializer,
                type=serialized.type,
                place=place,
            )
        )
    return found


def unsaved(description: FlowDescription) -> list[str]:
    """Names of constants that `save` has to store."""
    return [name for name, ref in description.constants.items() if ref.get("object") == ""]


def save(flow_cls: type[FlowSpec], description: FlowDescription, artifacts: ArtifactStore) -> None:
    """Store the constants that are not inline in the run's data store."""
    values = constants(flow_cls)
    for name in unsaved(description):
        serialized = artifacts.serializers.serialize(values[name])
        artifacts.save_value(serialized)
