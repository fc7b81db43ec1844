"""What the index shows of a task, from what its run's data store has: columns as its driver wrote them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.reports import AttemptReport
    from dovetail.interfaces.tasks import Exit

__all__ = ["committed_columns", "exit_to_plain", "failed_columns"]


def committed_columns(record: CommitRecord) -> dict[str, Any]:
    """Columns of a committed task's row, without its state."""
    from dovetail.artifacts.index import encode_index
    from dovetail.interfaces.caching import cache_column

    columns: dict[str, Any] = {
        "attempt": record.attempt,
        "started": record.started,
        "finished": record.finished,
        "outputs": encode_index(record.table),
        "record": _compact([record.key, record.frame]),
    }
    usage = record.usage
    if usage.cpu is not None:
        columns["cpu"] = usage.cpu
    if usage.memory is not None:
        columns["memory"] = usage.memory
    if record.log is not None:
        columns["log"] = _compact(record.log)
    if record.cache is not None:
        columns["cache"] = cache_column(record.cache.digest)
    info: dict[str, Any] = {}
    if record.isolation and record.isolation != "fork":
        info["isolation"] = record.isolation
    if record.origin is not None:
        info["origin"] = record.origin
    if record.caught is not None:
        info["caught"] = record.caught.to_plain()
    if record.exit is not None and record.exit.code != 0:
        info["exit"] = exit_to_plain(record.exit)
    if info:
        columns["info"] = _compact(info)
    return columns


def failed_columns(report: AttemptReport) -> dict[str, Any]:
    """Columns of the row of a task whose last attempt left a report, without its state."""
    columns: dict[str, Any] = {
        "attempt": report.attempt,
        "finished": report.finished,
        "error": _compact(report.error.to_plain()),
        "cpu": report.cpu,
        "memory": report.memory,
    }
    if report.started is not None:
        columns["started"] = report.started
    if report.log is not None:
        columns["log"] = _compact(report.log)
    if report.exit is not None:
        columns["info"] = _compact({"exit": exit_to_plain(report.exit)})
    return columns


def exit_to_plain(exit: Exit) -> dict[str, Any]:
    """An exit as JSON-able data, without what is not known."""
    plain = {
        "code": exit.code,
        "signal": exit.signal,
        "out_of_memory": exit.out_of_memory or None,
        "last_memory": exit.last_memory,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
