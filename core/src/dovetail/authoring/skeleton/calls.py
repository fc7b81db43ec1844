"""Walks the statements of a function: which tasks and flows it calls, and under what conditions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from dovetail.authoring.reading import ends
from dovetail.authoring.skeleton.meanings import shown
from dovetail.authoring.skeleton.values import NONE, Ids, ValueWalker
from dovetail.authoring.source import FunctionNode

__all__ = ["Walker"]

_Arm = tuple[str, list[ast.expr], list[ast.stmt]]
"""A group, the tests that are made in it, its statements."""
_BLOCK_ENDS = (ast.Return, ast.Break, ast.Continue)
_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Walker(ValueWalker):
    """Walks the body of one function (see `ValueWalker`)."""

    def function(self, node: FunctionNode | ast.Lambda) -> Ids:
        """Walk a whole function; the calls whose values it may return."""
        if isinstance(node, ast.Lambda):
            return self._value(node.body)
        self.block(node.body)
        return self.returned

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Walk statements up to where nothing follows. What comes behind one that may have left depends on that."""
        before = self._place
        for statement in body:
            self._statement(statement)
            if ends(statement):
                break
            if _leaves(statement):
                self._place = self._place.at(self._place.parent, maybe=True)
        self._place = before

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            values = self._assigned(node.targets[0], node.value)
            for target in node.targets[1:]:
                self._assign(target, values)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, self._value(node.value))
        elif isinstance(node, ast.AugAssign):
            self._add(node.target, self._value(node.value))
        elif isinstance(node, ast.Return):
            self.returned |= self._value(node.value)
        elif isinstance(node, ast.If):
            self._if(node)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            values = self._value(node.iter)
            loop = self._loop(f"for {shown(node.target)} in {shown(node.iter)}", node.lineno)
            self._assign(node.target, values)
            self._arms([(loop, [], node.body)])
            self.block(node.orelse)
        elif isinstance(node, ast.While):
            endless = isinstance(node.test, ast.Constant)
            loop = self._loop("loop" if endless else f"while {shown(node.test)}", node.lineno)
            self._arms([(loop, [node.test], node.body)])
            self.block(node.orelse)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                values = self._value(item.context_expr)
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, values)
            self.block(node.body)
        elif isinstance(node, ast.Match):
            subject = self._value(node.subject)
            arms: list[_Arm] = []
            for case in node.cases:
                guard = f" if {shown(case.guard)}" if case.guard is not None else ""
                name = f"match {shown(node.subject)}: case {shown(case.pattern)}{guard}"
                tests = [case.guard] if case.guard is not None else []
                arms.append((self._branch(name, case.pattern.lineno), tests, case.body))
                for found in ast.walk(case.pattern):
                    if isinstance(found, (ast.MatchAs, ast.MatchStar)) and found.name:
                        self._values[found.name] = subject
            self._arms(arms)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            self._try(node)  # type: ignore[arg-type]
        elif not isinstance(node, _DEFINITIONS):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self._value(child)

    def _if(self, node: ast.If) -> None:
        arms: list[_Arm] = []
        word = "if"
        while True:
            # The first test is always made; those behind it are made in their arms.
            if word == "if":
                self._value(node.test)
            arm = self._branch(f"{word} {shown(node.test)}", node.lineno)
            arms.append((arm, [] if word == "if" else [node.test], node.body))
            if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
                node, word = node.orelse[0], "elif"
                continue
            break
        if node.orelse:
            arms.append((self._branch("else", node.orelse[0].lineno), [], node.orelse))
        self._arms(arms)

    def _try(self, node: ast.Try) -> None:
        place = self._place
        tried = self._group("function", "try", node.lineno)
        self._place = place.at(tried)
        self.block([*node.body, *node.orelse])
        self._place = place
        arms: list[_Arm] = []
        for handler in node.handlers:
            of = f" {shown(handler.type)}" if handler.type is not None else ""
            arms.append((self._branch(f"except{of}", handler.lineno), [], handler.body))
        handled = self._arms(arms)
        if not handled and tried in place.drawing.nodes:
            place.drawing.dissolve(tried)
        else:
            place.drawing.close(tried)
        self.block(node.finalbody)

    def _arms(self, arms: Iterable[_Arm]) -> bool:
        """Walk blocks of which any may run, each from what is known here; whether any calls something."""
        here, before = self._place, self._values
        after: list[dict[str, Ids]] = []
        kept = False
        for group, tests, body in arms:
            self._place = here.at(group, maybe=here.drawing.nodes[group].maybe)
            self._values = dict(before)
            for test in tests:
                self._value(test)
            self.block(body)
            after.append(self._values)
            kept = bool(here.drawing.children(group)) or kept
            here.drawing.close(group, leaves=next(filter(None, map(_leaves, body)), ""))
        self._place, self._values = here, before
        for values in after:
            for name, found in values.items():
                self._values[name] = self._values.get(name, NONE) | found
        return kept


def _leaves(statement: ast.stmt) -> str:
    """How a statement may end the block that it is in other than by an error: `return`, `break`, `continue`."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, _BLOCK_ENDS):
            return type(node).__name__.lower()
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):  # its own `break` and `continue` stay inside
            pending += [found for found in _statements(node) if isinstance(found, ast.Return)]
        elif not isinstance(node, _DEFINITIONS):
            pending += _blocks(node)
    return ""


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside a statement, at any depth, but not inside definitions."""
    for child in _blocks(node):
        if not isinstance(child, _DEFINITIONS):
            yield child
            yield from _statements(child)


def _blocks(node: ast.AST) -> list[ast.AST]:
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, _BLOCKS)]
