"""`dovetail resume`: continue a run, or start one that reuses what an earlier one has done."""

from __future__ import annotations

import argparse
from pathlib import Path

from dovetail.cli._run_options import add_run_options, exit_code
from dovetail.cli.choosing import settings_from
from dovetail.cli.targets import split_file
from dovetail.interfaces.errors import UsageError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Everything is read by `run`, since the flow adds options of its own."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="[FILE] [RUN] [OPTIONS]")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dovetail resume",
        usage="dovetail resume [FILE|FLOW] [RUN] [OPTIONS] [--PARAMETER VALUE ...]",
        allow_abbrev=False,
        description="RUN is the run's id or its beginning; without it: the newest run that has not succeeded, nor "
        "was resumed successfully, of the flow or file if one is named. Parameters are those of the run, but for those "
        "that are given.",
    )
    parser.add_argument(
        "--from",
        dest="rerun",
        action="append",
        default=[],
        metavar="STEP",
        help="run this step again, and all that follows from what changes; repeatable",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="code[:STEP] | plugins",
        help="reuse records though the code changed, of one step or all, or though other versions of plugins are "
        "installed; recorded in the run",
    )
    add_run_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Resume the run; the exit code tells how it ended."""
    options, rest = _options().parse_known_args(args.words)
    file: Path | None = None
    run_id: str | None = None
    flow: str | None = None
    targets, argv = _split(rest)
    for target in targets:
        path, name = split_file(target)
        if path.endswith(".py") and file is None:
            from dovetail.engine.session import find_flow_file

            file, flow = find_flow_file(path), name or flow
        elif flow is None and "/" not in target and not _may_be_run_id(target):
            flow = target
        elif run_id is None:
            run_id = target.rpartition("/")[2]
        else:
            raise UsageError(f"one run can be resumed, not {run_id} and {target}")
    ignored = []
    for text in options.ignore:
        kind, _, step = text.partition(":")
        if kind == "code":
            ignored.append(step or "*")
        elif text != "plugins":
            raise UsageError(
                f"--ignore {text}: only code and plugins can be ignored",
                hint="Write --ignore code, --ignore code:STEP or --ignore plugins.",
            )
    from dovetail.cli._run_progress import RunProgress
    from dovetail.engine.resume import ResumeRequest, resume_run

    request = ResumeRequest(
        run=run_id,
        flow=flow,
        file=file,
        argv=argv,
        rerun=frozenset(options.rerun),
        ignore_code=frozenset(ignored),
        ignore_plugins="plugins" in options.ignore,
        tags=tuple(options.tag),
        max_workers=options.max_workers,
        on_failure=options.on_failure,
        pause_after=options.pause_after,
        run_id_file=options.run_id_file,
    )
    return exit_code(resume_run(settings_from(options), request, RunProgress(quiet=options.quiet)))


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """What names the run, and the options of the flow's parameters: what follows one of these is its value."""
    targets: list[str] = []
    argv: list[str] = []
    awaits_value = False
    for word in words:
        is_option = word.startswith("--")
        (argv if is_option or awaits_value else targets).append(word)
        awaits_value = is_option and "=" not in word
    return targets, argv


def _may_be_run_id(text: str) -> bool:
    return text.islower() or text.isdigit()  # ids have no capitals, classes begin with one
