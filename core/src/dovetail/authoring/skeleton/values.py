"""Walks expressions: what they call, and from which calls a value may come.

Values are followed by name: what a variable may hold comes from the calls that were assigned, appended or put into it.
Plain functions of the user's are walked where they are called.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping

from dovetail.authoring.reading import self_name
from dovetail.authoring.skeleton.drawing import Drawing
from dovetail.authoring.skeleton.meanings import Bound, Declared, FlowClass, Ours, PlainFunction, shown
from dovetail.authoring.skeleton.names import Scope
from dovetail.authoring.source import FunctionNode, display_path

__all__ = ["NONE", "Ids", "Methods", "Place", "ValueWalker"]

Ids = frozenset[str]
NONE: Ids = frozenset()
Methods = dict[str, PlainFunction]
"""Name → method that `self.NAME()` calls."""


class Place:
    """Where calls are drawn, and which functions led there."""

    __slots__ = ("drawing", "maybe", "parent", "path")

    def __init__(self, drawing: Drawing, parent: str | None, *, maybe: bool = False, path: tuple[ast.AST, ...] = ()):
        self.drawing = drawing
        self.parent = parent
        self.maybe = maybe
        self.path = path
        """Functions that are being walked: one that calls itself is not walked again."""

    def at(self, parent: str | None, *, maybe: bool | None = None) -> Place:
        """The same in another node."""
        return Place(self.drawing, parent, maybe=self.maybe if maybe is None else maybe, path=self.path)

    def through(self, function: ast.AST) -> Place:
        """The same in a function that is walked from here."""
        return Place(self.drawing, self.parent, maybe=self.maybe, path=(*self.path, function))


class ValueWalker(ABC):
    """Walks the expressions of one function.

    Args:
        scope: Its names.
        place: Where its calls are drawn.
        known: Parameter → calls whose values it may hold.
        methods: Of a class: its methods, and what the function calls its instance.
    """

    def __init__(
        self,
        scope: Scope,
        place: Place,
        known: dict[str, Ids] | None = None,
        *,
        methods: tuple[str, Methods] | None = None,
    ) -> None:
        self._scope = scope
        self._place = place
        self._values: dict[str, Ids] = dict(known or {})
        self._methods = methods
        self.returned: Ids = NONE
        """Calls whose values it may return."""

    @abstractmethod
    def function(self, node: FunctionNode | ast.Lambda) -> Ids:
        """Walk a whole function; the calls whose values it may return."""

    # -- values ---------------------------------------------------------------------------------------------------

    def _value(self, node: ast.AST | None) -> Ids:
        """Walk an expression; the calls whose values go into its own."""
        if node is None:
            return NONE
        if isinstance(node, ast.Name):
            self._may_be_called(node)
            return self._values.get(node.id, NONE)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Attribute):
            name = self._own(node)
            if name is not None:
                return self._values.get(name, NONE)
            self._may_be_called(node)
            return self._value(node.value)
        if isinstance(node, ast.Lambda):
            return self._maybe(node.body)
        if isinstance(node, ast.IfExp):
            self._value(node.test)
            chosen = self._inside(self._branch(f"if {shown(node.test)}", node.body.lineno), node.body)
            return chosen | self._inside(self._branch("else", node.orelse.lineno), node.orelse)
        if isinstance(node, ast.BoolOp):
            first, *others = node.values
            return self._value(first).union(*(self._maybe(other) for other in others))
        if isinstance(node, ast.NamedExpr):
            found = self._value(node.value)
            self._assign(node.target, found)
            return found
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            return self._comprehension(node)
        return NONE.union(*(self._value(child) for child in ast.iter_child_nodes(node)))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Ids:
        before = dict(self._values)
        place = self._place
        groups = []
        for part in node.generators:
            values = self._value(part.iter)
            groups.append(self._loop(f"for {shown(part.target)} in {shown(part.iter)}", part.target.lineno))
            self._place = self._place.at(groups[-1])
            self._assign(part.target, values)
            for test in part.ifs:
                self._value(test)
            if part.ifs:
                groups.append(self._branch(f"if {' and '.join(shown(test) for test in part.ifs)}", part.ifs[0].lineno))
                self._place = self._place.at(groups[-1], maybe=True)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        sources = NONE.union(*(self._value(result) for result in results))
        for group in reversed(groups):
            place.drawing.close(group)
        self._place, self._values = place, before
        return sources

    def _call(self, node: ast.Call) -> Ids:
        found = self._scope.resolve(node.func)
        made, verb = (found.of, found.verb) if isinstance(found, Bound) else (found, "")
        if isinstance(made, Declared) and verb == "fn":
            made = made.function
        if isinstance(made, Declared) and verb in ("", "submit", "map"):
            return self._declared(node, made, verb)
        if isinstance(made, FlowClass) and verb in ("run", "submit"):
            return frozenset({self._draw(node, "run", made.node.name, "" if verb == "run" else verb, {})})
        if isinstance(made, Ours) and made.name in ("run_flow", "arun_flow") and node.args:
            flow = self._scope.resolve(node.args[0])
            if isinstance(flow, FlowClass):
                return frozenset({self._draw(node, "run", flow.node.name, "", {})})
        if isinstance(made, PlainFunction):
            return self._through(node, made, self._arguments(node, made))
        own = self._own(node.func)
        if own is not None and self._methods is not None and own in self._methods[1]:
            return self._through(node, self._methods[1][own], self._arguments(node, self._methods[1][own], skip=1))
        given = self._given(node)
        if isinstance(node.func, ast.Attribute):
            given |= self._value(node.func.value)
            self._add(node.func.value, given)  # `found.append(x)`, `found[k].update(x)`
            return given
        return given if isinstance(node.func, ast.Name) else given | self._value(node.func)

    def _declared(self, node: ast.Call, made: Declared, verb: str) -> Ids:
        kind = "task" if made.kind == "task" else "run"
        id = self._draw(node, kind, made.name, verb, made.options)
        function = made.function
        if kind == "task" and self._place.drawing.first(function.node):
            place = self._place.at(id, maybe=False).through(function.node)
            type(self)(function.scope.inside(function.node), place).function(function.node)
        return frozenset({id})

    def _draw(self, node: ast.Call, kind: str, name: str, verb: str, options: Mapping[str, str]) -> str:
        given = self._given(node)
        drawing = self._place.drawing
        told = [f"{key}={value}" for key, value in options.items()]
        id = drawing.add(
            kind=kind,
            name=name,
            parent=self._place.parent,
            verb=verb,
            maybe=self._place.maybe,
            many=verb == "map",
            detail=", ".join(told),
            file=display_path(self._scope.module.file),
            line=node.lineno,
        )
        drawing.join(given, id)
        return id

    def _given(self, node: ast.Call) -> Ids:
        return NONE.union(
            *(self._value(argument) for argument in node.args), *(self._value(word.value) for word in node.keywords)
        )

    def _arguments(self, node: ast.Call, made: PlainFunction, skip: int = 0) -> dict[str, Ids]:
        """Parameter → calls whose values it is given."""
        arguments = made.node.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)][skip:]
        known: dict[str, Ids] = {}
        for at, argument in enumerate(node.args):
            values = self._value(argument)
            if at < len(names) and not isinstance(argument, ast.Starred):
                known[names[at]] = values
            elif arguments.vararg is not None:
                known[arguments.vararg.arg] = known.get(arguments.vararg.arg, NONE) | values
        for word in node.keywords:
            values = self._value(word.value)
            name = word.arg or (arguments.kwarg.arg if arguments.kwarg is not None else "")
            known[name] = known.get(name, NONE) | values
        return known

    def _through(self, node: ast.Call, made: PlainFunction, known: dict[str, Ids]) -> Ids:
        """Walk a plain function where it is called."""
        passed = NONE.union(*known.values())
        if made.node in self._place.path or self._place.drawing.full:
            return passed
        name = "lambda" if isinstance(made.node, ast.Lambda) else made.node.name
        group = self._group("function", f"{name}()", node.lineno)
        methods = None
        if self._methods is not None and self._own(node.func) is not None and not isinstance(made.node, ast.Lambda):
            methods = (self_name(made.node), self._methods[1])
        walker = type(self)(
            made.scope.inside(made.node), self._place.at(group).through(made.node), known, methods=methods
        )
        found = walker.function(made.node)
        return found if self._place.drawing.close(group) else found | passed

    def _may_be_called(self, node: ast.expr) -> None:
        """A task that is handed on, as in `pool.map(load, xs)`, may be called."""
        found = self._scope.resolve(node)
        made, verb = (found.of, found.verb) if isinstance(found, Bound) else (found, "")
        if isinstance(made, Declared) and verb in ("", "submit", "map"):
            self._place.drawing.add(
                kind="task" if made.kind == "task" else "run",
                name=made.name,
                parent=self._place.parent,
                verb=verb,
                maybe=True,
                detail="handed on",
                file=display_path(self._scope.module.file),
                line=node.lineno,
            )

    # -- what holds what ------------------------------------------------------------------------------------------

    def _own(self, node: ast.AST) -> str | None:
        """The NAME of `self.NAME`."""
        if self._methods is None or not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return None
        return node.attr if node.value.id == self._methods[0] else None

    def _assigned(self, target: ast.expr, value: ast.expr) -> Ids:
        pairs = isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List))
        if pairs and len(target.elts) == len(value.elts):  # type: ignore[attr-defined]
            found = [self._value(part) for part in value.elts]  # type: ignore[attr-defined]
            for part, values in zip(target.elts, found, strict=True):  # type: ignore[attr-defined]
                self._assign(part, values)
            return NONE.union(*found)
        if isinstance(self._scope.resolve(value), (Declared, Bound)):
            return NONE  # another name for a task
        values = self._value(value)
        self._assign(target, values)
        return values

    def _assign(self, target: ast.expr, values: Ids) -> None:
        name = self._own(target)
        if isinstance(target, ast.Name):
            self._values[target.id] = values
        elif name is not None:
            self._values[name] = values
        elif isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._assign(part, values)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, values)
        else:
            self._add(target, values)

    def _add(self, target: ast.AST, values: Ids) -> None:
        """A container, or what is in one, takes values besides those that it has."""
        while isinstance(target, (ast.Attribute, ast.Subscript)) and self._own(target) is None:
            target = target.value
        name = self._own(target) or (target.id if isinstance(target, ast.Name) else None)
        if name is not None and values:
            self._values[name] = self._values.get(name, NONE) | values

    # -- groups ---------------------------------------------------------------------------------------------------

    def _group(self, kind: str, name: str, line: int, *, maybe: bool | None = None) -> str:
        place = self._place
        return place.drawing.add(
            kind=kind,
            name=name,
            parent=place.parent,
            maybe=place.maybe if maybe is None else maybe,
            file=display_path(self._scope.module.file),
            line=line,
        )

    def _loop(self, name: str, line: int) -> str:
        return self._group("loop", name, line)

    def _branch(self, name: str, line: int) -> str:
        return self._group("branch", name, line, maybe=True)

    def _inside(self, group: str, node: ast.AST) -> Ids:
        here = self._place
        self._place = here.at(group, maybe=here.drawing.nodes[group].maybe)
        found = self._value(node)
        self._place = here
        here.drawing.close(group)
        return found

    def _maybe(self, node: ast.AST) -> Ids:
        here = self._place
        self._place = here.at(here.parent, maybe=True)
        found = self._value(node)
        self._place = here
        return found
