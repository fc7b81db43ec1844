"""Workflows whose storage, metadata, compute and environments are plugins.

```python
from dovetail import FlowSpec, step


class Hello(FlowSpec):
    @step
    def start(self):
        self.message = "hello"
        self.next(self.end)

    @step
    def end(self):
        print(self.message)


if __name__ == "__main__":
    Hello()
```

Names are imported when they are first used: `import dovetail` itself loads nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dovetail.authoring import recorded
    from dovetail.authoring.arguments import allow_failure
    from dovetail.authoring.concurrency import concurrency, rate_limit
    from dovetail.authoring.current import current
    from dovetail.authoring.decorators import (
        catch,
        compute,
        datastore,
        environment,
        environment_variables,
        isolation,
        limit,
        resources,
        retry,
        timeout,
    )
    from dovetail.authoring.flow_function import flow
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.authoring.futures import TaskFuture
    from dovetail.authoring.hooks import on_cancel, on_crash, on_failure, on_success
    from dovetail.authoring.mapping import FutureList, unmapped
    from dovetail.authoring.parameters import JSONType, Parameter
    from dovetail.authoring.steps import step
    from dovetail.authoring.task_function import task
    from dovetail.authoring.transaction_records import StagedTask
    from dovetail.authoring.transactions import Transaction, transaction
    from dovetail.authoring.uses import StepDecorator
    from dovetail.authoring.waiting import await_input, send_signal, wait_for_input
    from dovetail.client import (
        Client,
        DataArtifact,
        Flow,
        Run,
        Step,
        Task,
        default_namespace,
        get_namespace,
        namespace,
    )
    from dovetail.interfaces.errors import DovetailError, FailedInputError
    from dovetail.interfaces.files import ArtifactDirectory, ArtifactFile
    from dovetail.interfaces.stored import Stored
    from dovetail.runner.class_flow import arun_flow, run_flow

__version__ = "0.1.0"

__all__ = [
    "ArtifactDirectory",
    "ArtifactFile",
    "Client",
    "DataArtifact",
    "DovetailError",
    "FailedInputError",
    "Flow",
    "FlowSpec",
    "FutureList",
    "JSONType",
    "Parameter",
    "Run",
    "StagedTask",
    "Step",
    "StepDecorator",
    "Stored",
    "Task",
    "TaskFuture",
    "Transaction",
    "allow_failure",
    "arun_flow",
    "await_input",
    "catch",
    "compute",
    "concurrency",
    "current",
    "datastore",
    "default_namespace",
    "environment",
    "environment_variables",
    "flow",
    "get_namespace",
    "isolation",
    "limit",
    "namespace",
    "on_cancel",
    "on_crash",
    "on_failure",
    "on_success",
    "rate_limit",
    "recorded",
    "resources",
    "retry",
    "run_flow",
    "send_signal",
    "step",
    "task",
    "timeout",
    "transaction",
    "unmapped",
    "wait_for_input",
]

_HOMES = {
    "ArtifactDirectory": "dovetail.interfaces.files",
    "ArtifactFile": "dovetail.interfaces.files",
    "Client": "dovetail.client",
    "DataArtifact": "dovetail.client",
    "DovetailError": "dovetail.interfaces.errors",
    "FailedInputError": "dovetail.interfaces.errors",
    "Flow": "dovetail.client",
    "FlowSpec": "dovetail.authoring.flowspec",
    "FutureList": "dovetail.authoring.mapping",
    "JSONType": "dovetail.authoring.parameters",
    "Parameter": "dovetail.authoring.parameters",
    "Run": "dovetail.client",
    "StagedTask": "dovetail.authoring.transaction_records",
    "Step": "dovetail.client",
    "StepDecorator": "dovetail.authoring.uses",
    "Stored": "dovetail.interfaces.stored",
    "Task": "dovetail.client",
    "TaskFuture": "dovetail.authoring.futures",
    "Transaction": "dovetail.authoring.transactions",
    "allow_failure": "dovetail.authoring.arguments",
    "arun_flow": "dovetail.runner.class_flow",
    "await_input": "dovetail.authoring.waiting",
    "catch": "dovetail.authoring.decorators",
    "compute": "dovetail.authoring.decorators",
    "concurrency": "dovetail.authoring.concurrency",
    "current": "dovetail.authoring.current",
    "datastore": "dovetail.authoring.decorators",
    "default_namespace": "dovetail.client",
    "environment": "dovetail.authoring.decorators",
    "environment_variables": "dovetail.authoring.decorators",
    "flow": "dovetail.authoring.flow_function",
    "get_namespace": "dovetail.client",
    "isolation": "dovetail.authoring.decorators",
    "limit": "dovetail.authoring.decorators",
    "namespace": "dovetail.client",
    "on_cancel": "dovetail.authoring.hooks",
    "on_crash": "dovetail.authoring.hooks",
    "on_failure": "dovetail.authoring.hooks",
    "on_success": "dovetail.authoring.hooks",
    "rate_limit": "dovetail.authoring.concurrency",
    "recorded": "dovetail.authoring",
    "resources": "dovetail.authoring.decorators",
    "retry": "dovetail.authoring.decorators",
    "run_flow": "dovetail.runner.class_flow",
    "send_signal": "dovetail.authoring.waiting",
    "step": "dovetail.authoring.steps",
    "task": "dovetail.authoring.task_function",
    "timeout": "dovetail.authoring.decorators",
    "transaction": "dovetail.authoring.transactions",
    "unmapped": "dovetail.authoring.mapping",
    "wait_for_input": "dovetail.authoring.waiting",
}


if not TYPE_CHECKING:  # else any misspelt name would pass a type checker

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is not None:
            value = getattr(__import__(home, fromlist=(name,)), name)
        elif name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        else:
            from dovetail._decorators import plugin_decorator

            value = plugin_decorator(name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
