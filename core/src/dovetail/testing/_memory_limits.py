"""Limits of `MemoryMetadata`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.interfaces.errors import NotFoundError, UsageError
from dovetail.interfaces.limits import Limit, LimitUse, SlotAnswer, slot_lease, turn_lease
from dovetail.interfaces.metadata import Holder, Lease
from dovetail.plugins.holder import is_known_dead

if TYPE_CHECKING:
    from dovetail.testing.memory_metadata import _Contents

__all__ = ["MemoryLimits"]

_NOBODY = Holder(host="", boot="", pid=0, started="")


class MemoryLimits:
    """A `SupportsLimits` over the shared contents of a provider."""

    if TYPE_CHECKING:
        _contents: _Contents

        def leases(self, prefix: str = "") -> list[Lease]: ...

    def set_limit(self, limit: Limit) -> None:
        if not limit.name or limit.slots < 0 or (limit.period is not None and limit.period <= 0):
            raise UsageError(f"{limit} is no limit")
        contents = self._contents
        with contents.changed:
            before = contents.limits.get(limit.name)
            if before is not None and (before.period is None) != (limit.period is None):
                self._forget(slot_lease(limit.name))
            contents.limits[limit.name] = limit
            contents.mark += 1

    def delete_limit(self, name: str) -> None:
        contents = self._contents
        with contents.changed:
            self._limit(name)
            del contents.limits[name]
            self._forget(slot_lease(name))
            self._forget(turn_lease(name))
            contents.mark += 1

    def limits(self) -> list[Limit]:
        with self._contents.changed:
            return [limit for _, limit in sorted(self._contents.limits.items())]

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
        if occupy < 1 or ttl <= 0:
            raise UsageError(f"{occupy} slots for {ttl} s can't be held")
        contents = self._contents
        with contents.changed:
            limit = self._limit(name)
            now = contents.clock()
            slots, turns = slot_lease(name), turn_lease(name)
            self._remove_ended(slots, now)
            self._remove_ended(turns, now)
            if turn is not None and not self._has(turn):
                turn = None
            need = min(occupy, max(limit.slots, 1))
            rate = limit.period is not None
            missing = self._missing(limit, occupy, turn)
            if missing > 0:
                if turn is None:
                    turn = self._add(turns, None, holder, ttl, note, need)
                ends = sorted(lease.expires for lease in self._of(slots))
                retry_in = ends[missing - 1] - now if missing <= len(ends) else None
                return SlotAnswer(turn=turn, retry_in=retry_in, rate=rate)
            if turn is not None:
                del contents.leases[turn.name, turn.slot]
                contents.mark += 1
            if limit.period is not None:
                holder, ttl = _NOBODY, limit.period
            used = {lease.slot for lease in self._of(slots)}
            chosen = [slot for slot in range(limit.slots) if slot not in used][:need]
            return SlotAnswer(
                slots=tuple(self._add(slots, slot, holder, ttl, note, need) for slot in chosen), rate=rate
            )

    def may_take(self, name: str, *, occupy: int = 1, turn: Lease | None = None) -> bool:
        with self._contents.changed:
            limit = self._contents.limits.get(name)
            if limit is None or (turn is not None and not self._has(turn)):
                return True
            return self._missing(limit, occupy, turn) <= 0

    def limit_mark(self) -> int:
        return self._contents.mark

    def limit_uses(self, name: str) -> list[LimitUse]:
        with self._contents.changed:
            self._limit(name)
            return [
                LimitUse(
                    lease=lease,
                    waits=leased == turn_lease(name),
                    occupy=self._contents.uses[lease.token][0],
                    since=self._contents.uses[lease.token][1],
                    note=self._contents.uses[lease.token][2],
                )
                for leased in (slot_lease(name), turn_lease(name))
                for lease in sorted(self._live(leased), key=lambda lease: lease.token)
            ]

    # -- inside, with the contents locked -------------------------------------------------------------------------

    def _limit(self, name: str) -> Limit:
        limit = self._contents.limits.get(name)
        if limit is None:
            raise NotFoundError(f"there is no limit {name!r}", hint=f"Define it with: dovetail limits set {name} 1")
        return limit

    def _missing(self, limit: Limit, occupy: int, turn: Lease | None) -> int:
        """Slots that would have to come free first."""
        need = min(occupy, max(limit.slots, 1))
        free = limit.slots - len(self._live(slot_lease(limit.name)))
        if free < need:
            return need - free
        before = 0
        for lease in sorted(self._live(turn_lease(limit.name)), key=lambda lease: lease.token):
            if (turn is not None and lease.token >= turn.token) or before > free - need:
                break
            before += self._contents.uses[lease.token][0]
        return need + before - free

    def _of(self, leased: str) -> list[Lease]:
        return [lease for (name, _), lease in self._contents.leases.items() if name == leased]

    def _live(self, leased: str) -> list[Lease]:
        return [lease for lease in self.leases(leased) if lease.name == leased]

    def _has(self, turn: Lease) -> bool:
        found = self._contents.leases.get((turn.name, turn.slot))
        return found is not None and found.token == turn.token

    def _remove_ended(self, leased: str, now: float) -> None:
        slots = leased.startswith("limit:")
        for lease in self._of(leased):
            if lease.expires <= now or (slots and is_known_dead(lease.holder)):
                del self._contents.leases[lease.name, lease.slot]

    def _forget(self, leased: str) -> None:
        for lease in self._of(leased):
            del self._contents.leases[lease.name, lease.slot]

    def _add(self, name: str, slot: int | None, holder: Holder, ttl: float, note: str, occupy: int) -> Lease:
        contents = self._contents
        now = contents.clock()
        contents.tokens += 1
        contents.mark += 1
        token = contents.tokens
        lease = Lease(
            name=name,
            slot=token if slot is None else slot,
            token=token,
            ttl=ttl,
            expires=now + ttl,
            holder=holder,
        )
        contents.leases[name, lease.slot] = lease
        contents.uses[token] = (occupy, now, note)
        return lease
