"""Every hook that a plugin may implement.

Registration hooks return any iterable of descriptors and are called once a process. An implementation may take
fewer arguments than its hook has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from dovetail.plugins.marks import hookspec

if TYPE_CHECKING:
    from dovetail.interfaces.flow import StepDescription
    from dovetail.plugins.descriptors import (
        ComputeBackendSpec,
        DataStoreSpec,
        EnvironmentBuilderSpec,
        MetadataProviderSpec,
        SecretsProviderSpec,
    )
    from dovetail.plugins.extensions import (
        CommandSpec,
        FlowDecoratorSpec,
        HealthCheckSpec,
        SerializerSpec,
        StepDecoratorSpec,
    )
    from dovetail.plugins.observed import Outcome, RunInfo, TaskInfo


@hookspec
def dovetail_datastores() -> Iterable[DataStoreSpec]:  # type: ignore[empty-body]
    """Data stores: where values and commit records are kept."""


@hookspec
def dovetail_metadata_providers() -> Iterable[MetadataProviderSpec]:  # type: ignore[empty-body]
    """Metadata providers: journal, index and leases."""


@hookspec
def dovetail_compute_backends() -> Iterable[ComputeBackendSpec]:  # type: ignore[empty-body]
    """Compute backends: where attempts run."""


@hookspec
def dovetail_environment_builders() -> Iterable[EnvironmentBuilderSpec]:  # type: ignore[empty-body]
    """Environment builders: the interpreter and packages that a step runs in."""


@hookspec
def dovetail_secrets_providers() -> Iterable[SecretsProviderSpec]:  # type: ignore[empty-body]
    """Secrets providers: what `{secret = "PROVIDER:ID"}` is looked up in."""


@hookspec
def dovetail_serializers() -> Iterable[SerializerSpec]:  # type: ignore[empty-body]
    """Serializers: how values of some types are stored. They come before the built-in ones."""


@hookspec
def dovetail_step_decorators() -> Iterable[StepDecoratorSpec]:  # type: ignore[empty-body]
    """Decorators of steps, for `--with` and `from dovetail import NAME`."""


@hookspec
def dovetail_flow_decorators() -> Iterable[FlowDecoratorSpec]:  # type: ignore[empty-body]
    """Decorators of flows, for `from dovetail import NAME`."""


@hookspec
def dovetail_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Verbs of the command line: `dovetail NAME`."""


@hookspec
def dovetail_health_checks() -> Iterable[HealthCheckSpec]:  # type: ignore[empty-body]
    """Checks that `dovetail plugins doctor` runs."""


@hookspec
def dovetail_run_started(run: RunInfo) -> None:
    """A driver took up a run. Called on a thread of its own; a failure is logged and changes nothing."""


@hookspec
def dovetail_run_finished(run: RunInfo, outcome: Outcome) -> None:
    """A run ended, was paused or interrupted. Called as `dovetail_run_started`."""


@hookspec
def dovetail_task_started(task: TaskInfo) -> None:
    """The first attempt of a task began. Called as `dovetail_run_started`; always before its end is told."""


@hookspec
def dovetail_task_finished(task: TaskInfo, outcome: Outcome) -> None:
    """A task reached its final state. Called as `dovetail_run_started`."""


@hookspec(firstresult=True)
def dovetail_route_step(kind: str, flow: str, step: StepDescription, default: str) -> str | None:
    """Choose the backend of a step that neither code, command line nor settings chose one for.

    The first result that is not None wins. `kind` is `datastore`, `compute` or `environment`; the result is the
    name of a backend or instance, or a URL. Called once for each step when a run starts.
    """


@hookspec
def dovetail_execute_task(task: TaskInfo) -> Generator[None, Any, Any]:  # type: ignore[empty-body]
    """Wrap the user's code in the process that runs it. Must be a wrapper:

    ```python
    @hookimpl(wrapper=True)
    def dovetail_execute_task(task):
        with tracer.span(task.path):
            return (yield)
    ```

    An exception of the user's code is raised at the `yield`. Whatever the wrapper raises fails the attempt.
    """
