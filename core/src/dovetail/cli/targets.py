"""What verbs about runs take: a run, a task or an artifact by name, or the flow's file in front of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.client import Client
    from dovetail.client.run import Run

__all__ = [
    "add_common",
    "add_target",
    "one_target",
    "open_client",
    "parse_since",
    "qualify",
    "run_of",
    "short_path",
    "split_file",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_target(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """The positional argument that names something; `python flow.py VERB` puts the flow's file in front of it."""
    parser.add_argument("target", nargs="*", metavar=metavar, help=help)


def add_common(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """`--json`, and where to look."""
    if json:
        parser.add_argument("--json", action="store_true", help="write one JSON document instead")
    group = parser.add_argument_group("settings")
    group.add_argument("--metadata", metavar="NAME", help="metadata provider to look in")
    group.add_argument("--datastore", metavar="NAME", help="data store to look in: a name or URL")
    group.add_argument("--profile", metavar="NAME", help="profile of the settings files")


def open_client(args: argparse.Namespace) -> Client:
    """A client of the configured home that sees everybody's runs."""
    from dovetail.client.client import Client

    return Client(namespace=None, profile=args.profile, metadata=args.metadata, datastore=args.datastore)


def qualify(client: Client, words: Sequence[str]) -> list[str]:
    """`words` without a flow's file in front, and each of them below that flow.

    A file stands for the flow among its classes and functions that has run last.
    """
    file, name = split_file(words[0]) if words else ("", "")
    if not file.endswith(".py"):
        return list(words)
    flow = name or _flow_of_file(client, file)
    if len(words) == 1:
        return [flow]
    return [word if word.partition("/")[0] == flow else f"{flow}/{word}" for word in words[1:]]


def split_file(word: str) -> tuple[str, str]:
    """The file and the flow's name, if any, of `FILE` or `FILE:NAME`; a path may have colons of its own."""
    file, _, name = word.rpartition(":")
    return (file, name) if file.endswith(".py") and name.isidentifier() else (word, "")


def one_target(client: Client, words: Sequence[str]) -> str:
    """The one thing that is named; the newest run where nothing is.

    Raises:
        UsageError: Several things are named.
        UnknownNameError: Nothing is named and nothing has run.
    """
    names = qualify(client, words)
    if len(names) > 1:
        raise UsageError(f"one name is expected, not {len(names)}: {' '.join(names)}")
    if names:
        return names[0]
    run = next(client.runs(limit=1), None)
    if run is None:
        raise UnknownNameError(
            f"nothing has run yet in {client._connection.where}", hint="Start a run with: dovetail run FLOW.py"
        )
    return run.pathspec


def run_of(client: Client, pathspec: str) -> tuple[Run, tuple[str, ...]]:
    """The run that a pathspec names, and what follows it."""
    from dovetail.client.lookup import find_run
    from dovetail.client.pathspec import parse_pathspec
    from dovetail.client.run import Run

    spec = parse_pathspec(pathspec)
    return Run._of(client._connection, find_run(client._connection, spec)), spec.rest


def _flow_of_file(client: Client, file: str) -> str:
    """Name of the flow in a file, without importing it: the class or function of that file that has run last."""
    import ast

    path = Path(file)
    try:
        tree = ast.parse(path.read_bytes(), filename=file)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{file} can't be read: {error}") from error
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    for flow in client.flows():
        if flow.name in names:
            return flow.name
    raise UnknownNameError(f"no flow of {file} has run yet", hint=f"Start a run with: dovetail run {file}")


def parse_since(text: str, *, now: float | None = None) -> float:
    """A point in time, seconds since the epoch: `90s`, `15m`, `2h`, `3d`, `1w` ago, or an ISO date or time.

    Raises:
        UsageError: It is neither.
    """
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdigit():
        return (time.time() if now is None else now) - float(number) * _UNITS[unit]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", hint="Write 90s, 15m, 2h, 3d or 1w for as long ago, or 2026-01-31T12:00."
        ) from None


def short_path(run: Run, path: str = "") -> str:
    """What to type for a run or a task of it."""
    return f"{run.pathspec}/{path}" if path else run.pathspec
