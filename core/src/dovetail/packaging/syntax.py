"""Normalised syntax trees: what code means to the interpreter, without comments, docstrings and formatting."""

from __future__ import annotations

import ast
from typing import Any

from blake3 import blake3

__all__ = ["Reading", "read_tree"]

_SKIPPED = frozenset({"ctx", "type_comment", "type_ignores", "kind"})
_FIELDS: dict[type, tuple[str, ...]] = {}
_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Reading:
    """What a piece of code is, and what it names."""

    __slots__ = ("attributes", "digest", "inherited", "names", "uses_instance")

    def __init__(
        self,
        digest: str,
        names: frozenset[str],
        attributes: frozenset[str],
        inherited: frozenset[str],
        uses_instance: bool,
    ) -> None:
        self.digest = digest
        """Hex digest of the normalised tree."""
        self.names = names
        """Global names that it may read."""
        self.attributes = attributes
        """Attributes of the instance that a method reads, but for the targets of `self.next`."""
        self.inherited = inherited
        """Attributes that a method reads of `super()`."""
        self.uses_instance = uses_instance
        """Whether a method hands its instance to other code, which may read any attribute."""


class _Scope:
    """Names of one function."""

    __slots__ = ("bound", "declared", "used")

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.declared: set[str] = set()
        self.used: set[str] = set()

    def free(self) -> set[str]:
        return (self.used - self.bound) | (self.used & self.declared)


def read_tree(
    nodes: list[ast.AST], *, me: str = "", left_out: frozenset[ast.AST] = frozenset(), of_class: bool = False
) -> Reading:
    """Read definitions or statements.

    Args:
        nodes: They are read in this order.
        me: Of a method: what it calls its instance.
        left_out: Nodes that do not count, such as decorators that change nothing.
        of_class: Whether the nodes are statements of a class body, in which names are not global.
    """
    reader = _Reader(me, left_out)
    scope = _Scope()
    for node in nodes:
        reader.visit(node, scope)
    text = "".join(reader.out)
    names = scope.free() if of_class else scope.used | (scope.bound & scope.declared)
    return Reading(
        blake3(text.encode("utf-8", "surrogatepass")).hexdigest(),
        frozenset(names),
        frozenset(reader.attributes),
        frozenset(reader.inherited),
        reader.uses_instance,
    )


