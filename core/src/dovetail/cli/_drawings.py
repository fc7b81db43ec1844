"""Draws a graph: as a tree for a terminal, in Mermaid's language, in Graphviz's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dovetail.cli import output
from dovetail.interfaces.graphs import FlowGraph, GraphEdge, GraphNode

__all__ = ["dot", "mermaid", "tree"]

_OPEN = {True: ("├┄", "└┄"), False: ("├─", "└─")}
"""Whether it is dotted → the sign of an item and of the last one."""


class _Inside:
    """Which node lies in which."""

    def __init__(self, graph: FlowGraph) -> None:
        self.nodes = graph.by_id
        self.file = graph.nodes[0].file if graph.nodes else ""
        self.children: dict[str | None, list[GraphNode]] = {}
        for node in graph.nodes:
            self.children.setdefault(node.parent, []).append(node)
        self.into: dict[str, list[GraphEdge]] = {}
        self.out: dict[str, list[GraphEdge]] = {}
        for edge in graph.edges:
            self.into.setdefault(edge.target, []).append(edge)
            self.out.setdefault(edge.source, []).append(edge)

    def caller(self, node: GraphNode) -> GraphNode | None:
        """The task, step or body that calls a node."""
        parent = None if node.parent is None else self.nodes[node.parent]
        while parent is not None and parent.is_group:
            parent = None if parent.parent is None else self.nodes[parent.parent]
        return parent


# -- a tree -----------------------------------------------------------------------------------------------------------


def tree(graph: FlowGraph) -> Iterator[str]:
    """The lines of a tree. What is conditional hangs on dotted lines, what a value comes from stands behind `←`."""
    inside = _Inside(graph)
    roots = inside.children.get(None, [])
    if len(roots) == 1 and roots[0].kind == "flow":
        yield _line(roots[0], inside)
        yield from _below(roots[0], inside, "")
        return
    yield output.paint(graph.flow, "bold")
    yield from _branches(roots, inside, "")


def _below(node: GraphNode, inside: _Inside, indent: str) -> Iterator[str]:
    return _branches(inside.children.get(node.id, []), inside, indent)


def _branches(nodes: list[GraphNode], inside: _Inside, indent: str) -> Iterator[str]:
    for node in nodes:
        last = node is nodes[-1]
        yield f"{indent}{_OPEN[node.maybe][last]} {_line(node, inside)}"
        yield from _below(node, inside, indent + ("   " if last else "│  "))


def _line(node: GraphNode, inside: _Inside) -> str:
    name = output.clean(node.name)
    parts = [name + output.clean(node.detail)] if node.kind == "flow" else [name]
    if node.is_group and node.detail:
        parts.append(node.detail)
    elif not node.is_group and node.kind != "flow":
        parts = [output.paint(name, "bold")] if not node.maybe else [name]
        parts += [text for text in (_how(node), output.clean(node.detail)) if text]
    if node.states:
        parts.append(", ".join(f"{count} {output.paint_state(state)}" for state, count in node.states.items()))
    before = {edge.source for edge in inside.into.get(node.id, ())}
    sources = dict.fromkeys(other.name for other in inside.nodes.values() if other.id in before)
    if node.kind == "step":
        parts += [_way(edge, inside) for edge in inside.out.get(node.id, ())]
    elif sources:
        parts.append(f"← {', '.join(sources)}")
    if node.line and not node.states:
        here = node.file == inside.file and node.kind != "flow"
        parts.append(output.paint(f"line {node.line}" if here else f"{node.file}:{node.line}", "dim"))
    return "  ".join(parts)


def _how(node: GraphNode) -> str:
    """How a call is made, where it is not a plain one."""
    if node.kind == "run":
        return "flow" if not node.verb else f"flow, {node.verb}"
    return node.verb or ("×" if node.many and not node.states and not node.detail else "")


def _way(edge: GraphEdge, inside: _Inside) -> str:
    label = f" ({output.clean(edge.label)})" if edge.label else ""
    return f"{'┄>' if edge.maybe else '->'} {inside.nodes[edge.target].name}{label}"


# -- other tools' languages -------------------------------------------------------------------------------------------


def _label(node: GraphNode) -> list[str]:
    """Lines in a box."""
    name = f"{node.name}{node.detail}" if node.kind == "flow" else node.name
    how = ", ".join(text for text in (_how(node), "" if node.kind == "flow" else node.detail) if text)
    states = ", ".join(f"{count} {state}" for state, count in node.states.items())
    return [text for text in (name, how, states) if text]


def _calls(inside: _Inside) -> Iterator[GraphEdge]:
    """From each caller to what it calls and no value leads to."""
    for node in inside.nodes.values():
        caller = None if node.is_group else inside.caller(node)
        if caller is not None and not inside.into.get(node.id):
            label = "" if caller.kind == "flow" else "calls"
            yield GraphEdge(source=caller.id, target=node.id, label=label, maybe=node.maybe)


def mermaid(graph: FlowGraph) -> Iterator[str]:
    """The lines of a Mermaid flowchart."""
    inside = _Inside(graph)
    names = {id: f"n{at}" for at, id in enumerate(inside.nodes, 1)}

    def box(node: GraphNode) -> str:
        text = "<br>".join(_mermaid_text(line) for line in _label(node))
        left, right = ("([", "])") if node.kind == "flow" else ("[[", "]]") if node.many else ("[", "]")
        return f'{names[node.id]}{left}"{text}"{right}' + (":::maybe" if node.maybe else "")

    def frame(node: GraphNode) -> tuple[str, str]:
        return f'subgraph {names[node.id]}["{_mermaid_text(node.name)}"]', "end"

    yield "flowchart TD"
    yield from _boxes(inside, None, "  ", box, frame)
    for edge in (*_calls(inside), *graph.edges):
        text = f'|"{_mermaid_text(edge.label)}"|' if edge.label else ""
        yield f"  {names[edge.source]} {'-.->' if edge.maybe else '-->'}{text} {names[edge.target]}"
    if any(node.maybe for node in graph.nodes):
        yield "  classDef maybe stroke-dasharray: 4 4"


def _mermaid_text(text: str) -> str:
    """Text inside quotes; what would be markup or end them is written as a character's number."""
    return "".join(char if char.isalnum() or char in " _-.,:=()/[]+*←…" else f"#{ord(char)};" for char in text)


