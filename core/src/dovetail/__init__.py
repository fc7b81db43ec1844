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

    from dovetail.authoring.current import current
    from dovetail.authoring.decorators import (
        StepDecorator,
        catch,
        compute,
        datastore,
        environment,
        environment_variables,
        isolation,
        resources,
        retry,
        timeout,
    )
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.authoring.parameters import JSONType, Parameter
    from dovetail.authoring.steps import step
    from dovetail.interfaces.errors import DovetailError, FailedInputError

__version__ = "0.1.0"

__all__ = [
    "DovetailError",
    "FailedInputError",
    "FlowSpec",
    "JSONType",
    "Parameter",
    "StepDecorator",
    "catch",
    "compute",
    "current",
    "datastore",
    "environment",
    "environment_variables",
    "isolation",
    "resources",
    "retry",
    "step",
    "timeout",
]

_HOMES = {
    "DovetailError": "dovetail.interfaces.errors",
    "FailedInputError": "dovetail.interfaces.errors",
    "FlowSpec": "dovetail.authoring.flowspec",
    "JSONType": "dovetail.authoring.parameters",
    "Parameter": "dovetail.authoring.parameters",
    "StepDecorator": "dovetail.authoring.decorators",
    "catch": "dovetail.authoring.decorators",
    "compute": "dovetail.authoring.decorators",
    "current": "dovetail.authoring.current",
    "datastore": "dovetail.authoring.decorators",
    "environment": "dovetail.authoring.decorators",
    "environment_variables": "dovetail.authoring.decorators",
    "isolation": "dovetail.authoring.decorators",
    "resources": "dovetail.authoring.decorators",
    "retry": "dovetail.authoring.decorators",
    "step": "dovetail.authoring.steps",
    "timeout": "dovetail.authoring.decorators",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
