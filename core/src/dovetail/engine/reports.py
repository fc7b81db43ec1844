"""Attempt reports: what a failed attempt leaves, since it leaves no commit record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.layout import attempt_key
from dovetail.interfaces.errors import AlreadyExistsError

if TYPE_CHECKING:
    from dovetail.engine.machine import Attempt
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.tasks import ErrorReport, Exit, Usage

__all__ = ["AttemptReports", "exit_to_plain"]


def exit_to_plain(exit: Exit | None) -> dict[str, Any] | None:
    """An exit as JSON-able data, without what is not known."""
    if exit is None:
        return None
    plain = {
        "code": exit.code,
        "signal": exit.signal,
        "out_of_memory": exit.out_of_memory or None,
        "last_memory": exit.last_memory,
    }
    return {name: value for name, value in plain.items() if value is not None}


class AttemptReports:
    """Writes attempt reports of one run."""

    def __init__(self, store: DataStore, run: str) -> None:
        self._store = store
        self._run = run

    def put(
        self,
        attempt: Attempt,
        error: ErrorReport,
        *,
        exit: Exit | None,
        usage: Usage | None,
        log: tuple[str, int, int] | None,
        started: float | None,
        finished: float,
    ) -> str:
        """Write the report of a failed attempt; its key."""
        key = attempt_key(self._run, attempt.call.path, attempt.number)
        report = {
            "version": 1,
            "path": attempt.call.path,
            "attempt": attempt.number,
            "call_digest": attempt.call.digest.hex(),
            "error": error.to_plain(),
            "exit": exit_to_plain(exit),
            "cpu": usage.cpu if usage else None,
            "memory": usage.memory if usage else None,
            "started": started,
            "finished": finished,
            "log": log,
        }
        body = json.dumps(report, separators=(",", ":")).encode()
        try:
            self._store.put(key, body)
        except AlreadyExistsError:
            # A continued run counts attempts anew; the newest report of a number is the one that explains it.
            self._store.put(key, body, mode="overwrite")
        return key
