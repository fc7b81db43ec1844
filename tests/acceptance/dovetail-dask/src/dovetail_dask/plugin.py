"""The manifest: what this plugin provides. Every command that looks at plugins imports it, so it imports little."""

from __future__ import annotations

from dovetail.plugins import (
    ComputeBackendSpec,
    FlowDecoratorSpec,
    StepDecoratorSpec,
    hookimpl,
)


@hookimpl
def dovetail_compute_backends() -> list[ComputeBackendSpec]:
    return [
        ComputeBackendSpec(
            name="dask",
            summary="jobs as tasks of a dask.distributed cluster",
            factory="dovetail_dask.compute:DaskCompute",
            settings="dovetail_dask.settings:DaskComputeSettings",
            capabilities=("array", "live-logs", "reattach"),
            requires=("distributed",),
            install_hint="pip install distributed",
        )
    ]


@hookimpl
def dovetail_step_decorators() -> list[StepDecoratorSpec]:
    return [
        StepDecoratorSpec(
            name="dask_compute",
            summary="chooses the compute of a step",
            factory="dovetail_dask.decorators:dask_compute",
            chooses="compute",
            backend="dask",
        ),
    ]


@hookimpl
def dovetail_flow_decorators() -> list[FlowDecoratorSpec]:
    return [
        FlowDecoratorSpec(
            name="dask_compute",
            summary="chooses the compute of all steps of a flow",
            factory="dovetail_dask.decorators:dask_compute",
            chooses="compute",
            backend="dask",
        ),
    ]
