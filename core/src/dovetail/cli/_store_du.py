"""`dovetail store du`: how many bytes belong to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import open_client
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Measure."""
    from dovetail.artifacts.upkeep.usage import measure_usage
    from dovetail.client.homes import homes_of

    if args.limit < 0:
        raise UsageError(f"--limit must be 0 or more, not {args.limit}.")
    with open_client(args) as client:
        uuid, store = client._connection.default_store()
        homes = homes_of(client._connection, uuid, store)
        with output.Progress("measuring", unit="objects", quiet=args.json) as progress:
            found = measure_usage(store, by=args.by, homes=homes, progress=progress.advance)
        rows = found.rows[: args.limit or None]
        if args.json:
            output.emit_json(
                {
                    "store": store.url,
                    "by": args.by,
                    "rows": [
                        {args.by: row.name, "unique": row.unique, "shared": row.shared, "objects": row.objects}
                        for row in rows
                    ],
                    "objects": found.objects,
                    "object_bytes": found.object_bytes,
                    "run_bytes": found.run_bytes,
                    "garbage": found.garbage,
                    "garbage_bytes": found.garbage_bytes,
                    "damage": found.damage,
                }
            )
            return 0
    output.table(
        [args.by, "unique", "shared", "objects"],
        [(row.name, output.human_size(row.unique), output.human_size(row.shared), f"{row.objects:,}") for row in rows],
        right=["unique", "shared", "objects"],
    )
    if len(found.rows) > len(rows):
        output.say(f"and {len(found.rows) - len(rows):,} more; --limit 0 shows all")
    output.say(
        f"{output.counted(found.objects, 'object')}, {output.human_size(found.object_bytes)}; "
        f"records and logs, {output.human_size(found.run_bytes)}"
    )
    if found.garbage:
        output.say(
            f"nothing refers to {output.counted(found.garbage, 'object')}, "
            f"{output.human_size(found.garbage_bytes)}: dovetail store gc"
        )
    for line in found.damage:
        output.warn(f"left out: {output.clean(line)}")
    return 0
