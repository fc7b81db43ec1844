"""Descriptors of what a plugin adds beside backends. A run without plugins imports none of them."""

from __future__ import annotations

from typing import ClassVar

from dovetail.interfaces.dataclass import dataclass
from dovetail.plugins.descriptors import Spec

__all__ = [
    "CommandSpec",
    "DecoratorSpec",
    "FlowDecoratorSpec",
    "HealthCheckSpec",
    "SerializerSpec",
    "StepDecoratorSpec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializerSpec(Spec):
    """A `dovetail.interfaces.artifacts.Serializer`, constructed without arguments. `name` is its `id`."""

    kind: ClassVar[str] = "serializer"

    types: tuple[str, ...] = ()
    """Qualified names of the classes whose values, those of subclasses included, it writes, such as
    `pandas.core.frame.DataFrame`: matched by name, so that nothing is imported for other values."""
    in_child: bool = False
    """Whether it is pure Python without dependencies and goes along into a step's own environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoratorSpec(Spec):
    """A decorator that the plugin exports: `from dovetail_x import name`, and `--with name:key=value`."""

    chooses: str = ""
    """Kind of backend that it chooses, whose settings are then its options; empty: a kind of its own."""
    backend: str = ""
    """Backend that it chooses; the decorator's own name by default."""
    options: str | None = None
    """Of a kind of its own: `package.module:Class` of a frozen dataclass that its options must fit."""


class StepDecoratorSpec(DecoratorSpec):
    """A decorator of steps and tasks."""

    __slots__ = ()
    kind: ClassVar[str] = "step-decorator"


class FlowDecoratorSpec(DecoratorSpec):
    """A decorator of flows."""

    __slots__ = ()
    kind: ClassVar[str] = "flow-decorator"


class CommandSpec(Spec):
    """A verb of the command line. `factory` names a module, or `module:object`, that has `configure(parser)`,
    which adds arguments to an `argparse.ArgumentParser`, and `run(args)`, which returns the exit code."""

    __slots__ = ()
    kind: ClassVar[str] = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckSpec(Spec):
    """A check for `dovetail plugins doctor`. `factory` names a function that takes a `CheckContext` and returns
    an iterable of `Problem`s, none when all is well."""

    kind: ClassVar[str] = "health-check"

    checks: str = ""
    """`kind:name` of the backend that it looks at; empty: of none in particular."""
