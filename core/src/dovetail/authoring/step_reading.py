"""Reads one step: its transitions, also those in methods that it calls, and the artifacts that it sets."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from dovetail.authoring.constants import constants
from dovetail.authoring.flowspec import FlowSpec
from dovetail.authoring.parameters import ParameterAttribute
from dovetail.authoring.reading import NextReader, Unreadable, self_name, what_is_written
from dovetail.authoring.source import FunctionNode, code_of, display_path, function_node
from dovetail.authoring.steps import mark_of
from dovetail.interfaces.flow import Transition
from dovetail.interfaces.problems import Problem

__all__ = ["StepReader"]


class StepReader:
    """Collects what a step does. One for each step.

    Args:
        flow_cls: The flow.
        name: Name of the step.
        steps: Names of all steps.
    """

    def __init__(self, flow_cls: type[FlowSpec], name: str, steps: set[str]) -> None:
        self._flow_cls = flow_cls
        self._name = name
        self._steps = steps
        self._constants = constants(flow_cls)
        self._visited: set[CodeType] = set()
        self.assigned: set[str] = set()
        """Artifacts that are set by name."""
        self.problems: list[Problem] = []

    def read(self, method: Callable[..., Any]) -> list[Transition]:
        """Every transition that the method can reach, in the order written, each once."""
        found: dict[str, Transition] = {}
        for transition in self._read(method):
            found.setdefault(repr({**transition.to_plain(), "line": 0}), transition)
        return list(found.values())

    def _read(self, method: object) -> list[Transition]:
        code = code_of(method)
        if code is None or code in self._visited:
            return []
        self._visited.add(code)
        node = function_node(code)
        if node is None:
            return self._read_bytecode(method, code)
        return self._read_source(method, code, node)

    def _read_source(self, method: object, code: CodeType, node: FunctionNode) -> list[Transition]:
        reader = NextReader(self_name(node), self._resolver(method))
        found: list[Transition] = []
        for written in what_is_written(node):
            if written.kind == "assign":
                self._assigned(written.name, code, written.line)
            elif written.kind == "call":
                for called in self._called(written.name, code):
                    found += self._read(called)
            else:
                assert isinstance(written.node, ast.Call)
                try:
                    found.append(reader.read(written.node))
                except Unreadable as wrong:
                    self._problem(wrong.code, wrong.message, wrong.fix, code, written.line)
        return found

    def _read_bytecode(self, method: object, code: CodeType) -> list[Transition]:
        from dovetail.authoring.bytecode import read_bytecode

        found: list[Transition] = []
        read = read_bytecode(code, self._resolver(method))
        for name, line in read.assigned:
            self._assigned(name, code, line)
        for item in read.steps:
            if isinstance(item, Transition):
                found.append(item)
            else:
                for called in self._called(item, code):
                    found += self._read(called)
        for wrong, line in read.unreadable:
            self._problem(wrong.code, wrong.message, wrong.fix, code, line)
        return found

    def _called(self, name: str, code: CodeType) -> list[object]:
        """Methods of the flow that `self.name()` or `super().name()` may mean, other than the caller."""
        found = []
        for base in self._flow_cls.__mro__:
            value = vars(base).get(name)
            if base is FlowSpec or base is object or value is None:
                continue
            called = code_of(value)
            if called is not None and called is not code:
                found.append(value)
                if mark_of(value) is None:
                    break
        return found

    def _assigned(self, name: str, code: CodeType, line: int) -> None:
        self.assigned.add(name)
        cls = self._flow_cls
        if name in vars(FlowSpec) and name[0] != "_":
            what = "which every flow has already"
        elif name in self._steps:
            what = "which is a step"
        elif name[0] != "_" and any(isinstance(vars(base).get(name), ParameterAttribute) for base in cls.__mro__):
            what = "which is a parameter, read-only in steps"
        elif name in self._constants:
            what = "which is a constant of the class, read-only in steps"
        else:
            return
        self._problem(
            "reserved-name", f"step {self._name} sets self.{name}, {what}", "Choose another name.", code, line
        )

    def _resolver(self, method: object) -> Callable[[str, bool], Any]:
        function = getattr(method, "__func__", method)
        scope = getattr(function, "__globals__", {})

        def resolve(name: str, of_self: bool) -> Any:
            if of_self:
                return self._constants[name]
            first, *rest = name.split(".")
            value = scope[first] if first in scope else vars(sys.modules["builtins"])[first]
            for part in rest:
                value = getattr(value, part, None)
            return value

        return resolve

    def _problem(self, code: str, message: str, fix: str, where: CodeType, line: int) -> None:
        self.problems.append(
            Problem(code=code, message=message, fix=fix, file=display_path(where.co_filename), line=line)
        )
