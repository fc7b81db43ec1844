"""`dovetail store verify`: check every byte, and repair from another store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import open_client
from dovetail.interfaces.errors import StoreError, UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.artifacts.upkeep.verifying import Verified

__all__ = ["run"]

_SHOWN = 20
"""Artifacts that are shown for one fault."""


def run(args: argparse.Namespace) -> int:
    """Verify; 4 when something is wrong that was not repaired."""
    from dovetail.artifacts.upkeep.verifying import verify
    from dovetail.client.homes import homes_of, named_store

    if args.sample is not None and args.sample < 0:
        raise UsageError(f"--sample must be 0 or more, not {args.sample}.")
    with open_client(args) as client:
        connection = client._connection
        chosen = named_store(connection, args.datastore)
        other = None if args.repair_from is None else named_store(connection, args.repair_from)
        try:
            if other is not None and other.store.url == chosen.store.url:
                raise UsageError("a data store can't be repaired from itself", hint="Name another one.")
            with output.Progress("verifying", unit="objects", quiet=args.json) as progress:
                done = verify(
                    chosen.store,
                    sample=args.sample,
                    homes=homes_of(connection, chosen.uuid, chosen.store, damage={}),
                    repair_from=None if other is None else other.store,
                    pin=chosen.pin,
                    progress=progress.advance,
                )
            url = chosen.store.url
        finally:
            chosen.store.close()
            if other is not None:
                other.store.close()
    if args.json:
        output.emit_json(
            {
                "store": url,
                "objects": done.objects,
                "bytes": done.size,
                "runs": done.runs,
                "signatures": done.signatures,
                "unchecked": done.unchecked,
                "sound": done.sound,
                "faults": [
                    {
                        "key": fault.key,
                        "reason": fault.reason,
                        "touches": list(fault.touches),
                        "repaired": fault.repaired,
                    }
                    for fault in done.faults
                ],
            }
        )
    else:
        _tell(done)
    return 0 if done.sound else StoreError.exit_code


def _tell(done: Verified) -> None:
    for fault in done.faults:
        reason = fault.reason if fault.key in fault.reason else f"{fault.key} {fault.reason}"
        output.say(f"{output.paint('repaired' if fault.repaired else 'fault', 'bold')}: {output.clean(reason)}")
        for name in fault.touches[:_SHOWN]:
            output.say(f"  touches {output.clean(name)}")
        if len(fault.touches) > _SHOWN:
            output.say(f"  and {len(fault.touches) - _SHOWN:,} more")
        if fault.key.startswith("objects/") and not fault.touches:
            output.say("  touches nothing that a run refers to")
    if done.unchecked:
        output.say(
            f"{output.counted(done.unchecked, 'document')} of an earlier version without a check: read, not verified"
        )
    wrong = sum(not fault.repaired for fault in done.faults)
    signed = "" if done.signatures is None else f", with {output.counted(done.signatures, 'signature')},"
    output.say(
        f"{output.counted(done.objects, 'object')}, {output.human_size(done.size)}, and the records of "
        f"{output.counted(done.runs, 'run')}{signed} checked: "
        + (output.counted(wrong, "fault") if wrong else "all sound" if not done.faults else "all repaired")
    )
