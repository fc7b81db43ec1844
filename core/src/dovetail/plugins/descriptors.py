"""What a plugin says about the things that it provides. Plain data: reading it imports no backend.

```
Spec                         name, factory, summary, api, requires, install_hint
├── BackendSpec              settings, capabilities, guard
│   ├── DataStoreSpec        schemes
│   ├── MetadataProviderSpec
│   ├── ComputeBackendSpec
│   ├── EnvironmentBuilderSpec
│   └── SecretsProviderSpec
└── (dovetail.plugins.extensions)
    ├── SerializerSpec       types, in_child
    ├── DecoratorSpec        chooses, backend, options
    │   ├── StepDecoratorSpec
    │   └── FlowDecoratorSpec
    ├── CommandSpec
    └── HealthCheckSpec      checks
```
"""

from __future__ import annotations

from typing import ClassVar

from dovetail.interfaces.dataclass import dataclass

__all__ = [
    "API",
    "BACKEND_KINDS",
    "BackendSpec",
    "ComputeBackendSpec",
    "DataStoreSpec",
    "EnvironmentBuilderSpec",
    "MetadataProviderSpec",
    "SecretsProviderSpec",
    "Spec",
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
    alone, has nothing to throttle, and is called too often to be wrapped; it is wrapped all the same
    where its settings refer to a secret, so that messages are freed of that."""


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
