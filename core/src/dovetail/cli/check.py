"""`dovetail check`: find every problem of a flow without running it."""

from __future__ import annotations

import argparse

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("file", metavar="FILE", help="file that holds the flow; FILE:NAME where it has several")
    parser.add_argument("--json", action="store_true", help="print the flow and its problems as JSON")


def run(args: argparse.Namespace) -> int:
    """Check the flow; exit code 2 when it has problems."""
    from dovetail.cli.output import counted, emit_json, paint, say
    from dovetail.cli.targets import split_file
    from dovetail.engine.describe import check, describe_file, spawn_note
    from dovetail.planning.validate import validate
    from dovetail.settings import Settings

    path, name = split_file(args.file)
    settings = Settings.load()
    flow = describe_file(path, name=name or None, settings=settings)
    if args.json:
        problems = [*validate(flow), *settings.check(flow)]
        emit_json({"flow": flow.to_plain(), "problems": [p.to_plain() for p in problems]})
        return 2 if problems else 0
    check(flow, settings)
    parts, parameters = counted(len(flow.steps), "step"), counted(len(flow.parameters), "parameter")
    if flow.style == "function":
        parts = f"a body and {counted(len(flow.steps) - 1, 'task')}"
    say(f"{paint(flow.name, 'bold')} is sound: {parts}, {parameters}")
    if note := spawn_note(flow, settings):
        say(f"  {note}")
    return 0
