"""The command line: one thin module a verb.

The table below is static, so that `dovetail --help` imports no verb, no argparse and no plugin. A verb's module has
`configure(parser)` and `run(args) -> int`; verbs of plugins come from the hook `dovetail_commands`.
"""

from __future__ import annotations

import os
import sys

# Not imported from typing: that alone would be a third of what `--help` costs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from dovetail.interfaces.errors import DovetailError

__all__ = ["BELOW", "VERBS", "main"]

VERBS = {
    "run": "run a flow",
    "resume": "continue a run, or start one that reuses what an earlier one did",
    "check": "find everything that is wrong with a flow, without running it",
    "graph": "draw a flow from its source, or a run as it went",
    "show": "show a run, its steps and its failures",
    "explain": "tell why tasks ran or were reused, and what changed",
    "logs": "print what tasks wrote",
    "artifacts": "list the artifacts of a run or task",
    "get": "print or save an artifact",
    "runs": "list runs, newest first; delete or prune them",
    "tasks": "list the tasks of a run",
    "tag": "add or remove tags of a run",
    "cancel": "stop a run",
    "pause": "hold a run: nothing new begins, what runs ends",
    "unpause": "let a paused run go on",
    "signal": "answer what a run waits for, or send it a message",
    "limits": "define and show limits that all runs share",
    "store": "free space, measure, verify and copy data stores, pin what must stay",
    "metadata-rebuild": "rebuild the index of runs from the data store",
    "plugins": "list, show, test and check plugins, pin them, and begin new ones",
    "config": "show settings, and explain where they come from",
}
"""Verb → what it does."""
_GROUPS = (
    ("Run", ("run", "resume", "check", "cancel", "pause", "unpause", "signal")),
    ("Look", ("graph", "show", "explain", "logs", "artifacts", "get", "runs", "tasks", "tag")),
    ("Set up", ("config", "plugins", "limits", "store", "metadata-rebuild")),
)
_RAW = frozenset({"run", "resume"})
"""Verbs that read their own words: a flow adds options of its own."""
BELOW = {"runs": ("delete", "prune")}
"""Verb → words behind it that make another verb, with a module of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code.

    0 done, 1 a run failed, 2 usage, validation or settings, 3 plugin or backend, 4 store or metadata, 130 interrupted.

    Args:
        argv: The words after the program's name; the process's by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None or sys.stderr is None:  # started with a closed descriptor
        sys.stdout, sys.stderr = sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        # Whoever read our output went away (`| head`): neither an error nor worth a second one at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        from dovetail.interfaces.errors import DovetailError

        if os.environ.get("DOVETAIL_TRACEBACK"):
            raise
        if isinstance(error, DovetailError):
            _report(error)
            return error.exit_code
        if not _is_of_output(error):
            raise
        sys.stderr.write(f"error: {error}\n")
        return 4


def _is_of_output(error: Exception) -> bool:
    """Whether a file or terminal that takes our output is full or gone: a store's own faults are DovetailErrors."""
    import errno

    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO)


def _dispatch(words: list[str]) -> int:
    while words and words[0] == "--no-plugins":
        # For every verb, and before any plugin could be imported; inherited by the processes that we start.
        os.environ["DOVETAIL_PLUGINS"] = "off"
        del words[0]
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    verb, *rest = words
    if verb in ("-V", "--version", "version"):
        from importlib.metadata import version

        sys.stdout.write(f"dovetail {version('dovetail')}\n")
        return 0
    if verb in VERBS:
        import gc
        from importlib import import_module

        if verb in _RAW:
            # Imports make many objects and no garbage: collecting among them would cost a tenth of a short run.
            # The driver collects again once it runs.
            gc.disable()
        below = next((word for word in rest[:2] if word in BELOW.get(verb, ())), "")
        if below and (rest[0] == below or rest[0].endswith(".py")):
            rest.remove(below)
            verb = f"{verb} {below}"
        module = import_module(f"dovetail.cli.{verb.replace('-', '_').replace(' ', '_')}")
        try:
            return _run(verb, module, VERBS.get(verb) or module.SUMMARY, rest)
        finally:
            gc.enable()
    return _run_plugin_verb(verb, rest)


def _run(verb: str, module: Any, summary: str, words: list[str]) -> int:
    import argparse

    if verb in _RAW:
        return int(module.run(argparse.Namespace(words=words)))
    parser = argparse.ArgumentParser(prog=f"dovetail {verb}", description=f"{summary[:1].upper()}{summary[1:]}.")
    module.configure(parser)
    try:
        found = parser.parse_intermixed_args(words)  # options may stand between the words
    except TypeError:  # it has verbs of its own
        found = parser.parse_args(words)
    return int(module.run(found))


def _run_plugin_verb(verb: str, words: list[str]) -> int:
    from dovetail.interfaces.errors import PluginNotFoundError, UnknownNameError
    from dovetail.settings import Settings

    registry = Settings.load().registry
    try:
        spec = registry.spec("command", verb) if not verb.startswith("-") else None
    except PluginNotFoundError:
        spec = None
    if spec is None:
        from dovetail.plugins.suggest import did_you_mean

        hint = did_you_mean(verb, [*VERBS, *registry.names("command")]) or "dovetail --help lists the verbs."
        raise UnknownNameError(f"there is no verb {verb!r}", hint=hint)
    return _run(verb, registry.load(spec), spec.summary, words)


def _report(error: DovetailError) -> None:
    """Message, hint and code on stderr; colours on a terminal alone."""
    from dovetail.cli.output import clean, paint

    sys.stdout.flush()
    head = paint("error", "bold", "red", stream=sys.stderr)
    text = clean(str(error))
    sys.stderr.write(f"{head}: {text}\n{paint(error.code, 'dim', stream=sys.stderr)}\n")


def _help() -> str:
    lines = [
        "usage: dovetail VERB ...",
        "",
        "Run Python workflows whose storage, metadata, compute and environments are plugins.",
    ]
    width = max(map(len, VERBS))
    for title, verbs in _GROUPS:
        lines += ["", f"{title}:", *(f"  {verb:{width}}  {VERBS[verb]}" for verb in verbs)]
    lines += [
        "",
        "Options:",
        f"  {'--no-plugins':{width}}  use the embedded defaults alone (before the verb)",
        f"  {'--version':{width}}  print the version",
        "",
        "dovetail VERB --help tells more. Plugins may add verbs: dovetail plugins list --kind command",
    ]
    return "\n".join(lines) + "\n"
