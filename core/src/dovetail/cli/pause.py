"""`dovetail pause RUN`: hold a run between tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN", "run id, a prefix of one, or a flow for its newest run")
    parser.add_argument("--reason", default="", help="why; the run keeps it")
    parser.add_argument("--wait", action="store_true", help="return when nothing of the run goes on any more")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for a run to be held."""
    if not args.target:
        raise UsageError("name the run to pause", hint="dovetail runs --state running lists what runs.")
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        if rest:
            raise UsageError("a run is paused as a whole", hint=f"dovetail pause {found.pathspec}")
        held = found.pause(args.reason)
        if held and args.wait:
            found.wait()
        state = found.refresh().state
        if args.json:
            output.emit_json({"run": found.id, "flow": found.flow_name, "state": state.value, "held": held})
        elif not held and state.final:
            output.say(f"{found.pathspec} has ended: it is {state}.")
        elif not held:
            output.say(f"{found.pathspec} is {state}: no driver is alive, so there is nothing to pause.")
            output.say(f"To go on with it: dovetail resume {found.id}")
        else:
            is_held = "is paused" if state.value == "paused" else "is being paused: what runs goes on to its end"
            output.say(f"{found.pathspec} {f'has ended: it is {state}' if state.final else is_held}.")
            if not state.final:
                output.say(f"To go on with it: dovetail unpause {found.id}")
    return 0
