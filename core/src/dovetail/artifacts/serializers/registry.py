"""Finds the serializer for a value, and the one that wrote some bytes."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.artifacts.caught import CaughtErrorSerializer
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.serializers.json_text import JsonSerializer, json_frame
from dovetail.artifacts.serializers.pickled import PickleSerializer
from dovetail.artifacts.serializers.raw_bytes import BytesSerializer
from dovetail.interfaces.artifacts import SerializedValue, Serializer
from dovetail.interfaces.errors import PluginConflictError, PluginNotFoundError

__all__ = ["SerializerRegistry"]


class SerializerRegistry:
    """The serializers of this process. Thread-safe.

    Plain data always goes to `json` and `bytes`, so that it has one identity whatever is installed; then plugins'
    serializers are asked in the order given, and `pickle` takes the rest.

    Args:
        extra: Serializers of plugins.

    Raises:
        PluginConflictError: Two serializers have the same id.
    """

    def __init__(self, extra: Sequence[Serializer] = ()) -> None:
        self._json = JsonSerializer()
        self._pickle = PickleSerializer()
        self._by_type: dict[type, Serializer] = {bytes: BytesSerializer()}
        self._asked: list[Serializer] = [CaughtErrorSerializer(), *extra]
        self._by_id: dict[str, Serializer] = {}
        for serializer in (self._json, self._pickle, *self._by_type.values(), *self._asked):
            if serializer.id in self._by_id or serializer.id == SEQUENCE_ID:
                raise PluginConflictError(
                    f"two serializers have the id {serializer.id!r}",
                    hint="Uninstall or block one of the plugins that provide it.",
                )
            self._by_id[serializer.id] = serializer

    def for_value(self, value: object) -> Serializer:
        """The serializer that writes `value`."""
        if json_frame(value) is not None:
            return self._json
        return self._for_other(value)

    def serialize(self, value: object) -> SerializedValue:
        """`for_value(value).dump(value)`, in one pass over plain data.

        Raises:
            UnpicklableError: No serializer can write it.
        """
        frame = json_frame(value)
        if frame is not None:
            return SerializedValue("json", b"", [frame], type(value).__name__)
        return self._for_other(value).dump(value)

    def identify(self, value: object) -> SerializedValue:
        """As `serialize`, for the digest alone: see `PickleSerializer.identify`."""
        frame = json_frame(value)
        if frame is not None:
            return SerializedValue("json", b"", [frame], type(value).__name__)
        serializer = self._for_other(value)
        return serializer.identify(value) if isinstance(serializer, PickleSerializer) else serializer.dump(value)

    def by_id(self, id: str) -> Serializer:
        """The serializer that wrote a value.

        Raises:
            PluginNotFoundError: None here has this id.
        """
        try:
            return self._by_id[id]
        except KeyError:
            known = ", ".join(sorted(self._by_id))
            raise PluginNotFoundError(
                f"no serializer {id!r} is installed here, only {known}",
                hint="Install the plugin that provides it, in the version that wrote the value or a newer one.",
            ) from None

    def _for_other(self, value: object) -> Serializer:
        exact = self._by_type.get(type(value))
        if exact is not None:
            return exact
        for serializer in self._asked:
            if serializer.accepts(value):
                return serializer
        return self._pickle
