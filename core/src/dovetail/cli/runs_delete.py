"""`dovetail runs delete`: delete runs by name, or all that filters fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, open_client, parse_since, qualify, run_of
from dovetail.interfaces.errors import StoreError, UnknownNameError, UsageError
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dovetail.client.client import Client
    from dovetail.client.deleting import Unlisted
    from dovetail.client.run import Run

__all__ = ["SUMMARY", "configure", "confirm", "delete_all", "run"]

SUMMARY = "delete runs: records, logs and rows; dovetail store gc then frees what only they referred to"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN", "run id or a prefix of one; or filters")
    parser.add_argument("--flow", help="all runs of this flow")
    parser.add_argument("--older-than", metavar="AGE", help="all runs made so long ago: 30d, 12h, 4w, or an ISO date")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="all runs with this tag; repeatable")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        choices=[str(state) for state in RunState],
        help="all runs in this state; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say which")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--force", action="store_true", help="also pinned runs, and those that nobody knows to have ended"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Delete."""
    filters = bool(args.flow or args.older_than or args.tag or args.state)
    with open_client(args) as client:
        names = qualify(client, args.target) if args.target else []
        if filters == bool(names):
            raise UsageError(
                "name runs, or say which with filters",
                hint="As in: dovetail runs delete --state failed --older-than 30d",
            )
        kept: list[str] = []
        if filters:
            found: Sequence[Run | Unlisted] = _fitting(client, args, kept)
        else:
            found = list({one.id: one for one in (_named(client, name) for name in names)}.values())
            _refuse_live(found)
        if not found:
            return _tell(args, [], kept)
        if not args.dry_run:
            confirm(found, yes=args.yes)
            delete_all(client, found, force=args.force, quiet=args.json)
        return _tell(args, found, kept)


def _named(client: Client, name: str) -> Run | Unlisted:
    from dovetail.client.deleting import find_unlisted

    try:
        found, rest = run_of(client, name)
    except UnknownNameError as error:
        try:
            return find_unlisted(client._connection.default_store()[1], name)
        except (StoreError, UnknownNameError):
            raise error from None
    if rest:
        raise UsageError("a run is deleted as a whole", hint=f"dovetail runs delete {found.pathspec}")
    if not name.rpartition("/")[2][:1].isdigit():
        raise UsageError(
            f"{name} names a flow, not a run",
            hint=f"Its newest run is {found.id}; all of them: --flow {found.flow_name}",
        )
    return found


def _refuse_live(found: Sequence[Run | Unlisted]) -> None:
    for one in found:
        state = getattr(one, "state", None)
        if state == RunState.RUNNING:
            raise UsageError(
                f"run {one.pathspec} is being driven", hint=f"End it first, with: dovetail cancel {one.id} --wait"
            )


def _fitting(client: Client, args: argparse.Namespace, kept: list[str]) -> list[Run]:
    """The runs that the filters fit; those that are live or pinned stay, and are told."""
    from dovetail.client.deleting import pinned_among

    if args.flow:
        client.flow(args.flow)  # says so when there is none
    until = None if args.older_than is None else parse_since(args.older_than)
    found = []
    for one in client.runs(*args.tag, flow=args.flow, state=args.state, until=until):
        if one.state == RunState.RUNNING:
            kept.append(f"{one.pathspec} is being driven")
        else:
            found.append(one)
    pinned = set() if args.force else pinned_among(found)
    kept += [f"{one.pathspec} is pinned" for one in found if one.id in pinned]
    return [one for one in found if one.id not in pinned]


def confirm(found: Sequence[Run | Unlisted], *, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` must have been said.

    Raises:
        UsageError: The answer is no, or nobody can be asked.
    """
    if yes:
        return
    flows: dict[str, int] = {}
    for one in found:
        flows[one.flow_name] = flows.get(one.flow_name, 0) + 1
    which = ", ".join(f"{count:,} of {flow}" for flow, count in flows.items())
    what = f"{output.counted(len(found), 'run')} ({which})" if len(found) > 1 else found[0].pathspec
    if not sys.stdin.isatty():
        raise UsageError(f"{what} would be deleted, and nobody can be asked", hint="Say --yes, or look with --dry-run.")
    sys.stderr.write(f"Delete {what}, with records and logs? This can't be undone. [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was deleted")


def delete_all(client: Client, found: Sequence[Run | Unlisted], *, force: bool, quiet: bool) -> None:
    """Delete runs, one after the other."""
    from dovetail.client.deleting import delete_run

    with output.Progress("deleting", total=len(found), unit="runs", quiet=quiet) as progress:
        for one in found:
            delete_run(client._connection, one, force=force)
            progress.advance()


def _tell(args: argparse.Namespace, found: Sequence[Run | Unlisted], kept: list[str]) -> int:
    if args.json:
        output.emit_json({"deleted": [run_plain(one) for one in found], "kept": kept, "dry_run": args.dry_run})
        return 0
    for line in kept:
        output.warn(f"kept: {line}")
    if not found:
        output.say("No run fits.")
        return 0
    if args.dry_run or len(found) <= 10:
        output.table(
            ["run", "flow", "created"],
            [(one.id, one.flow_name, output.human_time(_created(one))) for one in found],
        )
    done = "would be deleted" if args.dry_run else "deleted"
    output.say(
        f"{output.counted(len(found), 'run')} {done}" + ("" if args.dry_run else "; dovetail store gc frees the space")
    )
    return 0


def run_plain(one: Run | Unlisted) -> dict[str, Any]:
    """A run that goes, as JSON-able data."""
    return {"run": one.id, "flow": one.flow_name, "created": output.iso_time(_created(one))}


def _created(one: Any) -> float | None:
    row = getattr(one, "_row", None)
    found: float | None = one.created if row is None else row["created"]
    return found
