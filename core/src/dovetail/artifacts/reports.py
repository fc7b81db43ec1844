"""What a run leaves beside commit records: reports of failed attempts, consumed inbox events, final states."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import (
    attempt_key,
    attempts_prefix,
    end_key,
    ends_prefix,
    inbox_key,
    inbox_prefix,
    run_prefix,
)
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, StoreVersionError
from dovetail.interfaces.events import Event
from dovetail.interfaces.tasks import ErrorReport, Exit

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = [
    "AttemptReport",
    "RunEnd",
    "put_end",
    "put_inbox",
    "put_report",
    "read_end",
    "read_inbox",
    "read_reports",
    "reported_paths",
]

REPORT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """What a failed attempt leaves."""

    path: str
    """Path of the task."""
    attempt: int
    """Attempt, from 1."""
    call_digest: bytes
    """Digest of the task call."""
    error: ErrorReport
    """Why it failed."""
    exit: Exit | None = None
    """How its process ended."""
    cpu: float | None = None
    """CPU seconds."""
    memory: int | None = None
    """Peak resident bytes."""
    started: float | None = None
    """When it began, seconds since the epoch; None when it could not."""
    finished: float
    """When it ended."""
    log: tuple[str, int, int] | None = None
    """Where its log is."""
    worker: str = ""
    """Which process ran it."""
    arguments: bytes = b""
    """Of a called task: what it was called with (see `dovetail.artifacts.arguments`)."""
    code_key: bytes = b""
    """Code key of the step; empty in older reports."""
    final: bool = False
    """Whether no attempt followed: the task has failed."""

    def to_plain(self) -> dict[str, Any]:
        """This report as JSON-able data."""
        plain: dict[str, Any] = {"version": REPORT_VERSION, **{f.name: getattr(self, f.name) for f in fields(self)}}
        plain["call_digest"] = self.call_digest.hex()
        plain["code_key"] = self.code_key.hex()
        plain["error"] = self.error.to_plain()
        plain["arguments"] = b64encode(self.arguments).decode()
        if self.exit is not None:
            plain["exit"] = {f.name: getattr(self.exit, f.name) for f in fields(self.exit)}
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> AttemptReport:
        """The inverse of `to_plain`.

        Raises:
            StoreVersionError: A newer Dovetail wrote it.
            CorruptDataError: It is malformed.
        """
        if plain.get("version", 0) > REPORT_VERSION:
            raise StoreVersionError(
                f"an attempt report has version {plain['version']}", hint="Upgrade dovetail to read this run."
            )
        known = {f.name for f in fields(cls)}
        found = {name: value for name, value in plain.items() if name in known}
        try:
            found["call_digest"] = bytes.fromhex(found["call_digest"])
            found["code_key"] = bytes.fromhex(found.get("code_key", ""))
            found["error"] = ErrorReport.from_plain(found["error"])
            found["exit"] = None if found.get("exit") is None else Exit(**found["exit"])
            found["arguments"] = b64decode(found.get("arguments", ""))
            found["log"] = None if found.get("log") is None else tuple(found["log"])
            return cls(**found)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"an attempt report is malformed: {error!r}") from error


def put_report(store: DataStore, run: str, report: AttemptReport) -> str:
    """Write a report; its key. The first one of an attempt stays."""
    key = attempt_key(run, report.path, report.attempt)
    _put_once(store, key, report.to_plain())
    return key


def read_reports(store: DataStore, run: str, path: str | None = None) -> Iterator[AttemptReport]:
    """Reports of a run, or of one task, by path and attempt."""
    prefix = f"{run_prefix(run)}attempts/" if path is None else attempts_prefix(run, path)
    keys = [info.key for info in store.scan(prefix)]
    if path is not None:
        keys = [key for key in keys if "/" not in key[len(prefix) :]]
        keys.sort(key=lambda key: int(key[len(prefix) :]))
    for key in keys:
        yield AttemptReport.from_plain(read_json(store.get(key).read(), key))


def reported_paths(store: DataStore, run: str) -> Iterator[str]:
    """Paths of the tasks of a run that have a report, one for each; none is read."""
    prefix = f"{run_prefix(run)}attempts/"
    for info in store.scan(prefix):
        yield info.key[len(prefix) :].rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The final state of a run, as one driver left it."""

    state: str
    """A `RunState`."""
    finished: float
    """Seconds since the epoch."""
    reason: str = ""
    """Why, where that is not plain."""
    error: Mapping[str, Any] | None = None
    """Of a failed run: the root cause {path, message}."""


def put_end(store: DataStore, run: str, fence: int, end: RunEnd) -> str:
    """Write how the driver with this fence left the run; its key. Create-only: the first one stays."""
    key = end_key(run, fence)
    _put_once(store, key, {"version": REPORT_VERSION, **{f.name: getattr(end, f.name) for f in fields(end)}})
    return key


def read_end(store: DataStore, run: str) -> tuple[int, RunEnd] | None:
    """(fence, end) of the newest driver that ended; None when none has."""
    newest = max((info.key for info in store.scan(ends_prefix(run))), default=None)
    if newest is None:
        return None
    plain = read_json(store.get(newest).read(), newest)
    try:
        end = RunEnd(
            state=plain["state"], finished=plain["finished"], reason=plain.get("reason", ""), error=plain.get("error")
        )
    except (KeyError, TypeError) as error:
        raise CorruptDataError(f"{newest} is malformed: {error!r}") from error
    return int(newest.rpartition("/")[2]), end


def put_inbox(store: DataStore, run: str, event: Event) -> str:
    """Write an inbox event before the driver acts on it; its key. Idempotent."""
    key = inbox_key(run, event.writer, event.n)
    _put_once(store, key, event.to_plain())
    return key


def read_inbox(store: DataStore, run: str) -> list[Event]:
    """Every inbox event that a driver has taken in, by time."""
    keys = [info.key for info in store.scan(inbox_prefix(run))]
    events = [Event.from_plain(read_json(store.get(key).read(), key)) for key in keys]
    return sorted(events, key=lambda event: (event.time, event.writer, event.n))


def _put_once(store: DataStore, key: str, plain: Any) -> None:
    try:
        store.put(key, encode_json(plain))
    except AlreadyExistsError:
        return
