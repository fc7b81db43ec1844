"""What others ask of a running driver: cancel requests and signals, taken from the journal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dovetail.artifacts.reports import put_inbox
from dovetail.interfaces.events import Event, EventKind

if TYPE_CHECKING:
    from dovetail.engine.journal import Journal
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["Inbox"]

POLL_SECONDS = 0.5


class Inbox:
    """Reads inbox events of one run. An event is in the data store before it is acted on."""

    def __init__(self, provider: MetadataProvider, store: DataStore, run: str, *, writer: str) -> None:
        self._provider = provider
        self._store = store
        self._run = run
        self._writer = writer
        self._since = 0
        self._next = time.monotonic() + POLL_SECONDS

    def next_due(self) -> float:
        """When to look again, by `time.monotonic`."""
        return self._next

    def take(self, journal: Journal) -> list[Event]:
        """What has arrived. The journal's own events are not even decoded while nobody else wrote."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + POLL_SECONDS
        if not journal.foreign and self._since and journal.last_seq > self._since:
            self._since = journal.last_seq
        journal.foreign = False
        found = []
        for event in self._provider.read(self._run, since=self._since):
            self._since = max(self._since, event.seq)
            if event.writer != self._writer and event.kind in (EventKind.CANCEL, EventKind.SIGNAL):
                put_inbox(self._store, self._run, event)
                found.append(event)
        return found
