"""What a step's source says: every reachable `self.next`, and every artifact that is set."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from dovetail.authoring.source import FunctionNode
from dovetail.interfaces.flow import Transition

__all__ = ["NextReader", "Unreadable", "Written", "ends", "jsonable_key", "reachable_nodes", "self_name"]

Kind = Literal["assign", "next", "call"]


class Unreadable(Exception):
    """A `self.next` whose meaning the source does not tell: (code, message, fix)."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


DYNAMIC_NEXT = (
    "dynamic-next",
    "self.next(*...) can't be read from the source: it does not say which steps follow",
    "Write the arguments out.",
)


class Written:
    """Something that a step's source does to `self`."""

    __slots__ = ("kind", "line", "name", "node")

    def __init__(self, kind: Kind, name: str, node: ast.expr, line: int) -> None:
        self.kind = kind
        self.name = name
        self.node = node
        self.line = line


def self_name(node: FunctionNode) -> str:
    """What the method calls its instance."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    return arguments[0].arg if arguments else ""


def reachable_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node of statements that can be reached: nothing after a return, raise, break or endless loop."""
    for statement in body:
        yield from _walk(statement)
        if ends(statement):
            return


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for _, value in ast.iter_fields(node):
        if isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                yield from reachable_nodes(value)
            else:
                for item in value:
                    if isinstance(item, ast.AST):
                        yield from _walk(item)
        elif isinstance(value, ast.AST):
            yield from _walk(value)


def ends(statement: ast.stmt) -> bool:
    """Whether nothing after this statement, in the same block, can run."""
    if isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
        return True
    if isinstance(statement, ast.If):
        return bool(statement.orelse) and _block_ends(statement.body) and _block_ends(statement.orelse)
    if isinstance(statement, ast.While):
        endless = isinstance(statement.test, ast.Constant) and bool(statement.test.value)
        return endless and not any(isinstance(node, ast.Break) for node in _loop_nodes(statement.body))
    if isinstance(statement, ast.Try):
        if _block_ends(statement.finalbody):
            return True
        tried = _block_ends(statement.body) or (bool(statement.orelse) and _block_ends(statement.orelse))
        return tried and all(_block_ends(handler.body) for handler in statement.handlers)
    return False


def _block_ends(body: list[ast.stmt]) -> bool:
    return any(ends(statement) for statement in body)


