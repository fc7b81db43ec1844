"""`dovetail graph`: what a flow looks like from its source, or a run as it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of, split_file

if TYPE_CHECKING:
    import argparse

    from dovetail.interfaces.graphs import FlowGraph

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(
        parser,
        "FILE|RUN",
        "a flow's file (FILE:NAME where it has several), read but not run; or a run id, a prefix of one, or a flow "
        "for its newest run (default: the newest run)",
    )
    parser.add_argument("--run", action="store_true", help="of a file: the newest run of its flow, not the source")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--mermaid", action="store_true", help="write a Mermaid flowchart")
    form.add_argument("--dot", action="store_true", help="write a Graphviz digraph")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Draw what is named."""
    from dovetail.cli import _drawings

    graph = _graph(args)
    if args.json:
        output.emit_json(graph.to_plain())
    else:
        draw = _drawings.mermaid if args.mermaid else _drawings.dot if args.dot else _drawings.tree
        output.say("\n".join(draw(graph)))
        for note in graph.notes:
            output.warn(f"note: {output.clean(note)}")
    return 0


def _graph(args: argparse.Namespace) -> FlowGraph:
    if len(args.target) == 1 and not args.run:
        file, name = split_file(args.target[0])
        if file.endswith(".py"):
            from dovetail.authoring.skeleton import skeleton
            from dovetail.engine.session import find_flow_file

            find_flow_file(file)
            return skeleton(file, name or None)
    from dovetail.client.run_graph import run_graph
    from dovetail.interfaces.errors import UsageError

    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        if rest:
            raise UsageError(
                f"{'/'.join(rest)} is a part of run {found.pathspec}", hint=f"dovetail graph {found.id} draws the run."
            )
        return run_graph(found)
