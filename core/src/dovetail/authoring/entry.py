"""`python flow.py run`: hand over to the command line, in the same process where the platform can."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec

    Flow: TypeAlias = type[FlowSpec] | FlowFunction[..., Any]

__all__ = ["command", "main"]

FLOWLESS = frozenset({"config", "metadata-rebuild", "plugins"})
"""Verbs that have nothing to do with a flow."""


def main(flow: Flow, argv: Sequence[str] | None = None) -> NoReturn:
    """Replace this process by `dovetail VERB FILE ...`; see `FlowSpec.main`."""
    args = command(flow, list(sys.argv[1:] if argv is None else argv))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if os.name == "nt":  # exec there returns to the shell at once
        import subprocess

        raise SystemExit(subprocess.run(args, check=False).returncode)
    os.execv(args[0], args)


def command(flow: Flow, argv: list[str]) -> list[str]:
    """The command line that stands for `python flow.py ARGV`."""
    base = [sys.executable, *_interpreter_options(), "-m", "dovetail"]
    verb = next((n for n, arg in enumerate(argv) if not arg.startswith("-")), None)
    if verb is None:
        return [*base, *(argv or ["--help"])]
    if argv[verb] in FLOWLESS:
        return [*base, *argv]
    # Options before the verb, as in `python flow.py --profile=x run`, are the verb's own.
    return [*base, argv[verb], _file_of(flow), *argv[:verb], *argv[verb + 1 :]]


def _file_of(flow: Flow) -> str:
    """The flow's file as given to the interpreter, so that messages and processes show what was typed."""
    module = sys.modules.get(flow.__module__)
    file = getattr(module, "__file__", None)
    if not file:
        from dovetail.interfaces.errors import UsageError

        raise UsageError(
            f"{flow.__name__} has no file, so it has no command line",
            hint="Put the flow into a file and run that.",
        )
    return f"{file}:{flow.__name__}" if _has_siblings(flow, module) else str(file)


def _has_siblings(flow: Flow, module: object) -> bool:
    """Whether the file has other flows, so that the name of this one must be told."""
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec

    others = [
        value
        for value in vars(module).values()
        if (isinstance(value, FlowFunction) or (isinstance(value, type) and issubclass(value, FlowSpec)))
        and value.__module__ == flow.__module__
    ]
    return any(
        other is not flow and not (isinstance(flow, type) and isinstance(other, type) and issubclass(flow, other))
        for other in others
    )


def _interpreter_options() -> list[str]:
    """Options such as `-X dev` that this interpreter was started with."""
    orig = sys.orig_argv
    options: list[str] = []
    n = 1
    while n < len(orig) and orig[n].startswith("-") and orig[n] not in ("-m", "-c", "-"):
        options.append(orig[n])
        if orig[n] in ("-X", "-W"):
            n += 1
            options += orig[n : n + 1]
        n += 1
    return options
