"""Leases in the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import StaleFenceError, UsageError
from dovetail.interfaces.metadata import Holder, Lease
from dovetail.plugins.holder import is_known_dead

if TYPE_CHECKING:
    import sqlite3

__all__ = ["held", "lives", "put", "release", "renew", "rows", "take"]

_COLUMNS = "name, slot, token, ttl, expires, host, boot, pid, started"


def take(
    connection: sqlite3.Connection, name: str, *, holder: Holder, slots: int, ttl: float, clock: Callable[[], float]
) -> Lease | None:
    """Give a slot, inside the caller's write transaction: of any number of processes one has it at a time."""
    if slots < 1 or ttl <= 0:
        raise UsageError(f"a lease of {slots} slots for {ttl} s can't be held", hint="Give both more than 0.")
    now = clock()
    taken = {lease.slot for lease in rows(connection, "name = ?", (name,)) if lives(lease, now)}
    if len(taken) >= slots:
        return None
    slot = next(slot for slot in range(slots) if slot not in taken)
    return put(connection, name, slot=slot, holder=holder, ttl=ttl, now=now)


def put(
    connection: sqlite3.Connection, name: str, *, slot: int | None, holder: Holder, ttl: float, now: float
) -> Lease:
    """Write a lease with the next token, in place of an ended one of the slot; None: a slot of the token's number."""
    connection.execute("UPDATE token SET last = last + 1")
    token: int = connection.execute("SELECT last FROM token").fetchone()[0]
    slot = token if slot is None else slot
    lease = Lease(name=name, slot=slot, token=token, ttl=ttl, expires=now + ttl, holder=holder)
    connection.execute(
        f"INSERT OR REPLACE INTO lease ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (name, slot, token, ttl, lease.expires, holder.host, holder.boot, holder.pid, holder.started),
    )
    return lease


def renew(connection: sqlite3.Connection, lease: Lease, *, clock: Callable[[], float]) -> Lease:
    """Extend a lease, inside the caller's write transaction."""
    expires = clock() + lease.ttl
    changed = connection.execute(
        "UPDATE lease SET expires = ?, ttl = ? WHERE name = ? AND slot = ? AND token = ?",
        (expires, lease.ttl, lease.name, lease.slot, lease.token),
    ).rowcount
    if not changed:
        raise StaleFenceError(
            f"the lease of {lease.name} was not renewed within {lease.ttl:g} s and is no longer held",
            hint="Another process may have gone on with it; this one must stop.",
        )
    return Lease(
        name=lease.name, slot=lease.slot, token=lease.token, ttl=lease.ttl, expires=expires, holder=lease.holder
    )


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Give a slot back, inside the caller's write transaction."""
    connection.execute(
        "DELETE FROM lease WHERE name = ? AND slot = ? AND token = ?", (lease.name, lease.slot, lease.token)
    )


def held(connection: sqlite3.Connection, prefix: str, *, clock: Callable[[], float]) -> list[Lease]:
    """Leases that are held now."""
    now = clock()
    found = rows(connection, "name >= ? AND name < ?", (prefix, prefix + "\U0010ffff"))
    return [lease for lease in found if lives(lease, now)]


def lives(lease: Lease, now: float) -> bool:
    """Whether a lease is held: neither over nor its holder known to be dead."""
    return lease.expires > now and not is_known_dead(lease.holder)


def rows(connection: sqlite3.Connection, where: str, values: tuple[str, ...]) -> list[Lease]:
    """Leases as they are written, by name and slot, ended ones too."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM lease WHERE {where} ORDER BY name, slot", values)
    return [
        Lease(
            name=name,
            slot=slot,
            token=token,
            ttl=ttl,
            expires=expires,
            holder=Holder(host=host, boot=boot, pid=pid, started=started),
        )
        for name, slot, token, ttl, expires, host, boot, pid, started in found
    ]
