"""Asking for slots of a limit until they are there. Whoever waits (a thread, an event loop, a driver) decides how."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import NotFoundError, StaleFenceError
from dovetail.plugins.holder import current_holder

if TYPE_CHECKING:
    from dovetail.interfaces.limits import SupportsLimits
    from dovetail.interfaces.metadata import Lease, MetadataProvider

    class LimitingProvider(MetadataProvider, SupportsLimits):
        """A metadata provider with limits."""


__all__ = ["LEASE_SECONDS", "LOOK_SECONDS", "MARK_SECONDS", "SlotRequest"]

LEASE_SECONDS = 30.0
"""For how long slots and turns are held without a renewal. A holder of this machine that dies frees them at once."""
MARK_SECONDS = 0.025
"""How often it is asked, without reading a table, whether anything changed."""
LOOK_SECONDS = 0.25
"""How often it is looked who still lives: nobody tells of the death of a holder."""


_LATER = 0.001
"""Seconds added to the moment at which a slot runs out: one look too early would cost a second one."""


class SlotRequest:
    """One wish for slots of a limit, from the first try until they are taken or the wish is given up.

    Args:
        provider: Where the limit is.
        limit: Its name.
        occupy: How many slots.
        note: What for.
        ttl: Seconds that a renewal lasts.
    """

    __slots__ = ("_looked", "_mark", "_provider", "_renewed", "_retry_at", "_ttl", "_turn", "limit", "note", "occupy")

    def __init__(
        self, provider: LimitingProvider, limit: str, occupy: int, note: str, *, ttl: float = LEASE_SECONDS
    ) -> None:
        self._provider = provider
        self.limit = limit
        """Name of the limit."""
        self.occupy = occupy
        """How many slots."""
        self.note = note
        """What for."""
        self._ttl = ttl
        self._turn: Lease | None = None
        self._mark = -1
        self._looked = 0.0
        self._renewed = 0.0
        self._retry_at: float | None = None

    def attempt(self) -> tuple[Lease, ...] | None:
        """The leases that must be renewed and released (none of a rate), or None while there are too few slots.

        Cheap when nothing has changed, so it may be called every `MARK_SECONDS`.

        Raises:
            NotFoundError: There is no such limit. One that is removed while it is waited for holds nobody up.
        """
        if self._turn is not None and not self.is_due():
            return None
        try:
            return self._take()
        except NotFoundError:
            if self._turn is None:
                raise
            self._turn = None
            return ()

    def _take(self) -> tuple[Lease, ...] | None:
        # Before the try: what changes from now on is worth another one.
        self._mark = self._provider.limit_mark()
        answer = self._provider.take_slots(
            self.limit,
            holder=current_holder(),
            occupy=self.occupy,
            ttl=self._ttl,
            note=self.note,
            turn=self._turn,
        )
        now = time.monotonic()
        if answer.turn is None:
            self._turn = None
            return () if answer.rate else answer.slots
        if self._turn is None or answer.turn.token != self._turn.token:
            self._turn, self._renewed = answer.turn, now
        self._looked = now
        self._retry_at = None if answer.retry_in is None else now + answer.retry_in + _LATER
        return None

    def is_due(self) -> bool:
        """Of one that waits: whether the slots seem to be there. Takes nothing, and costs others nothing."""
        now = time.monotonic()
        self._renew(now)
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
        else:
            mark = self._provider.limit_mark()
            if mark == self._mark and now < self._looked + LOOK_SECONDS:
                return False
            self._mark = mark
        self._looked = now
        return self._provider.may_take(self.limit, occupy=self.occupy, turn=self._turn)

    def _renew(self, now: float) -> None:
        if self._turn is None or now < self._renewed + self._ttl / 4:
            return
        with suppress(StaleFenceError):  # the next try gives a new turn
            self._turn = self._provider.renew(self._turn)
        self._renewed = now

    def pause(self) -> float:
        """Seconds until another attempt may make sense."""
        if self._retry_at is None:
            return MARK_SECONDS
        return max(0.0, min(MARK_SECONDS, self._retry_at - time.monotonic()))

    def give_up(self) -> None:
        """Stop waiting: those behind move up."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._provider.release(turn)
