"""Manifest of the embedded defaults. They register as any plugin does, and are reached only through the registry."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.plugins.descriptors import (
    ComputeBackendSpec,
    DataStoreSpec,
    EnvironmentBuilderSpec,
    MetadataProviderSpec,
    SecretsProviderSpec,
)
from dovetail.plugins.embedded_serializers import EMBEDDED
from dovetail.plugins.extensions import SerializerSpec
from dovetail.plugins.marks import hookimpl


@hookimpl
def dovetail_datastores() -> Iterable[DataStoreSpec]:
    """Files in a folder."""
    return [
        DataStoreSpec(
            name="local",
            factory="dovetail.local.store:LocalStore",
            settings="dovetail.local.settings:LocalStoreSettings",
            summary="files in a folder of this machine",
            schemes=("file",),
            capabilities=("copy", "local-path", "append", "stage"),
            guard=False,
        )
    ]


@hookimpl
def dovetail_metadata_providers() -> Iterable[MetadataProviderSpec]:
    """One SQLite file."""
    return [
        MetadataProviderSpec(
            name="sqlite",
            factory="dovetail.local.metadata:SqliteMetadata",
            settings="dovetail.local.settings:SqliteSettings",
            summary="an SQLite file on this machine",
            capabilities=("limits",),
            guard=False,
        )
    ]


@hookimpl
def dovetail_compute_backends() -> Iterable[ComputeBackendSpec]:
    """Processes of this machine."""
    return [
        ComputeBackendSpec(
            name="local",
            factory="dovetail.local.compute:LocalCompute",
            summary="processes of this machine",
            capabilities=("array", "live-logs", "reattach", "direct"),
            guard=False,
        )
    ]


@hookimpl
def dovetail_environment_builders() -> Iterable[EnvironmentBuilderSpec]:
    """The interpreter that runs Dovetail."""
    return [
        EnvironmentBuilderSpec(
            name="host",
            factory="dovetail.local.environment:HostEnvironment",
            settings="dovetail.local.settings:HostSettings",
            summary="the interpreter and packages that Dovetail itself runs in",
            guard=False,
        )
    ]


@hookimpl
def dovetail_secrets_providers() -> Iterable[SecretsProviderSpec]:
    """Environment variables and files."""
    return [
        SecretsProviderSpec(
            name="env",
            factory="dovetail.plugins.secrets:EnvSecrets",
            summary="an environment variable of the process that needs the secret",
            guard=False,
        ),
        SecretsProviderSpec(
            name="file",
            factory="dovetail.plugins.secrets:FileSecrets",
            summary="a file on the machine that needs the secret",
            guard=False,
        ),
    ]


@hookimpl
def dovetail_serializers() -> Iterable[SerializerSpec]:
    """Arrays, frames, tensors and files."""
    return [
        SerializerSpec(name=id, factory=factory, summary=summary, types=types, requires=needs, in_child=True)
        for id, factory, summary, types, needs in EMBEDDED
    ]
