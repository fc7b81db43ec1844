"""`dovetail store pin`, `unpin` and `pins`: what is kept whatever retention says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import open_client, run_of
from dovetail.interfaces.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.artifacts.upkeep.pins import Pin
    from dovetail.client.client import Client
    from dovetail.client.run import Run
    from dovetail.interfaces.datastore import DataStore

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Pin, or tell."""
    from dovetail.artifacts.upkeep.pins import read_pins

    with open_client(args) as client:
        if args.action == "pin":
            _tell(args, [_pin(client, args.what, args.note)], "pinned")
        elif args.action == "unpin":
            _tell(args, _unpin(client, args.what), "no longer pinned")
        else:
            pins = read_pins(client._connection.default_store()[1])
            if args.json:
                output.emit_json([_plain(pin) for pin in pins])
            elif not pins:
                output.say("nothing is pinned; pin with: dovetail store pin RUN")
            else:
                output.table(
                    ["pin", "digest", "created", "note"],
                    [
                        (
                            _what(pin),
                            pin.ref.digest.hex()[:12] if pin.ref else None,
                            output.human_time(pin.created),
                            pin.note or None,
                        )
                        for pin in pins
                    ],
                    flexible="note",
                )
    return 0


def _pin(client: Client, what: str, note: str) -> Pin:
    from dovetail.artifacts.upkeep.pins import put_pin

    found, rest = run_of(client, what)
    if not what.partition("/")[0][:1].isdigit() and what.count("/") == 0:
        raise UsageError(f"{what} names a flow, not a run", hint=f"Its newest run is {found.id}.")
    if not rest:
        return put_pin(found._store, found.id, note=note)
    from dovetail.client.artifact import DataArtifact

    artifact = client.get(f"{found.pathspec}/{'/'.join(rest)}")
    if not isinstance(artifact, DataArtifact):
        raise UsageError(f"{artifact.pathspec} is no artifact", hint="Pin a run, or RUN/PATH/NAME.")
    store, ref = _as_object(found, artifact)
    return put_pin(store, found.id, artifact=f"{artifact.task.path}/{artifact.name}", ref=ref, note=note)


def _as_object(run: Run, artifact: Any) -> tuple[DataStore, Any]:
    """The store and reference of an artifact as an object; a small one, which lives in its record, becomes one."""
    from dataclasses import replace

    from dovetail.artifacts.identity import frame_leaves
    from dovetail.interfaces.artifacts import ObjectPlace

    artifacts, ref = run._artifacts, artifact.ref
    if isinstance(ref.place, ObjectPlace):
        return artifacts.store(ref.place.store), ref
    header, frames = artifacts.fetch(ref, name=artifact.pathspec)
    artifacts.save_frames(ref.serializer, header, frames, [frame_leaves(frame) for frame in frames], ref.digest)
    return artifacts.store(artifacts.default), replace(ref, place=ObjectPlace(store=artifacts.default))


def _unpin(client: Client, what: str) -> list[Pin]:
    from dovetail.artifacts.upkeep.pins import read_pins, remove_pin

    store = client._connection.default_store()[1]
    pins = read_pins(store)
    wanted = what.split("/", 1)[1] if what[:1].isalpha() and "/" in what else what
    found = [pin for pin in pins if wanted in (pin.name, _what(pin))]
    if not found:
        found = [pin for pin in pins if not pin.artifact and pin.run.startswith(wanted)]
    if len(found) > 1:
        raise UsageError(f"{what!r} fits more than one pin", hint="Give more of the id.")
    if not found:
        raise UnknownNameError(f"{what} is not pinned", hint="dovetail store pins lists what is.")
    for pin in found:
        remove_pin(store, pin)
    return found


def _what(pin: Pin) -> str:
    return f"{pin.run}/{pin.artifact}" if pin.artifact else pin.run


def _tell(args: argparse.Namespace, pins: list[Pin], done: str) -> None:
    if args.json:
        output.emit_json([_plain(pin) for pin in pins])
        return
    for pin in pins:
        output.say(f"{_what(pin)}: {done}")


def _plain(pin: Pin) -> dict[str, Any]:
    return {
        "name": pin.name,
        "run": pin.run,
        "artifact": pin.artifact or None,
        "digest": pin.ref.digest.hex() if pin.ref else None,
        "note": pin.note,
        "created": output.iso_time(pin.created),
    }
