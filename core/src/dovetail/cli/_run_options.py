"""Options that `run` and `resume` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.engine.execute import RunResult
    from dovetail.settings import Settings

__all__ = ["add_run_options", "exit_code", "load_settings"]


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
    parser.add_argument(
        "--with",
        dest="with_",
        action="append",
        default=[],
        metavar="KIND[:KEY=VALUE,...]",
        help="decorate every step that lacks it, such as retry:times=2; repeatable",
    )
    parser.add_argument(
        "--set",
        dest="set_",
        action="append",
        default=[],
        metavar="STEP.KIND.KEY=VALUE",
        help="override one option, such as train.retry.times=5; repeatable",
    )
    parser.add_argument("--compute", metavar="NAME", help="run every step on this compute instance")
    parser.add_argument("--profile", metavar="NAME", help="profile of the project's settings")
    parser.add_argument("--run-id-file", type=Path, metavar="FILE", help="write the run id to this file")
    parser.add_argument("--quiet", action="store_true", help="print failures only")


def load_settings(options: argparse.Namespace) -> Settings:
    """The settings that the options ask for."""
    from dovetail.settings import Settings

    choices = {"compute": options.compute} if options.compute else {}
    return Settings.load(profile=options.profile, set_=options.set_, with_=options.with_, choices=choices)


def exit_code(result: RunResult) -> int:
    """0 succeeded, 1 failed or cancelled, 130 interrupted."""
    from dovetail.interfaces.states import RunState

    return {RunState.SUCCEEDED: 0, RunState.INTERRUPTED: 130}.get(result.state, 1)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number
