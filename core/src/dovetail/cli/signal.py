"""`dovetail signal RUN [JSON]`: answer what a run waits for, and continue it where its driver has exited."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli._run_options import add_pause_after
from dovetail.cli.targets import add_common, one_target, open_client, run_of, split_file
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.states import RunState, TaskState

if TYPE_CHECKING:
    import argparse

    from dovetail.client.run import Run
    from dovetail.client.signals import Waiting

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN [JSON]",
        help="the run, and the answer: JSON, or plain text; a terminal is asked for it where it is left out",
    )
    parser.add_argument("--name", help="of the input that is answered, when the run waits for several or for none yet")
    parser.add_argument("--no-resume", action="store_true", help="do not continue a paused run here")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_pause_after(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Answer; the exit code of a run that is continued here is that of `dovetail resume`."""
    words = list(args.words)
    if len(words) > 1 and split_file(words[0])[0].endswith(".py"):
        del words[0]  # python flow.py signal RUN JSON
    if len(words) not in (1, 2):
        raise UsageError("name the run and the answer", hint="""dovetail signal RUN '{"approve": true}'""")
    code = 0
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, words[:1]))
        if rest:
            raise UsageError("a signal goes to a run", hint=f"dovetail signal {found.pathspec} --name NAME JSON")
        value = _value(words[1]) if len(words) == 2 else _typed(found, args.name)
        answered = found.signal(value, name=args.name)
        taken = _taken(found, answered)
        state = found.refresh().state
        held = found.held
        continues = not taken and not held and not args.no_resume and state in (RunState.PAUSED, RunState.LOST)
        if answered is None and state is RunState.PAUSED:
            continues = False  # it waits for something else
        if continues:
            from dovetail.cli._continuing import continue_run

            code = continue_run(client, found, quiet=args.quiet or args.json, pause_after=args.pause_after)
            state = found.refresh().state
        if args.json:
            document = {"run": found.id, "flow": found.flow_name, "state": state.value, "continued": continues}
            output.emit_json({**document, "answered": None if answered is None else answered.to_plain()})
        elif not continues:
            _say(found, answered, state, taken=taken, held=held)
    return code


def _typed(run: Run, name: str | None) -> Any:
    """What somebody types on the terminal; without one, an error that says what to give."""
    from dovetail.cli._form import can_ask, fill_in, told_of
    from dovetail.client.signals import asked_of, command_of

    asked = asked_of(run, name)
    if can_ask():
        return fill_in(asked)
    question = f": {output.clean(asked.question)}" if asked.question else ""
    raise UsageError(
        f"give the answer to {asked.name} of run {run.id}{question}\n{told_of(asked)}",
        hint=f"Write it like this: {command_of(run.id, asked, alone=name is None)}",
    )


def _value(text: str) -> Any:
    """JSON; what is none is a text."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        if text[:1] in "{[\"'" and text:
            raise UsageError(f"{text} is not JSON", hint="""Quote it for the shell: '{"approve": true}'""") from None
        return text


def _taken(run: Run, answered: Waiting | None) -> bool:
    """Whether a driver has acted on the answer, or will: False once there is none to do it."""
    from dovetail.client.signals import PATIENCE_SECONDS, POLL_SECONDS

    until = time.monotonic() + PATIENCE_SECONDS
    while run._connection.live_runs(run.id):
        if answered is None or time.monotonic() > until:
            return True
        if run.task(answered.path).state is not TaskState.WAITING:
            return True
        time.sleep(POLL_SECONDS)
    return run.refresh().state.final


def _say(run: Run, answered: Waiting | None, state: RunState, *, taken: bool, held: bool) -> None:
    what = "the message is kept for it" if answered is None else f"{answered.name} is answered"
    if taken and not held:
        output.say(f"{run.pathspec}: {what}.")
    elif held:
        output.say(f"{run.pathspec}: {what}. The run is held; to go on with it: dovetail unpause {run.id}")
    else:
        output.say(f"{run.pathspec} is {state}: {what}. To go on with it: dovetail resume {run.id}")
