"""Plugins: how they are found, checked and loaded, and what their authors import.

A plugin is an installed distribution with an entry point in the group `dovetail.plugins` that names its manifest, a
module of functions marked with `hookimpl`. The process's registry is `dovetail.plugins.registry.registry()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.plugins.child import ChildHooks, run_wrapped
    from dovetail.plugins.descriptors import (
        ComputeBackendSpec,
        DataStoreSpec,
        EnvironmentBuilderSpec,
        MetadataProviderSpec,
        SecretsProviderSpec,
        Spec,
    )
    from dovetail.plugins.events import EventHooks
    from dovetail.plugins.extensions import (
        CommandSpec,
        FlowDecoratorSpec,
        HealthCheckSpec,
        SerializerSpec,
        StepDecoratorSpec,
    )
    from dovetail.plugins.guard import stats_of
    from dovetail.plugins.health import CheckContext
    from dovetail.plugins.marks import hookimpl
    from dovetail.plugins.observed import Outcome, RunInfo, TaskInfo
    from dovetail.plugins.opening import open_backend
    from dovetail.plugins.records import Offer, PluginRecord
    from dovetail.plugins.registry import Registry
    from dovetail.plugins.rules import PluginRules
    from dovetail.plugins.secrets import SecretsProvider

_HOMES = {
    "CheckContext": "health",
    "ChildHooks": "child",
    "CommandSpec": "extensions",
    "ComputeBackendSpec": "descriptors",
    "DataStoreSpec": "descriptors",
    "EnvironmentBuilderSpec": "descriptors",
    "EventHooks": "events",
    "FlowDecoratorSpec": "extensions",
    "HealthCheckSpec": "extensions",
    "MetadataProviderSpec": "descriptors",
    "Offer": "records",
    "Outcome": "observed",
    "PluginRecord": "records",
    "PluginRules": "rules",
    "Registry": "registry",
    "RunInfo": "observed",
    "SecretsProvider": "secrets",
    "SecretsProviderSpec": "descriptors",
    "SerializerSpec": "extensions",
    "Spec": "descriptors",
    "StepDecoratorSpec": "extensions",
    "TaskInfo": "observed",
    "hookimpl": "marks",
    "open_backend": "opening",
    "run_wrapped": "child",
    "stats_of": "guard",
}

__all__ = [
    "CheckContext",
    "ChildHooks",
    "CommandSpec",
    "ComputeBackendSpec",
    "DataStoreSpec",
    "EnvironmentBuilderSpec",
    "EventHooks",
    "FlowDecoratorSpec",
    "HealthCheckSpec",
    "MetadataProviderSpec",
    "Offer",
    "Outcome",
    "PluginRecord",
    "PluginRules",
    "Registry",
    "RunInfo",
    "SecretsProvider",
    "SecretsProviderSpec",
    "SerializerSpec",
    "Spec",
    "StepDecoratorSpec",
    "TaskInfo",
    "hookimpl",
    "open_backend",
    "run_wrapped",
    "stats_of",
]


def __getattr__(name: str) -> Any:
    """Names are imported when first used: a manifest needs two of them, a driver others."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
