"""The conformance kit: suites that a backend passes when it keeps the guarantees of its interface.

```python
import pytest
from dovetail.testing import DataStoreConformance, MemoryStore


class TestMemoryStore(DataStoreConformance):
    @pytest.fixture
    def store(self):
        return MemoryStore()
```

Needs `pip install 'dovetail[testing]'`: pytest and hypothesis.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dovetail.testing.conformance.compute import ComputeBackendConformance
    from dovetail.testing.conformance.datastore import DataStoreConformance
    from dovetail.testing.conformance.environment import EnvironmentBuilderConformance
    from dovetail.testing.conformance.guarantees import GUARANTEES
    from dovetail.testing.conformance.metadata import MetadataProviderConformance
    from dovetail.testing.conformance.plugin import PluginConformance

__all__ = [
    "GUARANTEES",
    "ComputeBackendConformance",
    "DataStoreConformance",
    "EnvironmentBuilderConformance",
    "MetadataProviderConformance",
    "PluginConformance",
]

_MODULES = {
    "ComputeBackendConformance": "compute",
    "DataStoreConformance": "datastore",
    "EnvironmentBuilderConformance": "environment",
    "GUARANTEES": "guarantees",
    "MetadataProviderConformance": "metadata",
    "PluginConformance": "plugin",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        if name != "GUARANTEES":
            import pytest

            pytest.register_assert_rewrite(__name__)
        found = getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "hypothesis"):
            raise
        raise ImportError(f"{name} needs {error.name}: pip install 'dovetail[testing]'") from error
    globals()[name] = found
    return found
