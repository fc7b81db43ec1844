"""Events of a run's journal, and their fold into index rows.

The events and the fold belong to the core: a metadata provider stores batches of events and applies the
`RowChanges` that `fold` makes of them, and never interprets an event itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.paths import step_of

__all__ = ["INBOX_KINDS", "RUN_COLUMNS", "TASK_COLUMNS", "UNPAUSED", "Event", "EventKind", "RowChanges", "fold"]


class EventKind:
    """Kinds of events. The comment after each names the fields of `data`."""

    RUN_CREATED = "run.created"  # flow, created, user, tags, system_tags, parameters, origin, file, start, end, store
    RUN_STATE = "run.state"  # state, reason?, finished?, error?, failed? (root-cause path)
    DRIVER = "driver"  # fence, host, pid: a driver took over the run
    EXPECTED = "step.expected"  # step, count: tasks that are now known to come
    TASK = "task"  # was, state, and any of TASK_COLUMNS
    ATTEMPT = "attempt"  # attempt, error, exit, cpu, memory, retry_at?: a failed attempt
    NOTE = "note"  # message, level: what the driver wants on record (fallbacks, re-runs and why)
    TAG = "tag"  # add, remove                                   (inbox: any writer)
    SIGNAL = "signal"  # name, value, path? (the wait it is for)  (inbox)
    CANCEL = "cancel"  # reason                                  (inbox)
    PAUSE = "pause"  # reason: place nothing more                 (inbox)
    UNPAUSE = "unpause"  #                                        (inbox)


INBOX_KINDS = frozenset({EventKind.TAG, EventKind.SIGNAL, EventKind.CANCEL, EventKind.PAUSE, EventKind.UNPAUSE})
"""What any writer may append without a fence."""
UNPAUSED = "goes on as asked"
"""The note of a driver that has taken in an `unpause`: who asked knows that it need not continue the run itself."""

TASK_COLUMNS = (
    "path",
    "step",
    "state",
    "attempt",
    "started",
    "finished",
    "outputs",
    "error",
    "cpu",
    "memory",
    "log",
    "record",
    "info",
    "cache",
)
"""Columns of a task row. `started` and `finished` are seconds since the epoch; `outputs` is JSON text (see
`dovetail.artifacts.index`); `error` JSON text of an ErrorReport; `cpu` seconds; `memory` bytes; `log` JSON text
[segment, begin, end]; `record` JSON text [key, offset]; `info` JSON text of what else is known (exit, origin,
reason of a re-run, isolation, caught); `cache` the key of a cached value as text (see
`dovetail.interfaces.caching`)."""

RUN_COLUMNS = (
    "run",
    "flow",
    "state",
    "created",
    "started",
    "finished",
    "user",
    "tags",
    "system_tags",
    "parameters",
    "origin",
    "error",
    "info",
)
"""Columns of a run row. `tags` and `system_tags` are sorted lists; `parameters` a JSON object; `error` names the
root cause {path, message}; `info` is whatever else the journal says of the run (file, reason, fence)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run."""

    writer: str
    """Who wrote it; unique for each process that writes."""
    n: int
    """Counts the writer's events; (writer, n) is the event's id, and appending it again changes nothing."""
    kind: str
    """One of `EventKind`."""
    time: float
    """Seconds since the epoch by the writer's clock."""
    path: str = ""
    """Path of the task, or empty for the run as a whole."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able fields, by kind."""
    seq: int = 0
    """Position in the journal, from 1; assigned by the provider, 0 before."""

    def to_plain(self) -> list[Any]:
        """This event as a JSON-able list, without `seq`."""
        return [self.writer, self.n, self.kind, self.time, self.path, dict(self.data)]

    @classmethod
    def from_plain(cls, data: list[Any], seq: int = 0) -> Event:
        """The inverse of `to_plain`."""
        writer, n, kind, time, path, fields = data
        return cls(writer, n, kind, time, path, fields, seq)


@dataclass(slots=True, kw_only=True)
class RowChanges:
    """What a batch of events changes in the index. Applied in one transaction with the events themselves."""

    run: dict[str, Any] = field(default_factory=dict)
    """Columns of the run row to set (see RUN_COLUMNS; `tags` is left out)."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path → columns to set (see TASK_COLUMNS); a missing row is created, a column not named keeps its value."""
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """(step, state) → how much the counter changes; the state `expected` counts tasks that are known to come."""
    add_tags: set[str] = field(default_factory=set)
    """User tags to add."""
    remove_tags: set[str] = field(default_factory=set)
    """User tags to remove."""
    fence: int = 0
    """The driver's fence, where an event names one."""


def fold(events: Iterable[Event], into: RowChanges | None = None) -> RowChanges:
    """Fold events, in order, into changes of rows. Pure; folding two batches in turn equals folding both."""
    changes = RowChanges() if into is None else into
    counts = changes.counts
    for event in events:
        kind, data = event.kind, event.data
        if kind == EventKind.TASK:
            step = data.get("step") or step_of(event.path)
            row = changes.tasks.get(event.path)
            if row is None:
                row = changes.tasks[event.path] = {"path": event.path, "step": step}
            was = data.get("was")
            for name, value in data.items():
                if name != "was":
                    row[name] = value
            if was != data["state"]:
                if was:
                    counts[step, was] = counts.get((step, was), 0) - 1
                counts[step, data["state"]] = counts.get((step, data["state"]), 0) + 1
        elif kind == EventKind.EXPECTED:
            key = (data["step"], "expected")
            counts[key] = counts.get(key, 0) + data["count"]
        elif kind == EventKind.RUN_CREATED:
            changes.run.update(
                flow=data["flow"],
                created=data.get("created", event.time),
                state="running",
                user=data.get("user", ""),
                system_tags=sorted(data.get("system_tags", ())),
                parameters=data.get("parameters", {}),
                origin=data.get("origin"),
            )
            known = ("file", "start", "end", "store")
            changes.run.setdefault("info", {}).update({name: data[name] for name in known if name in data})
            changes.add_tags |= set(data.get("tags", ()))
        elif kind == EventKind.RUN_STATE:
            changes.run["state"] = data["state"]
            for name in ("started", "finished", "error"):
                if name in data:
                    changes.run[name] = data[name]
            if "reason" in data:
                changes.run.setdefault("info", {})["reason"] = data["reason"]
        elif kind == EventKind.DRIVER:
            changes.fence = max(changes.fence, data["fence"])
            changes.run["state"] = "running"
            changes.run["finished"] = None
            changes.run.setdefault("info", {}).update(fence=data["fence"], host=data["host"], pid=data["pid"])
        elif kind in (EventKind.PAUSE, EventKind.UNPAUSE):
            changes.run.setdefault("info", {}).update(held=kind == EventKind.PAUSE)
        elif kind == EventKind.TAG:
            for tag in data.get("add", ()):
                changes.add_tags.add(tag)
                changes.remove_tags.discard(tag)
            for tag in data.get("remove", ()):
                changes.remove_tags.add(tag)
                changes.add_tags.discard(tag)
    return changes
