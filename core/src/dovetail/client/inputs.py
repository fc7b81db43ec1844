"""What a task was called with: the arguments that its commit record, or else the report of its failure, keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.client.task import Task

__all__ = ["Input", "inputs_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One argument of a call."""

    digest: str
    """Identity of the value, hexadecimal."""
    size: int
    """Bytes of it as stored."""
    serializer: str
    """Which serializer knows it."""
    type: str
    """Name of its type."""
    is_inline: bool = False
    """Whether it is plain data, and small enough to be at hand."""
    value: Any = None
    """The value, where it is inline."""

    def to_plain(self) -> dict[str, Any]:
        """This argument as JSON-able data; `value` is there only for inline ones."""
        plain = {"type": self.type, "size": self.size, "serializer": self.serializer, "digest": self.digest}
        return {**plain, "value": self.value} if self.is_inline else plain


def inputs_of(task: Task) -> dict[str, Input] | None:
    """Name → argument, of a task that another one called. None of any other, and where nothing is on record."""
    from dovetail.artifacts.arguments import argument_rows
    from dovetail.artifacts.packing import JSON_ID

    table = _table(task)
    if not table:
        return None
    found = {}
    for name, (digest, size, serializer, place, type_name) in argument_rows(table).items():
        inline = isinstance(place, bytes) and serializer == JSON_ID
        found[name] = Input(
            digest=digest.hex(),
            size=size,
            serializer=serializer,
            type=type_name,
            is_inline=inline,
            value=json.loads(place) if inline else None,
        )
    return found


def _table(task: Task) -> bytes:
    from dovetail.artifacts.reports import read_reports
    from dovetail.client.stores import record_of

    try:
        if task.state.committed:
            return record_of(task).arguments
        for report in read_reports(task.run._store, task.run.id, task.path):
            if report.path == task.path and report.arguments:
                return report.arguments
    except DovetailError:  # the store is away or the run was deleted there: the index alone tells no inputs
        return b""
    return b""
