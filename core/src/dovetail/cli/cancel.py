"""`dovetail cancel RUN`: ask the run's driver to stop it."""

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
    parser.add_argument("--wait", action="store_true", help="return when the run has ended")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the end of a run."""
    if not args.target:
        raise UsageError("name the run to stop", hint="dovetail runs --state running lists what runs.")
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        if rest:
            raise UsageError("a run is cancelled as a whole", hint=f"dovetail cancel {found.pathspec}")
        before = found.state
        heard = found.cancel(args.reason)
        if heard and args.wait:
            found.wait()
        if args.json:
            output.emit_json(
                {
                    "run": found.id,
                    "flow": found.flow_name,
                    "state": found.state.value,
                    "requested": heard,
                }
            )
        elif before.final:
            output.say(f"{found.pathspec} has ended: it is {before}.")
        elif not heard:
            output.say(f"{found.pathspec} is {before}: no driver is alive, so there is nothing to stop.")
            output.say(f"To go on with it: dovetail resume {found.id}")
        elif args.wait:
            output.say(f"{found.pathspec} is {found.state}.")
        else:
            output.say(f"{found.pathspec} is being cancelled. Follow it with: dovetail logs {found.id} --follow")
    return 0