class _Reader:
    """Writes the tree as text that is the same for equal code only, and notes names by scope on the way."""

    def __init__(self, me: str, left_out: frozenset[ast.AST]) -> None:
        self.out: list[str] = []
        self.attributes: set[str] = set()
        self.inherited: set[str] = set()
        self.uses_instance = False
        self._me = me
        self._left_out = left_out

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        kind = type(node)
        if kind is ast.Name:
            self._name(node, scope)
        elif kind is ast.Constant:
            value = node.value  # type: ignore[attr-defined]
            self.out.append(f"{type(value).__name__}:{value!r};")
        elif kind is ast.Attribute:
            self._attribute(node, scope)
        elif kind is ast.Call and self._is_next(node):
            self._next(node, scope)
        elif kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda):
            self._function(node, scope)
        elif kind is ast.ClassDef:
            self._class(node, scope)
        elif kind in _SCOPES:
            inner = _Scope()
            self._fields(node, inner)
            scope.used |= inner.free()
        else:
            self._binds(node, scope)
            self._fields(node, scope)

    def _fields(self, node: ast.AST, scope: _Scope) -> None:
        kind = type(node)
        fields = _FIELDS.get(kind)
        if fields is None:
            fields = _FIELDS[kind] = tuple(name for name in kind._fields if name not in _SKIPPED)
        self.out.append(f"({kind.__name__}")
        for name in fields:
            value = getattr(node, name, None)
            if value is None or value == []:
                continue  # also what later versions of Python add
            self.out.append(f" {name}=")
            self._value(value, scope)
        self.out.append(")")

    def _value(self, value: Any, scope: _Scope) -> None:
        if isinstance(value, list):
            self.out.append("[")
            for item in value:
                self._value(item, scope)
            self.out.append("]")
        elif isinstance(value, ast.AST):
            if value not in self._left_out:
                self.visit(value, scope)
        else:
            self.out.append(f"{value!r};")

    def _name(self, node: Any, scope: _Scope) -> None:
        name: str = node.id
        self.out.append(f"N:{name};")
        if type(node.ctx) is ast.Load:
            scope.used.add(name)
            if name == self._me:
                self.uses_instance = True
        else:
            scope.bound.add(name)
            if type(node.ctx) is ast.Del:
                scope.used.add(name)

    def _attribute(self, node: Any, scope: _Scope) -> None:
        self.out.append(f"A:{node.attr};")
        value = node.value
        if self._me and isinstance(value, ast.Name) and value.id == self._me:
            self.out.append(f"N:{value.id};")
            self.attributes.add(node.attr)
            return
        if self._me and isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super":
            self.inherited.add(node.attr)
        self.visit(value, scope)

    def _is_next(self, node: Any) -> bool:
        called = node.func
        return (
            bool(self._me)
            and isinstance(called, ast.Attribute)
            and called.attr == "next"
            and isinstance(called.value, ast.Name)
            and called.value.id == self._me
        )

    def _next(self, node: Any, scope: _Scope) -> None:
        """`self.next(...)`: the steps that it names are no code of this step."""
        self.out.append("(next ")
        for argument in node.args:
            if isinstance(argument, ast.Dict):
                for key, value in zip(argument.keys, argument.values, strict=True):
                    if key is not None:
                        self.visit(key, scope)
                    self._target(value, scope)
            else:
                self._target(argument, scope)
        for keyword in node.keywords:
            self.visit(keyword, scope)
        self.out.append(")")

    def _target(self, node: ast.expr, scope: _Scope) -> None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == self._me:
            self.out.append(f"S:{node.attr};")
        else:
            self.visit(node, scope)

    def _function(self, node: Any, scope: _Scope) -> None:
        inner = _Scope()
        name = getattr(node, "name", "")
        self.out.append(f"({type(node).__name__} {name} ")
        if name:
            scope.bound.add(name)
        # Defaults, decorators and annotations are evaluated outside.
        arguments: ast.arguments = node.args
        for argument in [
            *arguments.posonlyargs,
            *arguments.args,
            *filter(None, [arguments.vararg]),
            *arguments.kwonlyargs,
            *filter(None, [arguments.kwarg]),
        ]:
            inner.bound.add(argument.arg)
            if argument.annotation is not None:
                self.visit(argument.annotation, scope)
        shape = [len(part) for part in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)]
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        stars = [star.arg if star is not None else None for star in (arguments.vararg, arguments.kwarg)]
        self.out.append(f"{shape}{names}{stars}")
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is None:
                self.out.append("-")
            else:
                self.visit(default, scope)
        for decorator in getattr(node, "decorator_list", []):
            if decorator not in self._left_out:
                self.out.append("@")
                self.visit(decorator, scope)
        if getattr(node, "returns", None) is not None:
            self.out.append("->")
            self.visit(node.returns, scope)
        for parameter in getattr(node, "type_params", []):
            inner.bound.add(parameter.name)
            self._fields(parameter, inner)
        body = node.body if isinstance(node.body, list) else [node.body]
        self.out.append(":")
        for statement in _without_docstring(node, body):
            self.visit(statement, inner)
        self.out.append(")")
        scope.used |= inner.free()
        scope.declared |= inner.declared

    def _class(self, node: Any, scope: _Scope) -> None:
        """Names of a class body are not seen by its methods."""
        scope.bound.add(node.name)
        self.out.append(f"(ClassDef {node.name} ")
        for part in (*node.bases, *node.keywords, *node.decorator_list):
            if part not in self._left_out:
                self.visit(part, scope)
        body = _Scope()
        methods = _Scope()
        for parameter in getattr(node, "type_params", []):
            scope.bound.add(parameter.name)
            self._fields(parameter, scope)
        self.out.append(":")
        for statement in _without_docstring(node, node.body):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body.bound.add(statement.name)
                self.visit(statement, methods)
            else:
                self.visit(statement, body)
        self.out.append(")")
        scope.used |= body.free() | methods.used

    def _binds(self, node: Any, scope: _Scope) -> None:
        """Names that other kinds of nodes bind."""
        kind = type(node)
        if kind in (ast.Import, ast.ImportFrom):
            for alias in node.names:
                scope.bound.add(alias.asname or alias.name.partition(".")[0])
        elif kind is ast.Global:
            scope.declared.update(node.names)
            scope.used.update(node.names)
        elif kind is ast.Nonlocal:
            scope.used.update(node.names)
        elif kind in (ast.ExceptHandler, ast.MatchAs, ast.MatchStar):
            if node.name:
                scope.bound.add(node.name)
        elif kind is ast.MatchMapping and node.rest:
            scope.bound.add(node.rest)


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    if isinstance(node, _DOCUMENTED) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[1:]
    return body
