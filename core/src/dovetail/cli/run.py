"""`dovetail run`: run a flow and follow it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from dovetail.cli._run_options import add_run_options, exit_code
from dovetail.cli.choosing import settings_from
from dovetail.cli.targets import split_file

if TYPE_CHECKING:
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["configure", "run"]


_KINDS = {("json", False): "JSON", ("json", True): "text or JSON"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Everything is read by `run`, since the flow adds options of its own."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="FILE [OPTIONS]")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dovetail run", allow_abbrev=False, add_help=False)
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="file that holds the flow, a class or a @flow function; FILE:NAME where it has several",
    )
    add_run_options(parser)
    parser.add_argument(
        "--debug",
        nargs="?",
        const="*",
        metavar="STEP",
        help="run this step, or all, inline with the terminal attached and timeouts off (--debug=STEP)",
    )
    parser.add_argument("--post-mortem", action="store_true", help="open pdb where a step fails")
    parser.add_argument("-h", "--help", action="store_true", help="show this help, and the flow's parameters")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the flow; the exit code tells how it ended."""
    parser = _options()
    options, rest = parser.parse_known_args(args.words)
    if options.help or options.file is None:
        return _help(parser, options.file, missing=not options.help)
    from dovetail.engine.session import FlowSource, Session, find_flow_file

    file, name = split_file(options.file)
    debug = options.debug or ("*" if options.post_mortem else None)
    session = Session(
        settings_from(options),
        FlowSource(file=find_flow_file(file), name=name or None),
        terminal=debug is not None,
        post_mortem=options.post_mortem,
    )
    session.surely_called = _surely_called
    session.begin_import()  # another process does it while this one imports what drives a run
    from dovetail.cli._run_progress import RunProgress
    from dovetail.engine.launch import RunRequest, start_run

    request = RunRequest(
        argv=rest,
        tags=tuple(options.tag),
        max_workers=options.max_workers,
        on_failure=options.on_failure,
        pause_after=options.pause_after,
        run_id_file=options.run_id_file,
        debug=debug,
    )
    return exit_code(start_run(session, request, RunProgress(quiet=options.quiet, live=debug is None)))


def _surely_called(flow: FlowDescription) -> frozenset[str]:
    from dovetail.authoring.skeleton.certain import surely_called

    return surely_called(flow.file, flow.name)


def _help(parser: argparse.ArgumentParser, file: str | None, *, missing: bool) -> int:
    if missing:
        parser.print_usage(sys.stderr)
        sys.stderr.write("dovetail run: name the file that holds the flow\n")
        return 2
    parser.print_help()
    if file is not None:
        from dovetail.engine.describe import describe_file
        from dovetail.engine.parameters import option_of

        path, name = split_file(file)
        flow = describe_file(path, name=name or None)
        sys.stdout.write(f"\nparameters of {flow.name}:\n" if flow.parameters else f"\n{flow.name} has no parameters\n")
        for p in flow.parameters:
            kind = f"list of {p.type}" if p.is_list else _KINDS.get((p.type, p.takes_text), p.type)
            default = "required" if p.required else f"default {p.default!r}"
            about = f"{p.help} ({kind}, {default})" if p.help else f"({kind}, {default})"
            sys.stdout.write(f"  {option_of(p.name):22} {about}\n")
    return 0
