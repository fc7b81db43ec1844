"""Collects the nodes and edges of a graph while a source is read."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from dovetail.interfaces.graphs import FlowGraph, GraphEdge, GraphNode

__all__ = ["Drawing"]

MOST = 2000
"""Nodes that a drawing grows to: functions that call each other twice would double it at each level."""


class Drawing:
    """A graph in the making."""

    def __init__(self) -> None:
        self.nodes: dict[str, GraphNode] = {}
        self.edges: dict[tuple[str, str], GraphEdge] = {}
        self.notes: list[str] = []
        self._made = 0
        self._walked: set[ast.AST] = set()
        self._leaving: set[str] = set()
        """Arms that call nothing, but after which what follows is not sure."""

    @property
    def full(self) -> bool:
        """Whether it has so many nodes that functions are not followed any further."""
        if self._made > MOST:
            self.notes.append(f"functions are not followed beyond {MOST} calls and blocks")
        return self._made > MOST

    def first(self, task: ast.AST) -> bool:
        """Whether a task is met for the first time: what it calls itself is drawn there alone."""
        met = task in self._walked or self.full
        self._walked.add(task)
        return not met

    def add(self, **given: Any) -> str:
        """Add a node (see `GraphNode`); its id."""
        self._made += 1
        node = GraphNode(id=f"n{self._made}", **given)
        self.nodes[node.id] = node
        return node.id

    def change(self, id: str, **given: Any) -> None:
        """Say something else of a node."""
        self.nodes[id] = replace(self.nodes[id], **given)

    def join(self, sources: Iterable[str], target: str) -> None:
        """Values go from these calls into that one."""
        maybe = self.nodes[target].maybe
        for source in sources:
            if source in self.nodes and source != target:
                self.edges.setdefault((source, target), GraphEdge(source=source, target=target, maybe=maybe))

    def children(self, id: str) -> list[str]:
        """Nodes right inside a node, in order."""
        return [node.id for node in self.nodes.values() if node.parent == id]

    def close(self, group: str, *, leaves: str = "") -> bool:
        """A group is complete. Drops it where nothing is in it, and folds a loop around one call into the call.

        Args:
            group: Its id.
            leaves: How it may end the block around it: then what comes behind it depends on it.

        Returns:
            Whether something in it is called.
        """
        inside = self.children(group)
        node = self.nodes[group]
        while inside and inside[-1] in self._leaving:  # nothing comes behind it
            del self.nodes[inside.pop()]
        if not inside:
            if leaves and node.kind == "branch":
                self._leaving.add(group)
                self.change(group, detail=leaves)
            else:
                del self.nodes[group]
            return False
        if leaves and node.kind == "branch":
            self.change(group, detail=leaves)
        only = self.nodes[inside[0]]
        if node.kind == "loop" and len(inside) == 1 and only.kind in ("task", "run") and only.verb != "map":
            detail = ", ".join(part for part in (node.name, only.detail) if part)
            self.change(only.id, parent=node.parent, many=True, maybe=node.maybe, detail=detail)
            del self.nodes[group]
            return False
        return True

    def dissolve(self, group: str) -> None:
        """Drop a group and keep what is in it."""
        for inside in self.children(group):
            self.change(inside, parent=self.nodes[group].parent)
        del self.nodes[group]

    def graph(self, flow: str, style: Literal["class", "function"]) -> FlowGraph:
        """The graph."""
        behind: dict[str | None, bool] = {}
        for node in reversed(list(self.nodes.values())):
            if node.id in self._leaving and not behind.get(node.parent):
                del self.nodes[node.id]  # nothing follows it
            else:
                behind[node.parent] = True
        edges = [edge for edge in self.edges.values() if edge.source in self.nodes and edge.target in self.nodes]
        return FlowGraph(
            flow=flow,
            style=style,
            nodes=tuple(self.nodes.values()),
            edges=tuple(edges),
            notes=tuple(dict.fromkeys(self.notes)),
        )
