"""Named limits: how many may do something at the same time, or how often, over all runs of a metadata provider.

A limit is a name with slots. A slot that is taken is a lease, renewed and released as any other; the token of a later
one is higher. Of a rate the slots are never given back: each is free again one period after it was taken. Who finds
too few slots is given a turn, a lease too, and goes before everybody who came later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    from dovetail.interfaces.metadata import Holder, Lease

__all__ = ["Limit", "LimitUse", "SlotAnswer", "SupportsLimits", "slot_lease", "turn_lease"]


def slot_lease(limit: str) -> str:
    """Name of the leases of a limit's slots."""
    return f"limit:{limit}"


def turn_lease(limit: str) -> str:
    """Name of the leases of those who wait for a limit."""
    return f"turn:{limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a name allows."""

    name: str
    """Its name."""
    slots: int
    """How many may be taken at the same time, or in a period; 0: none, all wait."""
    period: float | None = None
    """None: a slot is held until it is given back. Otherwise a rate: seconds until a taken slot is free again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """Somebody who holds slots of a limit or waits for some."""

    lease: Lease
    """Of one slot, or of the turn."""
    waits: bool
    """Whether it waits."""
    occupy: int
    """Slots that it has taken, or needs."""
    since: float
    """When it took them or began to wait, seconds since the epoch."""
    note: str
    """What for, such as a task's pathspec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAnswer:
    """What came of asking for slots."""

    slots: tuple[Lease, ...] = ()
    """The leases of the slots; of a rate they need no renewal and no release."""
    turn: Lease | None = None
    """The place among those who wait; to be renewed, and given with the next try. None: the slots are taken."""
    retry_in: float | None = None
    """Seconds after which enough slots are free even if nobody gives one back or renews; None: unknown."""
    rate: bool = False
    """Whether the limit is a rate."""


@runtime_checkable
class SupportsLimits(Protocol):
    """Of a metadata provider with `MetadataCapability.LIMITS`. All of it is atomic, and none of it waits."""

    def set_limit(self, limit: Limit) -> None:
        """Define a limit or change it. Who holds a slot keeps it, also when there are fewer now."""

    def delete_limit(self, name: str) -> None:
        """Forget a limit and those who wait for it.

        Raises:
            NotFoundError: There is none of this name.
        """

    def limits(self) -> list[Limit]:
        """All limits, by name."""
        ...

    def take_slots(
        self,
        name: str,
        *,
        holder: Holder,
        occupy: int = 1,
        ttl: float = 30.0,
        note: str = "",
        turn: Lease | None = None,
    ) -> SlotAnswer:
        """Take slots, all or none; who can't gets a turn, or keeps the one that is given.

        Nobody gets slots while those who came before, together, need more than are left. More slots than the limit
        has are understood as all of them.

        Args:
            name: The limit.
            holder: Who takes them: its death frees slots and turn.
            occupy: How many.
            ttl: Seconds that a renewal lasts; of a rate's slots, its period counts instead.
            note: What for.
            turn: From an earlier answer. One that ran out is replaced by a new one, behind all others.

        Raises:
            NotFoundError: There is no such limit.
        """
        ...

    def may_take(self, name: str, *, occupy: int = 1, turn: Lease | None = None) -> bool:
        """Whether `take_slots` would give slots now, or fail. Only looks, so it costs others nothing."""
        ...

    def limit_mark(self) -> int:
        """Cheaper than looking: another number whenever someone changed limits, slots or turns, and maybe else."""
        ...

    def limit_uses(self, name: str) -> list[LimitUse]:
        """Who holds slots of a limit, oldest first, then who waits, in order."""
        ...
