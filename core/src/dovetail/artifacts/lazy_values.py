"""Stored values that are not loaded: what their headers tell, and rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.checks import gone
from dovetail.interfaces.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from dovetail.artifacts.objects import StoredObject
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.interfaces.artifacts import ArtifactRef, LazyFrame, Serializer

__all__ = ["LazyValue", "StoredFrame"]


class StoredFrame:
    """A frame of an object, of which only the leaves that are asked for are read; see `LazyFrame`."""

    __slots__ = ("_name", "_number", "_ref", "_stored", "_verify")

    def __init__(self, stored: StoredObject, number: int, verify: str, ref: ArtifactRef, name: str) -> None:
        self._stored = stored
        self._number = number
        self._verify = verify
        self._ref = ref
        self._name = name

    @property
    def length(self) -> int:
        """Its bytes."""
        return self._stored.header.frames[self._number].length

    def read(self, begin: int, end: int) -> memoryview:
        """Part of it, verified leaf by leaf.

        Raises:
            ArtifactGoneError: Its object was deleted meanwhile.
            CorruptDataError: It does not match its digests.
        """
        try:
            return self._stored.part(self._number, begin, end, verify=self._verify)
        except NotFoundError as error:
            raise gone(self._ref, self._name, str(error)) from error


class LazyValue:
    """A stored value of which the header is read and nothing else.

    Args:
        artifacts: Where it is.
        ref: What it is.
        header: Its header.
        frames: Its frames.
        name: What errors call it.
    """

    def __init__(
        self, artifacts: ArtifactStore, ref: ArtifactRef, header: bytes, frames: Sequence[LazyFrame], name: str
    ) -> None:
        self._artifacts = artifacts
        self._ref = ref
        self._name = name
        self.header = header
        """As the serializer wrote it."""
        self.frames = frames
        """Its frames."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What the header tells: `rows`, `shape`, `dtype`, `columns`, `files`, `tensors`, as far as they apply.

        Raises:
            PluginError: Its serializer is not installed, or what that needs is not.
        """
        serializer = self._artifacts.serializers.by_id(self._ref.serializer)
        told: Mapping[str, Any] = self._artifacts.decode(
            self._ref, serializer, lambda: serializer.describe(self.header), self._name
        )
        return told

    @property
    def rows(self) -> int | None:
        """How many rows can be read alone; None where the value can only be loaded whole."""
        serializer = self._artifacts.serializers.by_id(self._ref.serializer)
        if not serializer.partial:
            return None
        count: int | None = self._artifacts.decode(
            self._ref, serializer, lambda: serializer.count_rows(self.header, self.frames), self._name
        )
        return count

    def load_rows(self, start: int, stop: int, frames: Sequence[LazyFrame] | None = None) -> Any:
        """Rows `start` to `stop`; little more than these is read.

        Args:
            start: First row, from 0.
            stop: Row behind the last one, at most `rows`.
            frames: Read these in place of its own, such as ones that count.

        Raises:
            CorruptDataError: What is read does not match its digests.
            StoreError: Its serializer can run code, and only safe ones are allowed.
            UsageError: The value can only be loaded whole.
        """
        serializer = self._artifacts.reader_of(self._ref, self._name)
        if self.rows is None:
            raise UsageError(
                f"{self._name or 'the artifact'} can't be read in part: {self._why(serializer)}",
                hint="Load it whole: artifact.data.",
            )
        source = self.frames if frames is None else frames
        return self._artifacts.decode(
            self._ref, serializer, lambda: serializer.load_rows(self.header, source, start, stop), self._name
        )

    def _why(self, serializer: Serializer) -> str:
        if serializer.partial:
            return f"a value of type {self._ref.type or serializer.id} without a first dimension has no rows"
        return f"the format {serializer.id!r} can only be read from its first byte to its last"
