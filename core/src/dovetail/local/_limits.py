"""Limits in the database. Their tables are made with the first limit: most databases never need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import NotFoundError, UsageError
from dovetail.interfaces.limits import Limit, LimitUse, SlotAnswer, slot_lease, turn_lease
from dovetail.interfaces.metadata import Holder, Lease
from dovetail.local import _leases
from dovetail.plugins.holder import is_known_dead

if TYPE_CHECKING:
    import sqlite3

__all__ = ["check_limit", "delete", "listed", "may_take", "put", "take", "uses"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS limits (
        name TEXT PRIMARY KEY,
        slots INTEGER NOT NULL,
        period REAL                    -- of a rate
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS limit_use (
        token INTEGER PRIMARY KEY,     -- of the lease: its slot or turn
        occupy INTEGER NOT NULL,
        since REAL NOT NULL,
        note TEXT NOT NULL
    )""",
    # A use goes with its lease, whoever removes that.
    """CREATE TRIGGER IF NOT EXISTS limit_use_ends AFTER DELETE ON lease
        BEGIN DELETE FROM limit_use WHERE token = OLD.token; END""",
)
_NOBODY = Holder(host="", boot="", pid=0, started="")
"""Holds the slots of a rate: they outlive who took them."""

Clock = Callable[[], float]


def check_limit(limit: Limit) -> None:
    """Raise when it makes no sense."""
    if not limit.name or limit.slots < 0 or (limit.period is not None and limit.period <= 0):
        raise UsageError(f"{limit} is no limit", hint="It needs a name, 0 or more slots, and a period above 0 if any.")


def put(connection: sqlite3.Connection, limit: Limit) -> None:
    """Define or change a limit, inside the caller's write transaction."""
    check_limit(limit)
    for table in _TABLES:
        connection.execute(table)
    before = _find(connection, limit.name)
    if before is not None and (before.period is None) != (limit.period is None):
        # A slot of a rate is nobody's to give back, and one that is held does not run out.
        connection.execute("DELETE FROM lease WHERE name = ?", (slot_lease(limit.name),))
    connection.execute(
        "INSERT OR REPLACE INTO limits (name, slots, period) VALUES (?, ?, ?)",
        (limit.name, limit.slots, limit.period),
    )


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Forget a limit, inside the caller's write transaction."""
    _required(connection, name)
    connection.execute("DELETE FROM limits WHERE name = ?", (name,))
    connection.execute("DELETE FROM lease WHERE name IN (?, ?)", (slot_lease(name), turn_lease(name)))


def listed(connection: sqlite3.Connection) -> list[Limit]:
    """All limits."""
    if not _has_tables(connection):
        return []
    rows = connection.execute("SELECT name, slots, period FROM limits ORDER BY name")
    return [Limit(name=name, slots=slots, period=period) for name, slots, period in rows]


def take(
    connection: sqlite3.Connection,
    name: str,
    *,
    holder: Holder,
    occupy: int,
    ttl: float,
    note: str,
    turn: Lease | None,
    clock: Clock,
) -> SlotAnswer:
    """Take slots or a turn, inside the caller's write transaction."""
    if occupy < 1 or ttl <= 0:
        raise UsageError(f"{occupy} slots for {ttl} s can't be held", hint="Give both more than 0.")
    limit = _required(connection, name)
    now = clock()
    slots, turns = slot_lease(name), turn_lease(name)
    rate = limit.period is not None
    _remove_ended(connection, slots, turns, now, rate)
    if turn is not None and _place(connection, turn) is None:
        turn = None
    need = min(occupy, max(limit.slots, 1))
    free = limit.slots - _count(connection, slots)
    ahead = _needed_before(connection, turns, turn, now, enough=free - need)
    if free - ahead < need:
        if turn is None:
            turn = _add(connection, turns, None, holder, ttl, note, need, now)
        rest = need + ahead - free
        row = connection.execute(
            "SELECT expires FROM lease WHERE name = ? ORDER BY expires LIMIT 1 OFFSET ?", (slots, rest - 1)
        ).fetchone()
        return SlotAnswer(turn=turn, retry_in=None if row is None else row[0] - now, rate=rate)
    if turn is not None:
        _leases.release(connection, turn)
    if limit.period is not None:
        holder, ttl = _NOBODY, limit.period
    used = {slot for (slot,) in connection.execute("SELECT slot FROM lease WHERE name = ?", (slots,))}
    chosen = [slot for slot in range(limit.slots) if slot not in used][:need]
    return SlotAnswer(
        slots=tuple(_add(connection, slots, slot, holder, ttl, note, need, now) for slot in chosen), rate=rate
    )


