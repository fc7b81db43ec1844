"""`dovetail logs`: what tasks wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.logs import LogLine
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(
        parser,
        "RUN[/PATH]",
        "run id, a prefix of one, or a flow for its newest run; a step or task of it (default: the newest run)",
    )
    parser.add_argument("--stream", choices=["stdout", "stderr"], help="only what was written there")
    parser.add_argument("--attempt", type=int, metavar="N", help="only this attempt (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written, until the run ends")
    parser.add_argument("--tail", type=int, metavar="N", help="only the last N lines of what there is")
    parser.add_argument("--grep", metavar="RE", help="only lines that match this regular expression")
    parser.add_argument("-i", "--ignore-case", action="store_true", help="let --grep match upper and lower case alike")
    parser.add_argument("-t", "--timestamps", action="store_true", help="put the time in front of each line")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Print logs."""
    if args.tail is not None and args.tail < 0:
        raise UsageError(f"--tail must be 0 or more, not {args.tail}")
    matches = _matcher(args.grep, ignore_case=args.ignore_case)
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        task, wanted = _what(found, rest)
        show = _Printer(timestamps=args.timestamps, as_json=args.json, prefix=task is None)
        if args.follow:
            _follow(found, task, wanted, args, matches, show)
        else:
            _print(_lines(found, task, wanted, args), matches, args.tail, show)
    return 0


def _what(run: Run, rest: tuple[str, ...]) -> tuple[Task | None, Callable[[str], bool] | None]:
    """The one task that is named, and which paths are wanted."""
    from dovetail.client.logs import of_step, of_task

    if not rest:
        return None, None
    if len(rest) == 1 and rest[0] in run and len(run[rest[0]]) > 1:
        return None, of_step(rest[0])
    task = run.task("/".join(rest))
    return task, of_task(task.path)


def _lines(
    run: Run, task: Task | None, wanted: Callable[[str], bool] | None, args: argparse.Namespace
) -> Iterator[LogLine]:
    from dovetail.client.logs import run_lines

    if task is not None:
        return task.log(stream=args.stream, attempt=args.attempt)
    return run_lines(run, stream=args.stream, wanted=wanted, attempt=args.attempt)


def _matcher(pattern: str | None, *, ignore_case: bool) -> Callable[[str], object]:
    if pattern is None:
        return lambda text: True
    import re

    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0).search
    except re.error as error:
        raise UsageError(f"--grep {pattern!r} is no regular expression: {error}") from None


def _print(
    lines: Iterable[LogLine], matches: Callable[[str], object], tail: int | None, show: Callable[[LogLine], None]
) -> None:
    chosen: Iterable[LogLine] = (line for line in lines if matches(line.text))
    if tail is not None:
        from collections import deque

        chosen = deque(chosen, maxlen=tail)
    for line in chosen:
        show(line)


def _follow(
    run: Run,
    task: Task | None,
    wanted: Callable[[str], bool] | None,
    args: argparse.Namespace,
    matches: Callable[[str], object],
    show: Callable[[LogLine], None],
) -> None:
    """Print what there is (its tail), then each line as it comes."""
    from collections import deque

    from dovetail.client.logs import follow_lines

    kept: deque[LogLine] = deque(maxlen=args.tail)
    began = False

    def caught_up() -> None:
        nonlocal began
        if not began:
            began = True
            for line in kept:
                show(line)
        sys.stdout.flush()

    lines = follow_lines(
        run,
        stream=args.stream,
        wanted=wanted,
        attempt=args.attempt,
        over=None if task is None else lambda: task.refresh().finished,
        idle=caught_up,
    )
    for line in lines:
        if not matches(line.text):
            continue
        if began:
            show(line)
        else:
            kept.append(line)
    caught_up()
    if task is None:
        output.warn(f"{run.pathspec} {run.state}")


class _Printer:
    """Writes lines to stdout: those of several tasks with their paths, of retries with their number; or JSON."""

    def __init__(self, *, timestamps: bool, as_json: bool, prefix: bool) -> None:
        self._timestamps = timestamps
        self._as_json = as_json
        self._prefix = prefix

    def __call__(self, line: LogLine) -> None:
        if self._as_json:
            import json

            document = {
                "time": output.iso_time(line.time),
                "path": line.path,
                "attempt": line.attempt,
                "stream": line.stream,
                "text": line.text,
            }
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
            return
        parts = []
        if self._timestamps:
            parts.append(output.paint(line.at.astimezone().isoformat(" ", "milliseconds"), "dim") + " ")
        names = [line.path] if self._prefix and line.path else []
        names += [f"attempt {line.attempt}"] if line.attempt > 1 else []
        if names:
            parts.append(output.paint(f"[{' '.join(names)}] ", "dim"))
        sys.stdout.write("".join([*parts, line.text, "\n"]))
