"""The graph of a run: which tasks there were, folded by step, and which led to which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dovetail.client.bookkeeping import BOOKKEEPING, code_of_transactions
from dovetail.interfaces.graphs import FlowGraph, GraphEdge, GraphNode, step_graph
from dovetail.interfaces.paths import parse_path, step_of

if TYPE_CHECKING:
    from dovetail.client.run import Run

__all__ = ["run_graph"]

Key = tuple[str, ...]
"""Names along a path: tasks with the same are one node."""


def run_graph(run: Run) -> FlowGraph:
    """The graph of a run as it is now.

    Tasks of one step are one node with the number of tasks in each state; so are the calls of one task by tasks of
    one step. Steps and transitions of a class flow that the run has not met are there too, as `maybe`.
    """
    flow = run.graph
    body = flow.start if flow.style == "function" else None
    nodes: dict[Key, GraphNode] = {}
    edges: dict[tuple[str, str], GraphEdge] = {}
    if body is None:
        steps, transitions = step_graph(flow)
        nodes = {(step.name,): replace(step, maybe=True, many=False) for step in steps}
        edges = {(edge.source, edge.target): replace(edge, maybe=True) for edge in transitions}
    described = {step.name: step for step in flow.steps}
    states: dict[Key, dict[str, int]] = {}
    table = run.table(["path", "state", "started"])
    left_out = _bookkeeping(run, table["path"])
    for path, state, _ in sorted(zip(*table.values(), strict=True), key=lambda row: (row[2] is None, row[2] or 0)):
        if path in left_out:
            continue
        key = _key(path, body)
        if key not in nodes:
            for at in range(1, len(key) + 1):
                nodes.setdefault(key[:at], _node(key[:at], body))
        if key[1:] and not nodes[key].verb and parse_path(path)[-1].indexes:
            nodes[key] = replace(nodes[key], verb="map")
        counts = states.setdefault(key, {})
        counts[state] = counts.get(state, 0) + 1
    for key, counts in states.items():
        node = replace(nodes[key], states=counts, many=sum(counts.values()) > 1, maybe=False)
        if not node.file and (step := described.get(key[-1])) is not None:
            node = replace(node, file=step.file, line=step.line)
        nodes[key] = node
    for before, after in sorted(_followed(run, body)):
        if before in nodes and after in nodes:
            pair = nodes[before].id, nodes[after].id
            known_edge = edges.get(pair, GraphEdge(source=pair[0], target=pair[1]))
            edges[pair] = replace(known_edge, maybe=False)
    return FlowGraph(
        flow=run.flow_name, style=flow.style, run=run.id, nodes=tuple(nodes.values()), edges=tuple(edges.values())
    )


def _key(path: str, body: str | None) -> Key:
    names = tuple(step_of(part) for part in path.split("/"))
    return names if body is None or path == body else (body, *names)


def _node(key: Key, body: str | None) -> GraphNode:
    if len(key) == 1:
        return GraphNode(id=key[0], kind="step" if body is None else "flow", name=key[0])
    return GraphNode(id="/".join(key), kind="task", name=key[-1], parent="/".join(key[:-1]))


def _bookkeeping(run: Run, paths: Iterable[str]) -> set[str]:
    """Of the paths, those of tasks that only keep a transaction."""
    from dovetail.client.stores import records_of

    known = {path for path in paths if "/" in path and step_of(path.rpartition("/")[2]) in BOOKKEEPING}
    if not known:
        return known
    own = code_of_transactions(run)
    return {record.path for record in records_of(run) if record.path in known and record.code_key.hex() in own}


def _followed(run: Run, body: str | None) -> set[tuple[Key, Key]]:
    """(before, after) of every two nodes of which tasks followed each other."""
    from dovetail.client.stores import records_of
    from dovetail.interfaces.states import TaskState

    found: set[tuple[Key, Key]] = set()
    for record in records_of(run):
        after = _key(record.path, body)
        found.update((_key(before, body), after) for before in record.predecessors)
    if body is None:  # what has left no record: the graph and the indexes tell
        for task in run.tasks(state=[state.value for state in TaskState if not state.committed]):
            if len(parse_path(task.path)) == 1:
                found.update((_key(before, body), (task.step_name,)) for before in run.lineage.parents(task))
    return {(before, after) for before, after in found if before != after[:-1]}
