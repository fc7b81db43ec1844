"""`dovetail cancel RUN`: ask the run's driver to end it; where there is none, end it from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client import Client, Run
    from dovetail.engine.cancelling import Cancelled, UncalledHook

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN", "run id, a prefix of one, or a flow for its newest run")
    parser.add_argument("--reason", default="", help="why; the run keeps it")
    parser.add_argument("--wait", action="store_true", help="return when the run has ended")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the end of a run, or end one that is paused, interrupted or lost."""
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
        ended: Cancelled | None = None
        if not (found.refresh().state.final or client._connection.live_runs(found.id)):
            ended = _end_here(client, found, args.reason, quiet=args.json)
        if args.json:
            output.emit_json(_json(found.refresh(), ended, requested=heard or ended is not None))
        elif before.final:
            output.say(f"{found.pathspec} has ended: it is {before}.")
        elif ended is not None:
            output.say(f"{found.pathspec} is {found.refresh().state}.")
            _say_uncalled(ended)
        elif args.wait:
            output.say(f"{found.pathspec} is {found.state}.")
        else:
            output.say(f"{found.pathspec} is being cancelled. Follow it with: dovetail logs {found.id} --follow")
    return 0


def _end_here(client: Client, run: Run, reason: str, *, quiet: bool) -> Cancelled:
    """End a run that nothing drives."""
    from dovetail.cli._run_progress import RunProgress
    from dovetail.engine.cancelling import cancel_run

    return cancel_run(
        client._connection.settings, run.id, RunProgress(quiet=quiet, continues="winds up"), reason=reason
    )


def _say_uncalled(ended: Cancelled) -> None:
    if not ended.without_hooks:
        return
    if not ended.uncalled:
        output.say(f"It has no hooks to call: {ended.without_hooks}.")
        return
    output.say(f"Its hooks were not called, since {ended.without_hooks}:")
    for hook in ended.uncalled:
        output.say(f"  {hook.kind} {hook.address}" + (f" of {hook.of}" if hook.of else ""))


def _json(run: Run, ended: Cancelled | None, *, requested: bool) -> dict[str, Any]:
    return {
        "run": run.id,
        "flow": run.flow_name,
        "state": run.state.value,
        "requested": requested,
        "uncalled_hooks": [_hook_json(hook) for hook in ended.uncalled] if ended is not None else [],
    }


def _hook_json(hook: UncalledHook) -> dict[str, Any]:
    return {"kind": hook.kind, "hook": hook.address, "path": hook.of}
