"""`dovetail store copy`: copy runs from one data store to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.interfaces.errors import StoreError, StoreFullError, StoreReadOnlyError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from dovetail.artifacts.upkeep.copying import CopiedRun
    from dovetail.client.connection import Connection
    from dovetail.client.homes import NamedStore
    from dovetail.interfaces.datastore import DataStore

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Copy."""
    from dataclasses import replace

    from dovetail.artifacts.signed_store import unchecked
    from dovetail.artifacts.upkeep.copying import copy_run
    from dovetail.client.connection import Connection
    from dovetail.client.homes import named_store

    connection = Connection(metadata=args.metadata, profile=args.profile)
    if args.trust_source and not connection.signed:
        raise UsageError(
            "--trust-source has copies signed that nobody had signed, and nothing is signed here",
            hint="Turn the setting artifacts.signed on.",
        )
    if args.drop_signatures and connection.signed:
        raise UsageError(
            "--drop-signatures is for where nothing is signed, and here each copy is",
            hint="Leave it out, or turn the setting artifacts.signed off.",
        )
    source = named_store(connection, args.source)
    if args.trust_source:
        source = replace(source, store=unchecked(source.store))
    try:
        target = named_store(connection, args.target, make=True)
        try:
            if source.uuid == target.uuid:
                raise UsageError(f"{args.source} and {args.target} are the same data store")
            runs = _chosen(source.store, args.run, args.flow)
            _refuse_live(connection, runs)
            done: list[CopiedRun] = []
            failed: dict[str, StoreError] = {}
            with output.Progress("copying", unit="objects", quiet=args.json) as progress:
                for one in runs:
                    try:
                        done.append(
                            copy_run(
                                source.store,
                                target.store,
                                one,
                                stores=_stores(connection, source, one),
                                pin=target.pin,
                                drop_signatures=args.drop_signatures,
                                progress=progress.advance,
                            )
                        )
                    except (StoreFullError, StoreReadOnlyError):  # as it would be with every other run
                        raise
                    except StoreError as error:
                        if len(runs) == 1:
                            raise
                        failed[one] = error  # what can be saved of a damaged store is the other runs
            _tell(args, done, failed, target)
        finally:
            target.store.close()
    finally:
        source.store.close()
        connection.close()
    return StoreError.exit_code if failed else 0


def _chosen(store: DataStore, names: list[str], flow: str | None) -> list[str]:
    """Ids of the runs to copy, oldest first."""
    from dovetail.artifacts.upkeep.references import References, runs_in

    runs = [run for run, _ in runs_in(store)]
    chosen = runs
    if names:
        chosen = []
        for name in names:
            found = [run for run in runs if run.startswith(name.rpartition("/")[2])]
            if not found:
                raise UnknownNameError(f"there is no run {name!r} in {store.url}")
            if len(found) > 1 and name not in found:
                raise UsageError(f"{name!r} fits more than one run", hint="Give more of the id.")
            chosen.append(name if name in found else found[0])
    if flow is not None:
        references = References(store, "")
        chosen = [run for run in chosen if references.flow_of(run) == flow]
        if not chosen:
            raise UnknownNameError(f"there is no run of flow {flow!r} in {store.url}")
    return list(dict.fromkeys(chosen))


def _refuse_live(connection: Connection, runs: list[str]) -> None:
    if connection.empty:
        return
    live = connection.live_runs() & set(runs)
    if live:
        raise UsageError(f"run {min(live)} is being driven", hint="Copy it when it has ended.")


def _stores(connection: Connection, source: NamedStore, run: str) -> Mapping[str, DataStore]:
    """The stores that a run's values lie in."""
    from dovetail.artifacts.manifest import read_manifest
    from dovetail.artifacts.signed_store import SignedStore
    from dovetail.artifacts.store_pins import read_store_pins

    pins = {**read_manifest(source.store, run).stores, **read_store_pins(source.store, run)}
    found = {source.uuid: source.store}
    for uuid, pin in pins.items():
        if uuid != source.uuid:
            found[uuid] = connection.store(uuid, pin, hearsay=not isinstance(source.store, SignedStore))
    return found


def _tell(
    args: argparse.Namespace, done: list[CopiedRun], failed: Mapping[str, StoreError], target: NamedStore
) -> None:
    size, objects = sum(one.size for one in done), sum(one.objects for one in done)
    if args.json:
        plain = [
            {"run": one.run, "objects": one.objects, "bytes": one.size, "complete_before": one.complete} for one in done
        ]
        errors = [{"run": run, "reason": error.message} for run, error in failed.items()]
        output.emit_json(
            {"target": target.store.url, "runs": plain, "objects": objects, "bytes": size, "failed": errors}
        )
        return
    for run, error in failed.items():
        reason = error.message if run in error.message else f"run {run}: {error.message}"
        output.say(f"{output.paint('not copied', 'bold')}: {output.clean(reason)}")
    before = sum(one.complete for one in done)
    output.say(
        f"{output.counted(len(done), 'run')} in {target.store.url}: {output.counted(objects, 'object')} and "
        f"{output.human_size(size)} written" + (f"; {before:,} were there already" if before else "")
    )
    if failed:
        output.say(
            f"{output.counted(len(failed), 'run')} not copied; "
            f"dovetail store verify --datastore {args.source} tells more"
        )
    if size:
        output.say(f"To list them there: dovetail metadata-rebuild --datastore {args.target}")
