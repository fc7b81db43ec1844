"""The serializers that every Dovetail has, and the registry that finds the one for a value."""

from __future__ import annotations

from dovetail.artifacts.serializers.registry import SerializerRegistry

__all__ = ["SerializerRegistry"]
