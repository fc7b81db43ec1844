"""What others ask of a running driver: to end, to pause, to take a signal; taken from the journal."""

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
_TAKEN = frozenset({EventKind.CANCEL, EventKind.SIGNAL, EventKind.PAUSE, EventKind.UNPAUSE})


class Inbox:
    """Reads inbox events of one run. An event is in the data store before it is acted on.

    Args:
        provider: Where events are.
        store: The run's data store.
        run: Run id.
        writer: Unique name of this driver.
        continued: Whether there may be events already.
    """

    def __init__(
        self, provider: MetadataProvider, store: DataStore, run: str, *, writer: str, continued: bool = False
    ) -> None:
        self._provider = provider
        self._store = store
        self._run = run
        self._writer = writer
        self._since = 0
        self._next = time.monotonic() + (0.0 if continued else POLL_SECONDS)

    def next_due(self) -> float:
        """When to look again, by `time.monotonic`."""
        return self._next

    def take(self, journal: Journal, *, at_once: bool = False) -> list[Event]:
        """What has arrived. The journal's own events are not even decoded while nobody else wrote.

        Args:
            journal: The run's, as it is written here.
            at_once: Look now, even when it is not time for it.
        """
        now = time.monotonic()
        if now < self._next and not at_once:
            return []
        self._next = now + POLL_SECONDS
        last = journal.last_seq  # before `foreign`, which the journal's thread sets first: nothing can fall between
        if not journal.foreign and self._since and last > self._since:
            self._since = last
        journal.foreign = False
        found = []
        for event in self._provider.read(self._run, since=self._since):
            self._since = max(self._since, event.seq)
            if event.writer != self._writer and event.kind in _TAKEN:
                put_inbox(self._store, self._run, event)
                found.append(event)
        return found