def may_take(connection: sqlite3.Connection, name: str, *, occupy: int, turn: Lease | None, clock: Clock) -> bool:
    """Whether `take` would give slots or fail."""
    limit = _find(connection, name)
    if limit is None or (turn is not None and _place(connection, turn) is None):
        return True
    now, slots = clock(), slot_lease(name)
    need = min(occupy, max(limit.slots, 1))
    if limit.period is None:
        held = sum(_leases.lives(lease, now) for lease in _leases.rows(connection, "name = ?", (slots,)))
    else:
        found = connection.execute("SELECT count(*) FROM lease WHERE name = ? AND expires > ?", (slots, now))
        held = found.fetchone()[0]
    free = limit.slots - held
    if free < need:
        return False
    return free - _needed_before(connection, turn_lease(name), turn, now, enough=free - need) >= need


def uses(connection: sqlite3.Connection, name: str, *, clock: Clock) -> list[LimitUse]:
    """Who holds slots and who waits."""
    _required(connection, name)
    now = clock()
    found = []
    for leased in (slot_lease(name), turn_lease(name)):
        live = [lease for lease in _leases.rows(connection, "name = ?", (leased,)) if _leases.lives(lease, now)]
        for lease in sorted(live, key=lambda lease: lease.token):
            row = connection.execute("SELECT occupy, since, note FROM limit_use WHERE token = ?", (lease.token,))
            occupy, since, note = row.fetchone()
            found.append(LimitUse(lease=lease, waits=leased == turn_lease(name), occupy=occupy, since=since, note=note))
    return found


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'limits'").fetchone() is not None


def _find(connection: sqlite3.Connection, name: str) -> Limit | None:
    if not _has_tables(connection):
        return None
    row = connection.execute("SELECT slots, period FROM limits WHERE name = ?", (name,)).fetchone()
    return None if row is None else Limit(name=name, slots=row[0], period=row[1])


def _required(connection: sqlite3.Connection, name: str) -> Limit:
    limit = _find(connection, name)
    if limit is None:
        raise NotFoundError(f"there is no limit {name!r}", hint=f"Define it with: dovetail limits set {name} 1")
    return limit


def _remove_ended(connection: sqlite3.Connection, slots: str, turns: str, now: float, rate: bool) -> None:
    """Remove slots whose time or holder has ended, and turns that ran out: their tokens are stale from now on."""
    connection.execute("DELETE FROM lease WHERE name IN (?, ?) AND expires <= ?", (slots, turns, now))
    if not rate:
        for lease in _leases.rows(connection, "name = ?", (slots,)):
            if is_known_dead(lease.holder):
                _leases.release(connection, lease)


def _count(connection: sqlite3.Connection, name: str) -> int:
    count: int = connection.execute("SELECT count(*) FROM lease WHERE name = ?", (name,)).fetchone()[0]
    return count


def _place(connection: sqlite3.Connection, turn: Lease) -> int | None:
    row = connection.execute(
        "SELECT token FROM lease WHERE name = ? AND slot = ? AND token = ?", (turn.name, turn.slot, turn.token)
    ).fetchone()
    return None if row is None else int(row[0])


def _needed_before(connection: sqlite3.Connection, turns: str, turn: Lease | None, now: float, *, enough: int) -> int:
    """Slots that those need who wait and came before; counted no further than over `enough`."""
    if enough < 0:
        return 0
    waiting = _leases.rows(connection, "name = ?", (turns,))  # by slot, which is the token: by age
    needed = 0
    for lease in waiting:
        if turn is not None and lease.token >= turn.token:
            break
        if not _leases.lives(lease, now):
            continue
        row = connection.execute("SELECT occupy FROM limit_use WHERE token = ?", (lease.token,)).fetchone()
        needed += row[0]
        if needed > enough:
            break
    return needed


def _add(
    connection: sqlite3.Connection,
    name: str,
    slot: int | None,
    holder: Holder,
    ttl: float,
    note: str,
    occupy: int,
    now: float,
) -> Lease:
    lease = _leases.put(connection, name, slot=slot, holder=holder, ttl=ttl, now=now)
    connection.execute("INSERT INTO limit_use VALUES (?, ?, ?, ?)", (lease.token, occupy, now, note))
    return lease
