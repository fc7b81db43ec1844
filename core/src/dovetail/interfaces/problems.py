"""One thing that is wrong with a flow, a job or a setting."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dovetail.interfaces.dataclass import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, where it is, and how to mend it."""

    code: str
    """Stable identifier, such as `join-without-inputs`."""
    message: str
    """What is wrong, naming the thing."""
    fix: str = ""
    """What to change."""
    file: str = ""
    """Source file, or empty when there is none."""
    line: int = 0
    """Line in `file`, 1-based; 0 when unknown."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.message}" + (f"\n    {self.fix}" if self.fix else "")

    def to_plain(self) -> dict[str, Any]:
        """This problem as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Problem:
        """The inverse of `to_plain`."""
        return cls(**data)