def _loop_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes of a loop's body without those of inner loops and functions, whose `break` is their own."""
    for node in body:
        yield node
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            yield from _loop_nodes(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _loop_nodes(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _loop_nodes(handler.body)
            for case in getattr(node, "cases", []):
                yield from _loop_nodes(case.body)


def what_is_written(node: FunctionNode) -> Iterator[Written]:
    """Every `self.x = ...`, `self.next(...)`, `self.m(...)` and `super().m(...)` that can be reached, in order."""
    me = self_name(node)
    for found in reachable_nodes(node.body):
        if isinstance(found, ast.Attribute) and isinstance(found.ctx, ast.Store) and _is_name(found.value, me):
            yield Written("assign", found.attr, found, found.lineno)
        elif isinstance(found, ast.Call):
            called = found.func
            if isinstance(called, ast.Attribute) and _is_name(called.value, me):
                yield Written("next" if called.attr == "next" else "call", called.attr, found, found.lineno)
            elif isinstance(called, ast.Attribute) and (_is_super(called.value) or _passes_self(found, me)):
                yield Written("call", called.attr, found, found.lineno)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _is_name(node.func, "super")


def _passes_self(call: ast.Call, me: str) -> bool:
    """`Base.method(self, ...)`"""
    return bool(call.args) and _is_name(call.args[0], me)


class NextReader:
    """Reads the arguments of one `self.next(...)`.

    Args:
        me: What the method calls its instance.
        resolve: Value of a name or of `self.NAME` that the arguments use as a case's key, or KeyError.
    """

    def __init__(self, me: str, resolve: Callable[[str, bool], Any]) -> None:
        self._me = me
        self._resolve = resolve

    def read(self, call: ast.Call) -> Transition:
        """The transition.

        Raises:
            Unreadable: It can't be told from the source.
        """
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if None in keywords or any(isinstance(arg, ast.Starred) for arg in call.args):
            raise Unreadable(*DYNAMIC_NEXT)
        for name in keywords.keys() - {"foreach", "condition", "on_error"}:
            raise Unreadable(
                "unknown-argument",
                f"self.next has no argument {name!r}",
                "It takes steps and foreach=, condition= or on_error=.",
            )
        return make_transition(
            targets=[self._target(arg) for arg in call.args if not isinstance(arg, ast.Dict)],
            cases=next((self._cases(arg) for arg in call.args if isinstance(arg, ast.Dict)), None),
            foreach=self._literal_or_value(keywords.get("foreach")),
            condition=self._condition(keywords.get("condition")),
            on_error=self._on_error(keywords.get("on_error")),
            line=call.lineno,
        )

    def _target(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute) and _is_name(node.value, self._me):
            return node.attr
        if (
            isinstance(node, ast.Call)
            and _is_name(node.func, "getattr")
            and len(node.args) == 2
            and _is_name(node.args[0], self._me)
            and isinstance(node.args[1], ast.Constant)
            and isinstance(node.args[1].value, str)
        ):
            return node.args[1].value
        raise Unreadable(
            "dynamic-target",
            f"self.next({_shown(node)}): which step follows can't be read from the source",
            f"Name the step, as in self.next({self._me}.end); to choose at run time use condition=.",
        )

    def _cases(self, node: ast.Dict) -> list[tuple[Any, str]]:
        cases = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Unreadable(
                    "dynamic-cases", "the cases of self.next can't be read from a ** mapping", "Write them out."
                )
            cases.append((self._key(key), self._target(value)))
        return cases

    def _key(self, node: ast.expr) -> Any:
        try:
            if isinstance(node, ast.Name):
                return jsonable_key(self._resolve(node.id, False))
            if isinstance(node, ast.Attribute):
                if _is_name(node.value, self._me):
                    return jsonable_key(self._resolve(node.attr, True))
                return jsonable_key(self._resolve(ast.unparse(node), False))
            return jsonable_key(ast.literal_eval(node))
        except (KeyError, ValueError, TypeError):
            raise Unreadable(
                "dynamic-cases",
                f"case {_shown(node)} of self.next is not a text, number, bool or None that the source tells",
                'Write the key out, as in self.next({"a": self.x, "b": self.y}, condition="kind").',
            ) from None

    def _condition(self, node: ast.expr | None) -> str | None:
        if node is None:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        raise Unreadable(
            "dynamic-condition",
            f"condition={_shown(node)} is not the name of an artifact",
            'Set an artifact and name it: self.kind = ...; self.next({...}, condition="kind").',
        )

    def _literal_or_value(self, node: ast.expr | None) -> tuple[bool, str | None]:
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return False, None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return True, node.value
        return True, None

    def _on_error(self, node: ast.expr | None) -> str:
        if node is None:
            return "fail"
        if isinstance(node, ast.Constant) and node.value in ("fail", "collect"):
            return str(node.value)
        raise Unreadable(
            "unknown-on-error", f"on_error={_shown(node)} is neither 'fail' nor 'collect'", "Write one of the two."
        )


def make_transition(
    *,
    targets: list[str],
    cases: list[tuple[Any, str]] | None,
    foreach: tuple[bool, str | None],
    condition: str | None,
    on_error: str,
    line: int,
) -> Transition:
    """The transition that these arguments mean.

    Raises:
        Unreadable: They mean none.
    """
    is_foreach, var = foreach
    if cases is not None or condition is not None:
        return _switch(targets, cases, is_foreach, condition, line)
    if not targets:
        raise Unreadable("next-without-target", "self.next names no step", "Name the step that follows.")
    if is_foreach:
        if len(targets) > 1:
            raise Unreadable(
                "foreach-targets",
                f"a foreach has one target, not {len(targets)}: {', '.join(targets)}",
                "Let the foreach lead to one step, which may then branch.",
            )
        return Transition(
            kind="foreach",
            targets=tuple(targets),
            foreach=var,
            on_error="collect" if on_error == "collect" else "fail",
            line=line,
        )
    if on_error != "fail":
        raise Unreadable("on-error-without-foreach", "on_error= belongs to a foreach", "Leave it out, or add foreach=.")
    if len(set(targets)) != len(targets):
        raise Unreadable(
            "duplicate-target", f"self.next names a step twice: {', '.join(targets)}", "Name each step once."
        )
    return Transition(kind="linear" if len(targets) == 1 else "branch", targets=tuple(targets), line=line)


def _switch(
    targets: list[str], cases: list[tuple[Any, str]] | None, is_foreach: bool, condition: str | None, line: int
) -> Transition:
    if cases is None:
        raise Unreadable(
            "switch-without-cases",
            "self.next(condition=...) has no mapping of cases",
            'As in self.next({"a": self.x, "b": self.y}, condition="kind").',
        )
    if condition is None:
        raise Unreadable(
            "switch-without-condition",
            "self.next with a mapping of cases has no condition=",
            'Name the artifact that chooses: self.next({...}, condition="kind").',
        )
    if targets or is_foreach:
        raise Unreadable(
            "switch-mixed",
            "a switch takes nothing but its cases and condition=",
            "Let the switch lead to a step that branches or fans out.",
        )
    if len(cases) < 2:
        raise Unreadable(
            "switch-cases",
            f"a switch needs two cases or more, not {len(cases)}",
            "Add a case, or use self.next with the one step.",
        )
    from json import dumps

    texts = {dumps(key): target for key, target in cases}
    return Transition(
        kind="switch", targets=tuple(dict.fromkeys(texts.values())), condition=condition, cases=texts, line=line
    )


def jsonable_key(value: Any) -> Any:
    """A case's key as JSON can write it; an enum member counts by its value.

    Raises:
        ValueError: It is not a text, number, bool or None.
    """
    from enum import Enum

    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(value)


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."


Resolver = Callable[[str, bool], Any]
Names = Mapping[str, Any]
