"""Finds the serializer for a value, and the one that wrote some bytes."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.artifacts.caught import CaughtErrorSerializer
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.serializers.json_text import JsonSerializer, json_frame
from dovetail.artifacts.serializers.pickled import PickleSerializer
from dovetail.artifacts.serializers.raw_bytes import BytesSerializer
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, SerializedValue, Serializer
from dovetail.interfaces.errors import PluginConflictError, PluginNotFoundError, UnpicklableError
from dovetail.interfaces.stored import Stored
from dovetail.plugins.embedded_serializers import embedded
from dovetail.plugins.serializers import DeferredSerializer

__all__ = ["SerializerRegistry"]


class SerializerRegistry:
    """The serializers of this process. Thread-safe.

    Plain data always goes to `json` and `bytes`, so that it has one identity whatever is installed; then plugins'
    serializers are asked in the order given, then the embedded ones, and `pickle` takes the rest. A plugin's
    serializer with the id of an embedded one takes its place.

    Args:
        extra: Serializers of plugins.

    Raises:
        PluginConflictError: Two serializers have the same id.
    """

    def __init__(self, extra: Sequence[Serializer] = ()) -> None:
        self._json = JsonSerializer()
        self._pickle = PickleSerializer()
        self._by_type: dict[type, Serializer] = {bytes: BytesSerializer()}
        taken = {serializer.id for serializer in extra}
        typed = [serializer for serializer in embedded() if serializer.id not in taken]
        self._asked: list[Serializer] = [CaughtErrorSerializer(), *extra, *typed]
        self._may_accept: dict[type, list[Serializer]] = {}
        self._by_id: dict[str, Serializer] = {}
        for serializer in (self._json, self._pickle, *self._by_type.values(), *self._asked):
            if serializer.id in self._by_id or serializer.id == SEQUENCE_ID:
                raise PluginConflictError(
                    f"two serializers have the id {serializer.id!r}",
                    hint="Uninstall or block one of the plugins that provide it.",
                )
            self._by_id[serializer.id] = serializer

    def for_value(self, value: object) -> Serializer:
        """The serializer that writes `value`, as far as it can be told without writing it."""
        if type(value) is Stored:
            return self.by_id(value.serializer)
        if json_frame(value) is not None:
            return self._json
        return next(serializer for serializer in self._candidates(type(value)) if serializer.accepts(value))

    def serialize(self, value: object) -> SerializedValue:
        """The value as the first serializer writes it that can; plain data in one pass.

        Raises:
            UnpicklableError: No serializer can write it, or not the one that `Stored` names.
        """
        frame = json_frame(value)
        if frame is not None:
            return SerializedValue("json", b"", [frame], type(value).__name__)
        if type(value) is Stored:
            return self._serialize_as(value.serializer, value.value)
        for serializer in self._candidates(type(value)):
            if serializer.accepts(value):
                try:
                    return serializer.dump(value)
                except DeclinedError:
                    continue
        raise AssertionError("pickle accepts all values")

    def identify(self, value: object) -> SerializedValue:
        """As `serialize`, for the digest alone: see `PickleSerializer.identify`."""
        frame = json_frame(value)
        if frame is not None:
            return SerializedValue("json", b"", [frame], type(value).__name__)
        if type(value) is Stored:
            return self._serialize_as(value.serializer, value.value)
        for serializer in self._candidates(type(value)):
            if serializer is not self._pickle and serializer.accepts(value):
                try:
                    return serializer.dump(value)
                except DeclinedError:
                    continue
        return self._pickle.identify(value)

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

    def _candidates(self, kind: type) -> list[Serializer]:
        """The serializers that values of a class are offered to, in order. Imports none of them."""
        found = self._may_accept.get(kind)
        if found is None:
            exact = self._by_type.get(kind)
            asked = [s for s in self._asked if not isinstance(s, DeferredSerializer) or s.matches(kind)]
            found = self._may_accept[kind] = [*([exact] if exact else []), *asked, self._pickle]
        return found

    def _serialize_as(self, id: str, value: object) -> SerializedValue:
        """What `Stored` asks for."""
        serializer = self.by_id(id)
        reason = ""
        if serializer.accepts(value):
            try:
                return serializer.dump(value)
            except DeclinedError as error:
                reason = f": {error}"
        raise UnpicklableError(
            f"a value of type {type_name(type(value))} can't be stored by the serializer {id!r}{reason}",
            hint="Leave Stored(...) out, so that one is chosen by the value's type.",
        )
