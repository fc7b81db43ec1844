"""What headers tell of artifacts, read from as few bytes as that takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.artifacts import Serializer
from dovetail.interfaces.errors import PluginError

if TYPE_CHECKING:
    from dovetail.client.artifact import DataArtifact

__all__ = ["described"]


def described(artifact: DataArtifact) -> Mapping[str, Any]:
    """What the header of an artifact tells. Where it can't tell anything, nothing is read.

    Raises:
        ArtifactGoneError: Its bytes are no longer in the store.
        CorruptDataError: Its header does not match its digest.
    """
    if artifact.serializer == "json":
        return {}
    try:
        found = artifact._artifacts.serializers.by_id(artifact.serializer)
        real = getattr(found, "real", found)
        if not found.safe or type(real).describe is Serializer.describe:
            return {}
        return artifact._open().description
    except PluginError:  # it is not installed here, or a library that it needs is not
        return {}
