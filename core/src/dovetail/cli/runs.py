"""`dovetail runs`: the runs on record, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, open_client, parse_since, qualify
from dovetail.interfaces.errors import DovetailError, UsageError
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    import argparse

    from dovetail.client.client import Client
    from dovetail.client.run import Run

SUMMARY = "list runs, newest first"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "FLOW", "flow by name or file; all flows by default")
    parser.add_argument("--flow", help="runs of this flow; the same as naming it")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        choices=[str(state) for state in RunState],
        help="in this state; repeatable",
    )
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="with this tag; repeated: with all")
    parser.add_argument("--user", help="started by this user")
    parser.add_argument("--since", metavar="WHEN", help="created since: 15m, 2h, 3d or 1w ago, or an ISO date")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N, 0 for all (default: 20)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """List runs."""
    if args.limit < 0:
        raise UsageError(f"--limit must be 0 or more, not {args.limit}.")
    with open_client(args) as client:
        names = qualify(client, args.target)
        if len(names) + bool(args.flow) > 1:
            raise UsageError("One flow is expected.")
        flow = args.flow or (names[0] if names else None)
        if flow is not None:
            client.flow(flow)  # says so when there is none
        runs = list(
            client.runs(
                *args.tag,
                flow=flow,
                state=args.state,
                user=args.user,
                since=None if args.since is None else parse_since(args.since),
                limit=args.limit or None,
            )
        )
        if args.json:
            output.emit_json([run_json(run) for run in runs])
        elif runs:
            _table(runs)
        else:
            output.warn("No run fits." if flow or args.tag or args.state or args.user or args.since else "No runs yet.")
            if url := _unlisted(client):
                output.warn(f"{url} holds runs that are not listed: dovetail metadata-rebuild lists them again.")
    return 0


def _unlisted(client: Client) -> str:
    """URL of the data store where it has runs and the index has none, as when the index was lost; else empty."""
    connection = client._connection
    if connection.empty or next(iter(client.runs(limit=1)), None) is not None:
        return ""
    try:
        _, store = connection.default_store()
        return store.url if next(iter(store.scan("runs/")), None) is not None else ""
    except DovetailError:  # nothing was ever stored, or nobody can say
        return ""


def run_json(run: Run) -> dict[str, Any]:
    """A run as listings give it; the keys are stable."""
    row = run._row
    return {
        "run": run.id,
        "flow": run.flow_name,
        "state": str(run.state),
        "created": output.iso_time(row["created"]),
        "started": output.iso_time(row["started"]),
        "finished": output.iso_time(row["finished"]),
        "user": run.user,
        "tags": sorted(run.user_tags),
        "system_tags": sorted(run.system_tags),
        "parameters": run.parameters,
        "origin": run.origin,
        "error": run.error,
    }


def _table(runs: list[Run]) -> None:
    output.table(
        ["run", "flow", "state", "created", "took", "user", "tags"],
        [
            (
                run.id,
                run.flow_name,
                run.state,
                output.human_time(run._row["created"]),
                output.human_duration(run.duration),
                run.user or None,
                ", ".join(sorted(run.user_tags)) or None,
            )
            for run in runs
        ],
        right=["took"],
        colours={"state": output.STATE_COLOURS},
        flexible="tags",
    )
