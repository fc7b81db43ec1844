"""Chooses the flow of a file and reads its graph."""

from __future__ import annotations

import ast

from dovetail.authoring.skeleton.calls import Walker
from dovetail.authoring.skeleton.classes import class_skeleton
from dovetail.authoring.skeleton.drawing import Drawing
from dovetail.authoring.skeleton.meanings import Declared, FlowClass, PlainClass
from dovetail.authoring.skeleton.names import Scope
from dovetail.authoring.skeleton.sources import Sources
from dovetail.authoring.skeleton.values import Place
from dovetail.authoring.source import display_path
from dovetail.authoring.suggest import did_you_mean
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.graphs import FlowGraph

__all__ = ["skeleton"]


def skeleton(file: str, name: str | None = None) -> FlowGraph:
    """The graph of a flow from its source. No code of the user's is imported or run.

    Args:
        file: The flow's file.
        name: Which of its flows; needed where it has several.

    Raises:
        UsageError: It can't be read, it has no flow, or several and none is named.
    """
    sources = Sources(file)
    scope = Scope(sources, sources.main)
    flows = _flows(scope)
    if name is not None and name not in flows:
        raise UsageError(f"{file} has no flow {name!r}", hint=did_you_mean(name, flows) or _listed(file, flows))
    if name is None and len(flows) != 1:
        what = "no flow that its source tells" if not flows else f"several flows: {', '.join(flows)}"
        raise UsageError(f"{file} has {what}", hint=_listed(file, flows))
    flow = flows[name] if name is not None else next(iter(flows.values()))
    return class_skeleton(flow) if isinstance(flow, FlowClass) else _function_skeleton(flow)


def _listed(file: str, flows: dict[str, Declared | FlowClass]) -> str:
    if not flows:
        return "A flow is a class that inherits from FlowSpec, or a function below @flow."
    return "Name one, as in " + f"dovetail graph {file}:{next(iter(flows))}."


def _flows(scope: Scope) -> dict[str, Declared | FlowClass]:
    """The flows that a file defines, in the order written; classes that others of it inherit from are left out."""
    found: dict[str, Declared | FlowClass] = {}
    for name in scope.module.bindings:
        made = scope.lookup(name)
        here = isinstance(made, FlowClass) and made.scope is scope
        if here or (isinstance(made, Declared) and made.kind == "flow" and made.function.scope is scope):
            assert isinstance(made, (Declared, FlowClass))
            found.setdefault(made.node.name if isinstance(made, FlowClass) else made.name, made)
    bases: set[ast.AST] = set()
    pending: list[FlowClass | PlainClass] = []
    for flow in found.values():
        pending += flow.bases if isinstance(flow, FlowClass) else ()
    while pending:
        base = pending.pop()
        bases.add(base.node)
        pending += base.bases
    return {name: flow for name, flow in found.items() if isinstance(flow, Declared) or flow.node not in bases}


def _function_skeleton(flow: Declared) -> FlowGraph:
    """The body of a flow function, and what it calls."""
    drawing = Drawing()
    function = flow.function
    node = function.node
    body = drawing.add(
        kind="flow",
        name=flow.name,
        detail=f"({ast.unparse(node.args)})" if ast.unparse(node.args) else "()",
        file=display_path(function.scope.module.file),
        line=node.lineno,
    )
    Walker(function.scope.inside(node), Place(drawing, body).through(node)).function(node)
    return drawing.graph(flow.name, "function")
