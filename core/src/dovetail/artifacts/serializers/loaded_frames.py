"""Frames that are in memory, or mapped, read in the way of lazy ones: one reader serves whole values and parts."""

from __future__ import annotations

__all__ = ["LoadedFrame"]


class LoadedFrame:
    """A frame that is there already, read as a lazy one."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    @property
    def length(self) -> int:
        """Its bytes."""
        return self._view.nbytes

    def read(self, begin: int, end: int) -> memoryview:
        """Part of it."""
        return self._view[begin:end]
