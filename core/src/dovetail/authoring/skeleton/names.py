"""Follows names to what they stand for, through assignments, imports and decorators."""

from __future__ import annotations

import ast
import os

from dovetail.authoring.skeleton.meanings import (
    Bound,
    Declared,
    FlowClass,
    Meaning,
    Ours,
    PlainClass,
    PlainFunction,
    PlainModule,
    Value,
    literal_text,
)
from dovetail.authoring.skeleton.sources import Binding, From, SourceModule, Sources, bindings_of
from dovetail.authoring.source import FunctionNode

__all__ = ["Scope"]


class Scope:
    """The names of a module or of a function in it.

    Args:
        sources: Where modules are found.
        module: The module.
        outer: The scope around a function's; None for the module's own.
        bindings: Name → what binds it; the module's own by default.
    """

    __slots__ = ("_bindings", "_kept", "module", "outer", "sources")

    def __init__(
        self,
        sources: Sources,
        module: SourceModule,
        outer: Scope | None = None,
        bindings: dict[str, Binding] | None = None,
    ) -> None:
        self.sources = sources
        self.module = module
        self.outer = outer
        self._bindings = module.bindings if bindings is None else bindings
        self._kept: dict[str, Meaning | None] = {}

    def inside(self, node: FunctionNode | ast.Lambda) -> Scope:
        """The scope of a function that is defined here. Its parameters and loop variables stand for nothing known."""
        bindings = {} if isinstance(node, ast.Lambda) else bindings_of(node.body)
        scope = Scope(self.sources, self.module, self, bindings)
        for name in _set_in(node):
            if name not in bindings:
                scope._kept[name] = None
        return scope

    def lookup(self, name: str) -> Meaning | None:
        """What a name stands for; None where that is nothing that matters, or can't be told."""
        if name in self._kept:
            return self._kept[name]
        if name in self._bindings:
            self._kept[name] = None  # while it is followed: a name that leads to itself leads nowhere
            found = self._kept[name] = self._bound(self._bindings[name])
            return found
        if self.outer is not None:
            return self.outer.lookup(name)
        for star in self.module.stars:
            found = self._imported(From(star.module, star.level, name))
            if found is not None:
                return found
        return None

    def resolve(self, node: ast.AST) -> Meaning | None:
        """What an expression stands for."""
        if isinstance(node, ast.Name):
            return self.lookup(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(self.resolve(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.Lambda):
            return PlainFunction(node, self)
        if isinstance(node, ast.Constant):
            return Value(node, self)
        return None

    def definition(self, node: FunctionNode | ast.ClassDef) -> Meaning | None:
        """What a definition makes, its decorators included."""
        if isinstance(node, ast.ClassDef):
            return self._class(node)
        function = PlainFunction(node, self)
        for decorator in reversed(node.decorator_list):
            made = self.resolve(decorator)
            if isinstance(made, Ours) and (found := _declared(made, function, node.name)) is not None:
                return found
        return function

    # -- what binds a name ----------------------------------------------------------------------------------------

    def _bound(self, binding: Binding) -> Meaning | None:
        if isinstance(binding, From):
            return self._imported(binding)
        if isinstance(binding, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return self.definition(binding)
        return self.resolve(binding)

    def _imported(self, taken: From) -> Meaning | None:
        if not taken.level and taken.module.partition(".")[0] == "dovetail":
            # From wherever it is imported: `dovetail.authoring.task_function` has the same `task`.
            return Ours(taken.name or "")
        found = self.sources.module(taken, self.module)
        if taken.name is None:
            return None if found is None else PlainModule(found)
        if found is not None and (meaning := _scope_of(self.sources, found).lookup(taken.name)) is not None:
            return meaning
        below = f"{taken.module}.{taken.name}" if taken.module else taken.name
        module = self.sources.module(From(below, taken.level, None), self.module)
        return None if module is None else PlainModule(module)

    def _class(self, node: ast.ClassDef) -> Meaning:
        bases = [self.resolve(base) for base in node.bases]
        if any(isinstance(base, FlowClass) or (isinstance(base, Ours) and base.name == "FlowSpec") for base in bases):
            return FlowClass(node, self, tuple(base for base in bases if isinstance(base, (FlowClass, PlainClass))))
        return PlainClass(node, self, tuple(base for base in bases if isinstance(base, PlainClass)))

    # -- expressions ----------------------------------------------------------------------------------------------

    def _attribute(self, of: Meaning | None, name: str) -> Meaning | None:
        if isinstance(of, Ours):
            return Ours(name) if not of.options else None
        if isinstance(of, PlainModule):
            found = _scope_of(self.sources, of.module).lookup(name)
            return found or self._imported(From(_dotted(of.module, name), 0, None))
        if isinstance(of, (Declared, FlowClass)):
            return Bound(of, name)
        if isinstance(of, PlainClass):
            return Scope(of.scope.sources, of.scope.module, of.scope, bindings_of(of.node.body)).lookup(name)
        return None

    def _called(self, call: ast.Call) -> Meaning | None:
        made = self.resolve(call.func)
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
        if isinstance(made, Bound) and made.verb == "with_options" and isinstance(made.of, Declared):
            return made.of.with_options(given)
        if isinstance(made, Ours) and made.name in ("task", "flow"):
            if not call.args:  # a decorator with options, or one that is applied by hand: `task(retries=2)(fn)`
                return Ours(made.name, given)
            function = self.resolve(call.args[0])
            if isinstance(function, PlainFunction) and not isinstance(function.node, ast.Lambda):
                return _declared(Ours(made.name, made.options or given), function, function.node.name)
        if isinstance(call.func, (ast.Name, ast.Attribute)) and ast.unparse(call.func).endswith("partial"):
            return self.resolve(call.args[0]) if call.args else None
        return None


def _declared(made: Ours, function: PlainFunction, name: str) -> Declared | None:
    """What `@task` or `@flow` makes of a function; None for other decorators."""
    named = literal_text(made.options.get("name")) or name
    if made.name == "task":
        return Declared("task", named, function)
    return Declared("flow", named, function) if made.name == "flow" else None


def _scope_of(sources: Sources, module: SourceModule) -> Scope:
    found = sources.scopes.get(module.file)
    if found is None:
        found = sources.scopes[module.file] = Scope(sources, module)
    return found


def _dotted(module: SourceModule, name: str) -> str:
    """The full name of a package's submodule, as its folder tells."""
    folder = os.path.dirname(module.file)
    parts = [name]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, part = os.path.split(folder)
        parts.insert(0, part)
    return ".".join(parts)


def _set_in(node: FunctionNode | ast.Lambda) -> set[str]:
    """Names that a function sets: its parameters, and what its own statements store."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = {one.arg for one in every if one is not None}
    pending: list[ast.AST] = list(node.body) if isinstance(node.body, list) else []
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            found.add(inner.id)
        elif not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending += ast.iter_child_nodes(inner)
    return found