def dot(graph: FlowGraph) -> Iterator[str]:
    """The lines of a Graphviz digraph."""
    inside = _Inside(graph)
    names = {id: f"n{at}" for at, id in enumerate(inside.nodes, 1)}

    def box(node: GraphNode) -> str:
        options = [f"label={_dot_text(*_label(node))}"]
        options += ["style=dotted"] if node.maybe else []
        options += ["peripheries=2"] if node.many else []
        options += ["shape=oval"] if node.kind == "flow" else []
        return f"{names[node.id]} [{', '.join(options)}];"

    def frame(node: GraphNode) -> tuple[str, str]:
        style = " style=dotted;" if node.maybe else ""
        return f"subgraph cluster_{names[node.id]} {{ label={_dot_text(node.name)};{style}", "}"

    yield f"digraph {_dot_text(graph.flow)} {{"
    yield "  node [shape=box];"
    yield from _boxes(inside, None, "  ", box, frame)
    for edge in (*_calls(inside), *graph.edges):
        options = [f"label={_dot_text(edge.label)}"] if edge.label else []
        options += ["style=dotted"] if edge.maybe else []
        told = f" [{', '.join(options)}]" if options else ""
        yield f"  {names[edge.source]} -> {names[edge.target]}{told};"
    yield "}"


def _dot_text(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines)
    text = "\\n".join(escaped)
    return f'"{text}"'


def _boxes(
    inside: _Inside,
    parent: str | None,
    indent: str,
    box: Callable[[GraphNode], str],
    frame: Callable[[GraphNode], tuple[str, str]],
) -> Iterator[str]:
    """Every node, groups as frames around what lies in them."""
    for node in inside.children.get(parent, []):
        if node.is_group:
            begin, end = frame(node)
            yield indent + begin
            yield from _boxes(inside, node.id, indent + "  ", box, frame)
            yield indent + end
        else:
            yield indent + box(node)
            yield from _boxes(inside, node.id, indent, box, frame)
