"""Short previews of artifacts: the first rows of frames, the beginning of arrays and texts. Nothing is unpickled.

What is read for one is bounded: where the first rows are too large, it is made of what the header tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail.client.preview_cells import Preview, list_cells, shortened, table_cells
from dovetail.interfaces.artifacts import RECORD_LIMIT
from dovetail.interfaces.errors import DovetailError, PluginError

if TYPE_CHECKING:
    from dovetail.artifacts.lazy_values import LazyValue
    from dovetail.client.artifact import DataArtifact
    from dovetail.interfaces.artifacts import LazyFrame

__all__ = ["preview_of"]

_BUDGET = 4 << 20
"""Bytes that are read for a preview at most."""
_LEAF = 64 * 1024
"""Bytes that reading any of them costs."""
_HEAD = 2048
"""Bytes of a long text, or of bytes, that are read."""


class _TooMuchError(DovetailError):
    """A preview would read more than it is worth."""


class _BoundedFrame:
    """A lazy frame that refuses to read much."""

    def __init__(self, frame: LazyFrame, left: list[int]) -> None:
        self._frame = frame
        self._left = left

    @property
    def length(self) -> int:
        return self._frame.length

    def read(self, begin: int, end: int) -> memoryview:
        self._left[0] -= min(self.length, -(-end // _LEAF) * _LEAF) - begin // _LEAF * _LEAF
        if self._left[0] < 0:
            raise _TooMuchError("a preview would read more than it is worth")
        return self._frame.read(begin, end)


def preview_of(artifact: DataArtifact, rows: int) -> Preview:
    """A preview of at most so many rows.

    Raises:
        ArtifactGoneError: Its bytes are no longer in the store.
        CorruptDataError: What is read does not match its digests.
    """
    serializer = artifact.serializer
    if serializer == "json":
        return _of_text(artifact)
    known = artifact._artifacts.serializers
    try:
        found = known.by_id(serializer)
        safe, partial = found.safe, found.partial
    except PluginError:  # not installed here, or what it needs is not
        return _of_type(artifact)
    if not safe:
        return _of_type(artifact)
    if serializer == "bytes":
        return Preview(text=_bytes(artifact._open()))
    if not partial and not artifact.description and artifact.size <= RECORD_LIMIT:
        return Preview(text=shortened(repr(artifact.data)))
    return (partial and _of_rows(artifact, rows)) or _of_description(artifact)


def _of_type(artifact: DataArtifact) -> Preview:
    return Preview(text=f"<{artifact.type or artifact.serializer}, {artifact.size:,} bytes>")


def _of_text(artifact: DataArtifact) -> Preview:
    if artifact.size <= RECORD_LIMIT:
        return Preview(text=shortened(repr(artifact.data)))
    frame = artifact._open().frames[0]
    return Preview(text=shortened(bytes(frame.read(0, _HEAD)).decode("utf-8", "ignore") + "…"))


def _bytes(value: LazyValue) -> str:
    frame = value.frames[0]
    head = bytes(frame.read(0, min(40, frame.length)))
    return repr(head) + ("…" if frame.length > len(head) else "")


def _of_rows(artifact: DataArtifact, rows: int) -> Preview | None:
    """The first rows; None where there are none, or they are too large, or can't be shown."""
    value = artifact._open()
    count = value.rows
    if count is None:
        return None
    left = [_BUDGET]
    frames = [_BoundedFrame(frame, left) for frame in value.frames]
    try:
        part = value.load_rows(0, min(rows, count), frames)
        make = table_cells if artifact.columns is not None else list_cells
        return make(part, more=count > rows)
    except _TooMuchError:
        return None
    except DovetailError as error:
        if isinstance(error, PluginError):
            return None
        raise
    except Exception:  # moments out of Python's range, time zones that are not known here: a preview breaks nothing
        return None


def _of_description(artifact: DataArtifact) -> Preview:
    told = artifact.description
    if "files" in told:
        return Preview(text=_joined([f"{name} ({size:,} bytes)" for name, size in told["files"]]))
    if "tensors" in told:
        return Preview(text=_joined([f"{name} {dtype}{shape}" for name, dtype, shape in told["tensors"]]))
    if "columns" in told:
        return Preview(text=_joined([f"{name}: {dtype}" for name, dtype in told["columns"]]))
    if told.get("shape") == [] and artifact.size <= RECORD_LIMIT:
        return Preview(text=shortened(str(artifact.data)))
    return _of_type(artifact)


def _joined(parts: Sequence[str]) -> str:
    return shortened(", ".join(parts[:20]) + (", …" if len(parts) > 20 else ""))
