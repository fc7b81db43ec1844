"""Takes slots of limits for attempts before they are placed, and holds them while they run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import DovetailError, StaleFenceError

if TYPE_CHECKING:
    from dovetail.engine.machine import Attempt
    from dovetail.interfaces.metadata import Lease, MetadataProvider
    from dovetail.plugins.slots import SlotRequest

__all__ = ["Limiter"]

WAITING = 10_000
"""So many attempts wait at the most. Then nothing is taken from the planner until one goes on."""
TOLD_AFTER = 0.5
"""Seconds after which the journal tells that a task waits: most go on before."""


class _Wait:
    """An attempt on its way through its limits, in the order of their names: so nobody waits in a circle."""

    __slots__ = ("at", "attempt", "here", "leases", "needs", "since", "told")

    def __init__(self, attempt: Attempt, needs: list[tuple[str, int]], here: bool) -> None:
        self.attempt = attempt
        self.needs = needs
        self.here = here
        self.at = 0
        self.leases: list[Lease] = []
        self.since = time.monotonic()
        self.told = ""


class Limiter:
    """The limits of one run's tasks. Owned by the driver's thread; never blocks.

    A run stands in the line of a limit once, however many of its tasks wait: it does not push others back.

    Args:
        provider: Where the limits are.
        pathspec: Of the run.
        told: Told that an attempt has waited for a limit for a while.
        note: Told what the user should know.
    """

    def __init__(
        self,
        provider: MetadataProvider,
        pathspec: str,
        *,
        told: Callable[[Attempt, str], None],
        note: Callable[[str], None],
    ) -> None:
        self._provider: Any = provider
        self._pathspec = pathspec
        self._told = told
        self._note = note
        self._lines: dict[str, deque[_Wait]] = {}
        self._requests: dict[str, SlotRequest] = {}
        self._waiting: dict[Attempt, _Wait] = {}
        self._granted: deque[Attempt] = deque()
        self._held: dict[Attempt, _Wait] = {}
        self._names: dict[str, frozenset[str]] = {}  # path → limits of which it has slots
        self._renewed = 0.0
        self._blocked = False

    # -- attempts -------------------------------------------------------------------------------------------------

    def admit(self, attempt: Attempt, limits: Mapping[str, int], *, here: bool = False) -> bool:
        """Whether an attempt may start at once. Otherwise `take` gives it later.

        A task runs on the slots of the task that called it, as far as that has them: it would wait for itself.

        Args:
            attempt: Which.
            limits: Limit → slots.
            here: Whether it runs in the process of its caller, so that it needs no worker.
        """
        if not limits:
            return True
        has = self._covered(attempt.call.path)
        needs = sorted((name, occupy) for name, occupy in limits.items() if name not in has)
        if not needs:
            return True
        wait = self._waiting[attempt] = _Wait(attempt, needs, here)
        self._lines.setdefault(needs[0][0], deque()).append(wait)
        return False

    def _covered(self, path: str) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        while self._names and (path := path.rpartition("/")[0]):
            found |= self._names.get(path, frozenset())
        return found

    def take(self) -> Attempt | None:
        """An attempt that has its slots now."""
        return self._granted.popleft() if self._granted else None

    @property
    def full(self) -> bool:
        """Whether no more should wait."""
        return len(self._waiting) >= WAITING

    def give_back(self, attempt: Attempt) -> None:
        """There is no worker for an attempt: others may have its slots until one ends."""
        wait = self._held[attempt]
        self._release(wait)
        self._waiting[attempt] = wait
        self._lines.setdefault(wait.needs[0][0], deque()).appendleft(wait)
        self._blocked = True
        while self._requests:
            self._requests.popitem()[1].give_up()

    def release(self, attempt: Attempt) -> None:
        """An attempt ended, or will not start. Idempotent."""
        self._blocked = False
        wait = self._held.get(attempt) or self._waiting.pop(attempt, None)
        if wait is None:
            return
        if attempt in self._granted:
            self._granted.remove(attempt)
        elif attempt not in self._held:
            self._lines[wait.needs[wait.at][0]].remove(wait)
        self._release(wait)

    def drop(self, *, called: bool) -> list[Attempt]:
        """Those that wait and need not start any more; `called`: also those that tasks have called."""
        found = [
            wait.attempt
            for wait in self._waiting.values()
            if not wait.here and (called or not wait.attempt.task.is_called)
        ]
        for attempt in found:
            self.release(attempt)
        return found

    def _release(self, wait: _Wait) -> None:
        self._held.pop(wait.attempt, None)
        self._names.pop(wait.attempt.call.path, None)
        for lease in wait.leases:
            self._provider.release(lease)
        wait.leases = []
        wait.at = 0

    # -- slots ----------------------------------------------------------------------------------------------------

    def look(self, room: int) -> None:
        """Take what slots there are.

        Args:
            room: How many attempts could be placed now.
        """
        if not self._waiting or self._blocked:
            return
        for name in list(self._lines):
            line = self._lines[name]
            while line and self._ask(name, line[0], room - len(self._granted)):
                self._advance(line.popleft())
            if not line:
                del self._lines[name]
                if name in self._requests:
                    self._requests.pop(name).give_up()

    def _ask(self, name: str, wait: _Wait, room: int) -> bool:
        """Whether the first of a line has the slots now."""
        from dovetail.plugins.slots import SlotRequest

        occupy = wait.needs[wait.at][1]
        request = self._requests.get(name)
        if room <= 0 and not wait.here:
            # No worker could use a slot: when the turn has come, let the next one go. A worker that is busy may
            # itself be waiting for this limit.
            if request is not None and request.is_due():
                self._requests.pop(name).give_up()
            return False
        if request is not None and request.occupy != occupy:
            self._requests.pop(name).give_up()
            request = None
        if request is None:
            request = self._requests[name] = SlotRequest(self._provider, name, occupy, "")
        request.note = f"{self._pathspec}/{wait.attempt.call.path}"
        leases = request.attempt()
        if leases is None:
            return False
        del self._requests[name]
        wait.leases += leases
        if not self._held:
            self._renewed = time.monotonic()
        return True

    def _advance(self, wait: _Wait) -> None:
        wait.at += 1
        if wait.at < len(wait.needs):
            self._lines.setdefault(wait.needs[wait.at][0], deque()).append(wait)
            return
        del self._waiting[wait.attempt]
        self._held[wait.attempt] = wait
        self._names[wait.attempt.call.path] = frozenset(name for name, _ in wait.needs)
        self._granted.append(wait.attempt)

    # -- time -----------------------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When `look` or `renew_if_due` must be called, by `time.monotonic`."""
        if not self._waiting and not self._held:
            return None
        from dovetail.plugins.slots import LEASE_SECONDS

        dues = [time.monotonic() + request.pause() for request in self._requests.values()]
        return min([*dues, self._renewed + LEASE_SECONDS / 4])

    def renew_if_due(self) -> None:
        """Renew the slots when their time has come."""
        if not self._waiting and not self._held:
            return
        from dovetail.plugins.slots import LEASE_SECONDS

        now = time.monotonic()
        if now < self._renewed + LEASE_SECONDS / 4:
            return
        self._renewed = now
        for wait in [*self._held.values(), *self._waiting.values()]:
            for lease in list(wait.leases):
                try:
                    wait.leases[wait.leases.index(lease)] = self._provider.renew(lease)
                except StaleFenceError:
                    wait.leases.remove(lease)
                    self._note(f"{wait.attempt.call.path} has lost its slot of {lease.name}: others may run beside it")
                except DovetailError:
                    pass  # the next one is early enough

    def tick(self) -> None:
        """Tell who has waited for a while."""
        now = time.monotonic()
        for wait in self._waiting.values():
            name = wait.needs[wait.at][0]
            if wait.told != name and now - wait.since >= TOLD_AFTER:
                wait.told = name
                self._told(wait.attempt, name)

    def close(self) -> None:
        """Give everything back."""
        for request in self._requests.values():
            request.give_up()
        self._requests.clear()
        for wait in [*self._held.values(), *self._waiting.values()]:
            self._release(wait)
