"""What ends or holds a run from outside: cancel, interrupt, pause, and having nothing to do but to wait."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.interfaces.events import UNPAUSED, EventKind
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.engine.bookkeeper import Bookkeeper
    from dovetail.engine.calling import CallDesk
    from dovetail.engine.dispatcher import Dispatcher
    from dovetail.engine.limiting import Limiter
    from dovetail.engine.machine import RunMachine
    from dovetail.engine.placing import Placer
    from dovetail.engine.waits import Waits
    from dovetail.interfaces.events import Event
    from dovetail.planning.dynamic_planner import DynamicPlanner

__all__ = ["RunControl"]


class RunControl:
    """Stops, holds and pauses one run. Owned by the driver's thread.

    Args:
        machine: Says what goes on.
        planner: The machine's.
        placer: Starts what can start.
        desk: Takes the calls of tasks.
        dispatcher: Ends what runs.
        limiter: Holds the limits of tasks.
        waits: Tasks that wait for somebody outside of the run.
        books: Keeps what the run leaves behind.
        pause_after: Seconds that input is waited for with nothing else to do, before the run is paused.
    """

    def __init__(
        self,
        *,
        machine: RunMachine,
        planner: DynamicPlanner,
        placer: Placer,
        desk: CallDesk,
        dispatcher: Dispatcher,
        limiter: Limiter,
        waits: Waits,
        books: Bookkeeper,
        pause_after: float,
    ) -> None:
        self._machine = machine
        self._planner = planner
        self._placer = placer
        self._desk = desk
        self._dispatcher = dispatcher
        self._limiter = limiter
        self._waits = waits
        self._books = books
        self._pause_after = pause_after
        self._idle_since: float | None = None
        self._interrupts = 0

    def interrupted(self) -> None:
        """The user does not want the run to go on; the second time, what runs gets no time to end."""
        self._interrupts += 1

    def stop_if_interrupted(self) -> None:
        """Do what was asked by a signal."""
        if self._interrupts:
            self.stop(RunState.INTERRUPTED, "interrupted")

    def take_in(self, events: Iterable[Event]) -> None:
        """Do what others ask for. A run that is being ended takes in nothing: who asked sees it end."""
        holds = self._machine.holds
        for event in events:
            if event.kind == EventKind.CANCEL:
                self.stop(RunState.CANCELLED, event.data.get("reason") or "cancelled on request")
            elif event.kind == EventKind.SIGNAL:
                self._waits.received(event)
            else:
                holds = event.kind == EventKind.PAUSE
                if not holds and self._machine.ended_by is None:
                    self._books.note(UNPAUSED, level="info")
        if holds != self._machine.holds and self._machine.ended_by is None:
            if holds:
                self._placer.put_back()
                for attempt in self._limiter.drop(called=True):
                    self._machine.put_back(attempt)
                self._books.note("pausing on request: what runs goes on to its end, nothing new begins", level="info")
            self._machine.hold(holds)
            self._planner.hold(holds)
            self._desk.hold(holds)

    def stop(self, state: RunState, why: str) -> None:
        """End the run, and what runs of it."""
        if self._machine.ended_by is None:
            self._placer.put_back()
            self._planner.drop_calls(hooks=state is not RunState.CANCELLED)
            self._machine.stop(state)
            self._desk.ended_by = why
            self._desk.stop()
            if state is not RunState.PAUSED:
                self._books.note(f"{why}: ending the tasks that run" if self._machine.running else why)
            self._dispatcher.kill_all(why)
        elif self._interrupts > 1:
            self._dispatcher.kill_all(why, grace=0.0)

    def next_due(self) -> float | None:
        """When the run shall be paused, by `time.monotonic`."""
        return None if self._idle_since is None else self._idle_since + self._pause_after

    def pause_if_idle(self) -> None:
        """Pause a run that is held or waits for input, once nothing of it goes on by itself."""
        machine = self._machine
        if not (machine.holds or self._waits) or machine.ended_by is not None or machine.finished:
            self._idle_since = None
            return
        taken = self._placer.is_full  # there was no room for it, and none comes from what waits
        if machine.next_due() is not None or self._desk.busy() > taken:
            self._idle_since = None
            return
        now = time.monotonic()
        if machine.root_cause is not None and machine.on_failure != "continue":
            self.stop(RunState.FAILED, "another task failed")
            return
        if self._idle_since is None:
            self._idle_since = now
        if machine.holds or now >= self._idle_since + self._pause_after:
            self.stop(RunState.PAUSED, "paused")
