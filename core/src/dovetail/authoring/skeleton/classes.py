"""Describes a flow class from its source: steps, transitions, and the tasks that each step calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from dovetail.authoring.reading import NextReader, Unreadable, self_name, what_is_written
from dovetail.authoring.skeleton.calls import Walker
from dovetail.authoring.skeleton.drawing import Drawing
from dovetail.authoring.skeleton.meanings import FlowClass, Meaning, Ours, PlainClass, PlainFunction, Value
from dovetail.authoring.skeleton.names import Scope
from dovetail.authoring.skeleton.sources import bindings_of
from dovetail.authoring.skeleton.values import Place
from dovetail.authoring.source import FunctionNode, display_path, first_paragraph
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.graphs import FlowGraph, step_graph

__all__ = ["class_skeleton"]


def class_skeleton(flow: FlowClass) -> FlowGraph:
    """The graph of a flow class: its steps, and below each the tasks that it calls."""
    found = _Class(flow)
    description = found.description()
    steps, transitions = step_graph(description)
    drawing = Drawing()
    drawing.notes += found.notes
    for step in steps:
        drawing.nodes[step.id] = step
        method = found.methods[step.name]
        methods = (self_name(_node(method)), found.methods)
        place = Place(drawing, step.id).through(method.node)
        Walker(method.scope.inside(method.node), place, methods=methods).function(method.node)
    drawing.edges = {(edge.source, edge.target): edge for edge in transitions} | drawing.edges
    return drawing.graph(flow.node.name, "class")


class _Class:
    """The methods of a flow class and of its bases, nearest class first."""

    def __init__(self, flow: FlowClass) -> None:
        self._flow = flow
        self._order = list(_linear(flow))
        self.methods: dict[str, PlainFunction] = {}
        self.notes: list[str] = []
        self._marks: dict[str, Ours] = {}
        for cls in reversed(self._order):
            scope = cls.scope
            for node in cls.node.body:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    self._method(node, scope)

    def _method(self, node: FunctionNode, scope: Scope) -> None:
        self.methods.pop(node.name, None)  # where a subclass defines it anew, it counts from there
        self.methods[node.name] = PlainFunction(node, scope)
        self._marks.pop(node.name, None)
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            made = scope.resolve(called)
            if isinstance(made, Ours) and made.name == "step":
                words = decorator.keywords if isinstance(decorator, ast.Call) else []
                self._marks[node.name] = Ours("step", {word.arg: word.value for word in words if word.arg})

    def description(self) -> FlowDescription:
        """The flow."""
        steps = tuple(self._step(name) for name in self.methods if name in self._marks)
        return FlowDescription(
            name=self._flow.node.name,
            module="",
            file=self._flow.scope.module.file,
            doc=first_paragraph(ast.get_docstring(self._flow.node)),
            steps=steps,
            start=self._end("start", steps),
            end=self._end("end", steps),
        )

    def _end(self, which: str, steps: tuple[StepDescription, ...]) -> str:
        for name, mark in self._marks.items():
            value = mark.options.get(which)
            if isinstance(value, ast.Constant) and value.value is True:
                return name
        if which in self._marks:
            return which
        return steps[0].name if len(steps) == 1 else ""

    def _step(self, name: str) -> StepDescription:
        method = self.methods[name]
        node = _node(method)
        found: dict[str, Transition] = {}
        for transition in self._transitions(method, set()):
            found.setdefault(repr({**transition.to_plain(), "line": 0}), transition)
        arguments = [*node.args.posonlyargs, *node.args.args]
        return StepDescription(
            name=name,
            is_join=len(arguments) > 1,
            transitions=tuple(found.values()),
            doc=first_paragraph(ast.get_docstring(node)),
            file=display_path(method.scope.module.file),
            line=node.lineno,
        )

    def _transitions(self, method: PlainFunction, seen: set[ast.AST]) -> Iterator[Transition]:
        """What a method leads to, also in methods that it calls."""
        node = _node(method)
        if node in seen:
            return
        seen.add(node)
        reader = NextReader(self_name(node), lambda name, of_self: self._value(name, of_self, method.scope))
        for written in what_is_written(node):
            if written.kind == "call":
                for called in self._called(written.name, node):
                    yield from self._transitions(called, seen)
            elif written.kind == "next":
                assert isinstance(written.node, ast.Call)
                try:
                    yield reader.read(written.node)
                except Unreadable as wrong:
                    where = f"{display_path(method.scope.module.file)}:{written.line}"
                    self.notes.append(f"{where}: {wrong.message}")

    def _called(self, name: str, caller: FunctionNode) -> list[PlainFunction]:
        """Methods that `self.NAME()` or `super().NAME()` may mean, other than the caller."""
        found = []
        for cls in self._order:
            for node in cls.node.body:
                is_it = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
                if is_it and node is not caller:
                    found.append(PlainFunction(node, cls.scope))  # type: ignore[arg-type]
        return found

    def _value(self, name: str, of_self: bool, scope: Scope) -> Any:
        """The literal that a name of a class or module holds.

        Raises:
            KeyError: It holds something else.
        """
        expression = ast.parse(name, mode="eval").body
        made: Meaning | None = next((found for cls in self._order if (found := _attribute(cls, name))), None)
        if not of_self:
            made = scope.resolve(expression)
        if not isinstance(made, Value):
            raise KeyError(name)
        return ast.literal_eval(made.node)


def _attribute(cls: FlowClass | PlainClass, name: str) -> Value | None:
    bound = bindings_of(cls.node.body).get(name)
    return Value(bound, cls.scope) if isinstance(bound, ast.Constant) else None


def _linear(flow: FlowClass | PlainClass) -> Iterator[FlowClass | PlainClass]:
    """A class and its bases, each once and before its own bases."""
    found: dict[ast.ClassDef, FlowClass | PlainClass] = {}
    pending: list[FlowClass | PlainClass] = [flow]
    while pending:
        cls = pending.pop(0)
        found.pop(cls.node, None)
        found[cls.node] = cls
        pending += cls.bases
    yield from found.values()


def _node(function: PlainFunction) -> FunctionNode:
    assert not isinstance(function.node, ast.Lambda)
    return function.node
