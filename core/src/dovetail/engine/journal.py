"""The driver's side of the journal: makes events, groups them, and commits the groups on a thread of its own.

The commit records in the data store are the truth and are written first, by the driver itself; the journal's rows
follow within `GROUP_SECONDS`. A task that begins and ends inside one group gets a single event.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.states import TaskState

if TYPE_CHECKING:
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["GROUP_EVENTS", "GROUP_SECONDS", "Journal"]

GROUP_SECONDS = 0.02
GROUP_EVENTS = 1000


class Journal:
    """Writes the state events of one run. Owned by the driver's thread.

    Args:
        provider: Where events go.
        run: Run id.
        writer: Unique name of this driver.
        fence: The driver's fence.
        sync: Makes what data stores were given power-durable, as (store uuid, key); called before each group is
            committed. The uuid is empty for the run's own store.
        on_events: Told every group once it is committed (observers), on the journal's thread.
    """

    def __init__(
        self,
        provider: MetadataProvider,
        run: str,
        *,
        writer: str,
        fence: int,
        sync: Callable[[set[tuple[str, str]]], None],
        on_events: Callable[[list[Event]], None] | None = None,
    ) -> None:
        self._provider = provider
        self._run = run
        self._writer = writer
        self._fence = fence
        self._sync = sync
        self._on_events = on_events
        self._n = 0
        self._events: list[Event] = []
        self._touched: set[tuple[str, str]] = set()
        self._begun: dict[str, tuple[int, float]] = {}
        self._told: dict[str, str] = {}  # path → state that the journal shows, while it is not final
        self._oldest: float | None = None
        self.last_seq = 0
        """Sequence number of the last event that was committed."""
        self.foreign = False
        """Whether another writer has appended: the inbox is worth reading."""
        self._failure: BaseException | None = None
        self._queue: queue.SimpleQueue[tuple[list[Event], set[tuple[str, str]], threading.Event | None] | None] = (
            queue.SimpleQueue()
        )
        self._is_settled = True
        self._thread = threading.Thread(target=self._write, name="dovetail-journal", daemon=True)
        self._thread.start()

    # -- events ---------------------------------------------------------------------------------------------------

    def add(self, kind: str, path: str = "", **data: Any) -> None:
        """Append an event to the present group."""
        self._n += 1
        now = time.time()
        self._events.append(Event(self._writer, self._n, kind, now, path, data))
        if self._oldest is None:
            self._oldest = time.monotonic()

    def begun(self, path: str, attempt: int, started: float) -> None:
        """An attempt began. An event follows only if it still runs when its group is committed."""
        self._begun[path] = (attempt, started)
        if self._oldest is None:
            self._oldest = time.monotonic()

    def task(self, path: str, state: TaskState, **columns: Any) -> None:
        """A task changed its state; `columns` of TASK_COLUMNS."""
        self._begun.pop(path, None)
        told = self._told.pop(path, None)
        if told is not None:
            columns["was"] = told
        if not state.final:
            self._told[path] = state.value
        self.add(EventKind.TASK, path, state=state.value, **columns)

    def know(self, states: Mapping[str, str]) -> None:
        """Tell what the index shows already, when a run is continued: path → state."""
        self._told.update(states)

    def shows(self, path: str, state: TaskState) -> bool:
        """Whether the index shows a task of a continued run in a state already."""
        return self._told.get(path) == state.value

    def touched(self, keys: Iterable[str], store: str = "") -> None:
        """Keys that must be power-durable before the present group is committed, by default of the run's store."""
        self._touched.update((store, key) for key in keys)

    # -- groups ---------------------------------------------------------------------------------------------------

    def sync_ahead(self) -> None:
        """Begin to make power-durable what was touched so far, while the run goes on; its events follow later."""
        if self._touched:
            self._hand_over([], self._touched, None)
            self._touched = set()

    def next_due(self) -> float | None:
        """When the present group must be handed over, by `time.monotonic`."""
        return None if self._oldest is None else self._oldest + GROUP_SECONDS

    def flush_if_due(self) -> None:
        """Hand the present group over when it is old or large enough."""
        if self._oldest is not None and (
            len(self._events) >= GROUP_EVENTS or time.monotonic() >= self._oldest + GROUP_SECONDS
        ):
            self.flush()

    def flush(self, *, wait: bool = False) -> None:
        """Hand the present group over; with `wait`, until it and all before are power-durable."""
        self.check()
        if self._begun:
            begun, self._begun = self._begun, {}
            for path, (attempt, started) in begun.items():
                self.task(path, TaskState.RUNNING, attempt=attempt, started=started)
        self._oldest = None
        done = threading.Event() if wait else None
        if self._events or self._touched or done:
            self._hand_over(self._events, self._touched, done)
            self._events, self._touched = [], set()
        if done is not None:
            done.wait()
            self.check()
            self._is_settled = True

    def check(self) -> None:
        """Raise what the writing thread met."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Commit what is left and end the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            if not self._is_settled:  # else it has nothing left to do but to end, which need not be waited for
                self._thread.join()

    def _hand_over(self, events: list[Event], touched: set[tuple[str, str]], done: threading.Event | None) -> None:
        self._is_settled = False
        self._queue.put((events, touched, done))

    def _write(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            events, touched, done = item
            waiters = [done] if done else []
            # Whatever came meanwhile goes into the same transaction: one fsync for all of it.
            closing = False
            while not closing and len(events) < GROUP_EVENTS:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    closing = True
                    break
                events = events + more[0]
                touched = touched | more[1]
                if more[2]:
                    waiters.append(more[2])
            if self._failure is None:
                try:
                    self._commit(events, touched)
                except BaseException as error:
                    self._failure = error
            for waiter in waiters:
                waiter.set()
            if closing:
                return

    def _commit(self, events: list[Event], touched: set[tuple[str, str]]) -> None:
        if touched:
            self._sync(touched)
        if events:
            seq = self._provider.append(self._run, events, fence=self._fence)
            if self.last_seq and seq != self.last_seq + len(events):
                self.foreign = True
            self.last_seq = seq
            if self._on_events is not None:
                self._on_events(events)


def compact(value: Any) -> str:
    """JSON text without spaces, for columns that hold JSON."""
    return json.dumps(value, separators=(",", ":"))
