"""A lazy frame as a file, for libraries that read files."""

from __future__ import annotations

import io

from dovetail.interfaces.artifacts import LazyFrame

__all__ = ["LazyFile"]


class LazyFile(io.RawIOBase):
    """Reads what is asked for of a frame, and nothing else.

    Args:
        frame: The frame.
    """

    def __init__(self, frame: LazyFrame) -> None:
        super().__init__()
        self._frame = frame
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._frame.length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, target: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read on."""
        view = memoryview(target).cast("B")
        found = self._frame.read(self._at, min(self._at + len(view), self._frame.length))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)
