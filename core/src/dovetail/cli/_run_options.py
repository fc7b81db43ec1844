"""Options that `run` and `resume` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dovetail.cli.choosing import add_choosing

if TYPE_CHECKING:
    from dovetail.engine.execute import RunResult

__all__ = ["add_pause_after", "add_run_options", "exit_code"]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="tag of the run; repeatable")
    parser.add_argument("--max-workers", type=_positive, metavar="N", help="attempts at the same time")
    parser.add_argument(
        "--on-failure",
        choices=("finish", "cancel", "continue"),
        help="after a failure: let the running tasks finish (default), cancel them, or also start what does not "
        "depend on it",
    )
    add_pause_after(parser)
    parser.add_argument(
        "--run-id-file", type=_file_to_be, metavar="FILE", help="write the run id to this file when the run begins"
    )
    parser.add_argument(
        "--refresh",
        action="append",
        nargs="?",
        const="*",
        default=[],
        metavar="TASK",
        help="make the values of this cached task, or of all, anew (--refresh=TASK); repeatable",
    )
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_choosing(parser)


def exit_code(result: RunResult) -> int:
    """0 succeeded or paused, 1 failed or cancelled, 4 failed for the data store, 130 interrupted."""
    from dovetail.interfaces.states import RunState

    if result.state is RunState.FAILED and result.root_cause is not None and result.root_cause[1].kind == "store":
        return 4
    return {RunState.SUCCEEDED: 0, RunState.PAUSED: 0, RunState.INTERRUPTED: 130}.get(result.state, 1)


def add_pause_after(parser: argparse.ArgumentParser) -> None:
    """`--pause-after`, of whatever drives a run."""
    parser.add_argument(
        "--pause-after",
        type=_seconds,
        metavar="SECONDS",
        help="when there is nothing to do but wait for input, wait as long, then pause the run and exit (default 5; "
        "inf: never exit)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _file_to_be(text: str) -> Path:
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    return path
