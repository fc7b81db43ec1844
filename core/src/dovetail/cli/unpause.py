"""`dovetail unpause RUN`: let a run go on that was held, and continue it where its driver has exited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli._run_options import add_pause_after
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN", "run id, a prefix of one, or a flow for its newest run")
    parser.add_argument("--no-resume", action="store_true", help="do not continue the run here")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_pause_after(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Let a run go on; the exit code of a run that is continued here is that of `dovetail resume`."""
    if not args.target:
        raise UsageError("name the run that shall go on", hint="dovetail runs --state paused lists what is paused.")
    code = 0
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        if rest:
            raise UsageError("a run goes on as a whole", hint=f"dovetail unpause {found.pathspec}")
        goes_on = found.unpause()
        state = found.refresh().state
        continues = not goes_on and state is RunState.PAUSED and not args.no_resume
        if continues:
            from dovetail.cli._continuing import continue_run

            code = continue_run(client, found, quiet=args.quiet or args.json, pause_after=args.pause_after)
            state = found.refresh().state
        if args.json:
            output.emit_json({"run": found.id, "flow": found.flow_name, "state": state.value, "continued": continues})
        elif goes_on:
            output.say(f"{found.pathspec} goes on.")
        elif state.final and not continues:
            output.say(f"{found.pathspec} has ended: it is {state}.")
        elif not continues:
            output.say(f"{found.pathspec} is held no longer. To go on with it: dovetail resume {found.id}")
    return code
