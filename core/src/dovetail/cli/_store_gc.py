"""`dovetail store gc`: delete what nothing refers to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import open_client
from dovetail.interfaces.errors import DovetailError, UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.connection import Connection

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Collect."""
    from dovetail.artifacts.store import GRACE_SECONDS
    from dovetail.artifacts.upkeep.collecting import collect
    from dovetail.client.homes import homes_of

    grace = GRACE_SECONDS if args.grace is None else _seconds(args.grace)
    with open_client(args) as client:
        connection = client._connection
        if grace < GRACE_SECONDS and not args.dry_run:
            _check_idle(connection)
        uuid, store = connection.default_store()
        homes = homes_of(connection, uuid, store, without=args.without)
        with output.Progress("collecting", unit="objects", quiet=args.json) as progress:
            done = collect(store, homes=homes, grace=grace, dry_run=args.dry_run, progress=progress.advance)
        if args.json:
            output.emit_json({"store": store.url, "dry_run": args.dry_run, "grace": grace, **done.to_plain()})
            return 0
        verb = "would be deleted" if args.dry_run else "deleted"
        rows = [
            ("kept", done.kept, done.kept_bytes),
            ("younger than the grace", done.young, done.young_bytes),
            (verb, done.deleted, done.deleted_bytes),
        ]
        output.table(
            ["objects", "number", "size"],
            [(name, f"{count:,}", output.human_size(size)) for name, count, size in rows],
            right=["number", "size"],
        )
    return 0


def _seconds(text: str) -> float:
    from dovetail.interfaces.caching import seconds_of

    seconds = seconds_of(text)
    if seconds is None or not seconds >= 0:
        raise UsageError(f"{text!r} is no time", hint="Write 24h, 30m or 0s.")
    return seconds


def _check_idle(connection: Connection) -> None:
    """Raise while something runs: writers rely on a day of grace."""
    live: set[str] = set()
    with suppress(DovetailError):
        live = connection.live_runs()
    if live:
        raise UsageError(
            f"a grace of less than 24h is safe only while nothing runs, and {output.counted(len(live), 'run')} does: "
            f"{', '.join(sorted(live)[:3])}",
            hint="Wait for their end, or leave --grace out.",
        )
    output.warn("A grace of less than 24h is safe only while nothing writes to the store, on any machine.")
