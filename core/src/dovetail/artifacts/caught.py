"""`CaughtError`: what `@catch(var=...)` stores in place of a failed step's results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from dovetail.interfaces.artifacts import SerializedValue, Serializer
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["CaughtError", "CaughtErrorSerializer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtError:
    """Why a step failed, as data: readable where the exception's own class can't be imported. Always true."""

    type: str
    """Qualified name of the exception, or empty when the process died."""
    message: str
    """First line of the message, or what happened to the process."""
    traceback: str = ""
    """The user's own traceback."""
    kind: str = "exception"
    """What failed, as in an `ErrorReport`: `exception`, `timeout`, `signal`, ..."""

    @classmethod
    def from_report(cls, report: ErrorReport) -> CaughtError:
        """The value for a failed attempt."""
        return cls(type=report.type, message=report.message, traceback=report.traceback, kind=report.kind)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type and self.message else self.type or self.message

    def __bool__(self) -> bool:
        return True


class CaughtErrorSerializer(Serializer):
    """A `CaughtError` as one frame of JSON."""

    id: ClassVar[str] = "caught-error"

    def accepts(self, value: object) -> bool:
        return type(value) is CaughtError

    def dump(self, value: Any) -> SerializedValue:
        plain = {"type": value.type, "message": value.message, "traceback": value.traceback, "kind": value.kind}
        frame = json.dumps(plain, separators=(",", ":")).encode()
        return SerializedValue(self.id, b"", [frame], "dovetail.artifacts.caught.CaughtError")

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        return CaughtError(**json.loads(bytes(frames[0])))
