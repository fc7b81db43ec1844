"""`Given`: a value as some layer of the settings gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["Given"]


class Given:
    """A value as some layer gives it. Immutable by convention; a plain class, since every run imports it and makes
    some, and a dataclass costs half a millisecond to define."""

    __slots__ = ("base", "source", "text", "value")

    def __init__(self, value: Any, source: str = "", text: bool = False, base: Path | None = None) -> None:
        self.value = value
        """Plain data."""
        self.source = source
        """Where it comes from, for messages."""
        self.text = text
        """Whether it is text that stands for the value (an environment variable, the command line)."""
        self.base = base
        """Folder that relative paths start from; None: the working directory."""

    def __repr__(self) -> str:
        return f"Given({self.value!r}, {self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and (self.value, self.source) == (other.value, other.source)

    __hash__ = None  # type: ignore[assignment]  # Values may be tables.
