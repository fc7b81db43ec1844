"""What a plugin says about the things that it provides. Plain data: reading it imports no backend.

```
Spec                         name, factory, summary, api, requires, install_hint
├── BackendSpec              settings, capabilities, guard
│   ├── DataStoreSpec        schemes
│   ├── MetadataProviderSpec
│   ├── ComputeBackendSpec
│   ├── EnvironmentBuilderSpec
│   └── SecretsProviderSpec
├── SerializerSpec           types, in_child
├── DecoratorSpec            chooses, options
│   ├── StepDecoratorSpec
│   └── FlowDecoratorSpec
├── CommandSpec
└── HealthCheckSpec          checks
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "API",
    "BACKEND_KINDS",
    "BackendSpec",
    "CommandSpec",
    "ComputeBackendSpec",
    "DataStoreSpec",
    "DecoratorSpec",
    "EnvironmentBuilderSpec",
    "FlowDecoratorSpec",
    "HealthCheckSpec",
    "MetadataProviderSpec",
    "SecretsProviderSpec",
    "SerializerSpec",
    "Spec",
    "StepDecoratorSpec",
]

API = 1
"""Version of the interfaces that this Dovetail speaks."""
BACKEND_KINDS = ("datastore", "metadata", "compute", "environment")
"""The kinds of backends that a run or a step chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Something that a plugin provides."""

    kind: ClassVar[str] = ""
    """What it is; names are unique for each kind."""

    name: str
    """Lower-case letters, digits and hyphens, beginning with a letter; decorators may have underscores instead."""
    factory: str
    """`package.module:Class`, imported when first used."""
    summary: str = ""
    """One line for listings."""
    api: int = API
    """Version of the interface that it implements."""
    requires: tuple[str, ...] = ()
    """Import names that the factory needs; looked for, without importing them, before the factory is imported."""
    install_hint: str | None = None
    """Command that installs what `requires` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec(Spec):
    """Something that settings configure and name instances of."""

    settings: str | None = None
    """`package.module:Class` of a frozen dataclass; None: it has no settings."""
    capabilities: tuple[str, ...] = ()
    """Names of the abilities that the class declares, for listings."""
    guard: bool = True
    """Whether the core retries, limits, times and maps errors around it. False for what works on this machine
    alone, has nothing to throttle, and is called too often to be wrapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStoreSpec(BackendSpec):
    """A `dovetail.interfaces.datastore.DataStore`."""

    kind: ClassVar[str] = "datastore"

    schemes: tuple[str, ...] = ()
    """URL schemes that select it, without `://`."""


class MetadataProviderSpec(BackendSpec):
    """A `dovetail.interfaces.metadata.MetadataProvider`."""

    __slots__ = ()
    kind: ClassVar[str] = "metadata"


class ComputeBackendSpec(BackendSpec):
    """A `dovetail.interfaces.compute.ComputeBackend`."""

    __slots__ = ()
    kind: ClassVar[str] = "compute"


class EnvironmentBuilderSpec(BackendSpec):
    """A `dovetail.interfaces.environment.EnvironmentBuilder`."""

    __slots__ = ()
    kind: ClassVar[str] = "environment"


class SecretsProviderSpec(BackendSpec):
    """A `dovetail.plugins.secrets.SecretsProvider`. Its name is the provider of a `SecretRef`."""

    __slots__ = ()
    kind: ClassVar[str] = "secrets"


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
