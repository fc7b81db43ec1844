"""The read side: what flows have run, how it went, and what they left.

```python
from dovetail import Flow

run = Flow("DigitsFlow").latest_successful_run
print(run.data.accuracy)
for task in run["train"]:
    print(task.index, task.state, task.data.score)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.client import Client
    from dovetail.client.flow import Flow
    from dovetail.client.namespaces import default_namespace, get_namespace, namespace
    from dovetail.client.run import Run
    from dovetail.client.step import Step
    from dovetail.client.task import Task

__all__ = [
    "Client",
    "DataArtifact",
    "Flow",
    "Run",
    "Step",
    "Task",
    "default_namespace",
    "get_namespace",
    "namespace",
]

_HOMES = {
    "Client": "dovetail.client.client",
    "DataArtifact": "dovetail.client.artifact",
    "Flow": "dovetail.client.flow",
    "Run": "dovetail.client.run",
    "Step": "dovetail.client.step",
    "Task": "dovetail.client.task",
    "default_namespace": "dovetail.client.namespaces",
    "get_namespace": "dovetail.client.namespaces",
    "namespace": "dovetail.client.namespaces",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
