"""Waiting for slots of limits in this process, and holding them: a thread renews what is held."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from dovetail.interfaces.errors import (
    BackendTimeoutError,
    DovetailError,
    StaleFenceError,
    UnsupportedOperationError,
    UsageError,
)
from dovetail.interfaces.limits import SupportsLimits
from dovetail.interfaces.metadata import Lease, MetadataCapability
from dovetail.plugins.slots import LEASE_SECONDS, SlotRequest

__all__ = ["HeldSlots", "Wish", "limiting", "provider_of"]

_opened: dict[tuple[int, str, str], Any] = {}
"""(process, home, pinned choice) → provider. A forked process leaves what its parent opened alone."""
_opening = threading.Lock()


def limiting(provider: Any) -> Any:
    """A provider, if it has limits.

    Raises:
        UnsupportedOperationError: It has none.
    """
    if MetadataCapability.LIMITS not in provider.capabilities or not isinstance(provider, SupportsLimits):
        raise UnsupportedOperationError(
            f"{provider!r} has no limits", hint="Choose another metadata provider, such as --metadata sqlite."
        )
    return provider


def provider_of(pinned: Mapping[str, Any], home: str) -> Any:
    """The metadata provider of a run; outside of one, that of the settings.

    Args:
        pinned: As a run pins it; empty: outside of a run.
        home: Folder of local state of the run.
    """
    if not pinned:
        from dovetail.client.connection import default_connection

        return limiting(default_connection().provider)
    key = (os.getpid(), home, repr(pinned))
    with _opening:
        found = _opened.get(key)
        if found is None:
            from dovetail.plugins.opening import open_backend

            found = _opened[key] = limiting(open_backend("metadata", pinned, home=Path(home)))
        return found


class Wish:
    """Slots of some limits that are wanted.

    Args:
        provider: Where the limits are.
        limits: Their names.
        occupy: Slots of each.
        timeout: Seconds to wait at most.
        note: What for; empty: the program.
        ttl: Seconds that a renewal lasts.
    """

    def __init__(
        self,
        provider: Any,
        limits: tuple[str, ...],
        occupy: int = 1,
        timeout: float | None = None,
        *,
        note: str = "",
        ttl: float = LEASE_SECONDS,
    ) -> None:
        import sys

        self._provider = provider
        self._limits = sorted(set(limits))  # all in one order, so that nobody waits in a circle
        self._occupy = occupy
        self._timeout = timeout
        self._note = note or os.path.basename(sys.argv[0]) or "python"
        self._ttl = ttl

    def refuse_held(self) -> None:
        """Raise for a limit that is no rate."""
        held = {limit.name for limit in self._provider.limits() if limit.period is None}
        for name in self._limits:
            if name in held:
                raise UsageError(
                    f"limit {name} is no rate: its slots are held", hint=f'Write: with concurrency("{name}"): ...'
                )

    def wait(self) -> HeldSlots:
        """Wait in this thread."""
        steps = self._steps()
        while True:
            try:
                time.sleep(next(steps))
            except StopIteration as done:
                return HeldSlots(self._provider, done.value)
            except BaseException:
                steps.close()
                raise

    async def wait_async(self) -> HeldSlots:
        """Wait as a coroutine."""
        import asyncio

        steps = self._steps()
        while True:
            try:
                await asyncio.sleep(next(steps))
            except StopIteration as done:
                return HeldSlots(self._provider, done.value)
            except BaseException:
                steps.close()
                raise

    def _steps(self) -> Generator[float, None, list[Lease]]:
        """Yields how long to sleep before the next try; returns the leases."""
        until = None if self._timeout is None else time.monotonic() + self._timeout
        leases: list[Lease] = []
        try:
            for name in self._limits:
                leases += yield from self._one(name, until, leases)
        except BaseException:
            for lease in leases:
                self._provider.release(lease)
            raise
        return leases

    def _one(self, name: str, until: float | None, before: list[Lease]) -> Generator[float, None, tuple[Lease, ...]]:
        request = SlotRequest(self._provider, name, self._occupy, self._note, ttl=self._ttl)
        renewed = time.monotonic()
        try:
            while (taken := request.attempt()) is None:
                now = time.monotonic()
                if until is not None and now >= until:
                    raise BackendTimeoutError(
                        f"limit {name} had no room for {self._timeout:g} s",
                        hint=f"Who holds it: dovetail limits show {name}",
                    )
                if before and now > renewed + self._ttl / 4:
                    before[:] = [self._provider.renew(lease) for lease in before]
                    renewed = now
                yield request.pause() if until is None else min(request.pause(), until - now)
        except BaseException:
            request.give_up()
            raise
        return taken


class HeldSlots:
    """Slots that this process holds, renewed until they are released."""

    def __init__(self, provider: Any, leases: list[Lease]) -> None:
        self._provider = provider
        self._leases = leases
        self._pid = os.getpid()
        self._renewed = time.monotonic()
        self._lost: StaleFenceError | None = None
        if leases:
            _keeper.add(self)

    @property
    def token(self) -> int:
        """Fencing token, higher than that of everybody who held a slot before: what gets it sent with each write can
        refuse one that comes late. 0 of a rate."""
        return max((lease.token for lease in self._leases), default=0)

    @property
    def due(self) -> float:
        """When they should be renewed, by `time.monotonic`."""
        return self._renewed + self._leases[0].ttl / 4

    def check(self) -> None:
        """Renew now.

        Raises:
            StaleFenceError: The slots went to others.
        """
        with _keeper.changed:
            self.renew()
        if self._lost is not None:
            raise self._lost

    def renew(self) -> None:
        """Renew, with the keeper's lock held."""
        try:
            self._leases = [self._provider.renew(lease) for lease in self._leases]
        except StaleFenceError as error:
            self._lost = error
        except DovetailError:
            pass  # the next one is early enough
        self._renewed = time.monotonic()

    def release(self, *, check: bool = False) -> None:
        """Give the slots back. A process that was forked meanwhile holds none.

        Args:
            check: Whether to raise if they had been lost.
        """
        if self._pid != os.getpid() or not self._leases:
            return
        with _keeper.changed:
            _keeper.held.discard(self)
            if check and time.monotonic() > self._renewed + self._leases[0].ttl:
                self.renew()
            leases, self._leases = self._leases, []
        for lease in leases:
            self._provider.release(lease)
        if check and self._lost is not None:
            raise self._lost


class _Keeper:
    """Renews what this process holds, on a thread that ends when nothing is held."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held: set[HeldSlots] = set()
        self._thread: threading.Thread | None = None

    def add(self, slots: HeldSlots) -> None:
        with self.changed:
            self.held.add(slots)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dovetail-slots", daemon=True)
                self._thread.start()
            else:
                self.changed.notify()

    def _run(self) -> None:
        with self.changed:
            idle = False
            while self.held or not idle:
                idle = not self.held
                due = min((slots.due for slots in self.held), default=time.monotonic() + 1.0)
                self.changed.wait(max(0.0, due - time.monotonic()))
                now = time.monotonic()
                for slots in self.held:
                    if slots.due <= now:
                        slots.renew()
            self._thread = None


_keeper = _Keeper()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keeper.__init__)  # type: ignore[misc]  # its thread and lock stayed behind
