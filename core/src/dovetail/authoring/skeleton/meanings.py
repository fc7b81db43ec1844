"""What a name in a source file can stand for, as far as a skeleton cares."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from dovetail.authoring.source import FunctionNode
from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    from dovetail.authoring.skeleton.names import Scope
    from dovetail.authoring.skeleton.sources import SourceModule

__all__ = [
    "Bound",
    "Declared",
    "FlowClass",
    "Meaning",
    "Ours",
    "PlainClass",
    "PlainFunction",
    "PlainModule",
    "Value",
]

_SHOWN = 40
"""Letters of an expression that are shown."""


@dataclass(frozen=True, slots=True)
class Ours:
    """Something of Dovetail's by its public name: `task`, `FlowSpec`; empty for the package itself."""

    name: str
    options: Mapping[str, ast.expr] = field(default_factory=dict)
    """What a decorator was called with."""


@dataclass(frozen=True, slots=True)
class PlainModule:
    """A module whose source was found."""

    module: SourceModule


@dataclass(frozen=True, slots=True)
class PlainFunction:
    """A function that is neither flow nor task."""

    node: FunctionNode | ast.Lambda
    scope: Scope
    """Where it is defined."""


@dataclass(frozen=True, slots=True)
class PlainClass:
    """A class that is no flow."""

    node: ast.ClassDef
    scope: Scope
    bases: tuple[PlainClass, ...] = ()
    """Those whose source was found."""


@dataclass(frozen=True, slots=True)
class FlowClass:
    """A class that inherits from `FlowSpec`."""

    node: ast.ClassDef
    scope: Scope
    bases: tuple[FlowClass | PlainClass, ...]
    """Those whose source was found."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A `@task` or `@flow` function."""

    kind: Literal["task", "flow"]
    name: str
    """What runs call it."""
    function: PlainFunction
    options: Mapping[str, str] = field(default_factory=dict)
    """Name → source text of what `with_options` said."""

    def with_options(self, given: Mapping[str, ast.expr]) -> Declared:
        """The copy that `with_options(...)` makes."""
        name = literal_text(given.get("name")) or self.name
        more = {key: shown(value) for key, value in given.items() if key != "name"}
        return replace(self, name=name, options={**self.options, **more})


@dataclass(frozen=True, slots=True)
class Bound:
    """An attribute of a flow or task: `fit.map`, `Train.run`."""

    of: Declared | FlowClass
    verb: str


@dataclass(frozen=True, slots=True)
class Value:
    """A literal."""

    node: ast.expr
    scope: Scope


Meaning: TypeAlias = Ours | PlainModule | PlainFunction | PlainClass | FlowClass | Declared | Bound | Value


def shown(node: ast.AST) -> str:
    """An expression as a drawing shows it: on one line, and not too long."""
    text = " ".join(ast.unparse(node).split())
    text = text[1:-1] if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store) and text[:1] == "(" else text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def literal_text(node: ast.expr | None) -> str | None:
    """The text that an expression is, or None where it is something else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
