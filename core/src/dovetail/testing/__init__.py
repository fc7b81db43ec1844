"""Testing flows: run them in memory, on a clock that a test moves, with crashes where it wants them.

```python
from dovetail import flow, task
from dovetail.testing import run, run_crashing


@task
def double(n: int) -> int:
    return 2 * n


@flow
def sums(upto: int) -> int:
    return sum(double(n) for n in range(upto))


assert run(sums, 5).value == 20
assert {one.value for one in run_crashing(sums, upto=3)} == {6}
```

pytest finds the fixtures `dovetail_harness` and `dovetail_home` by itself. Names are imported when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dovetail.testing._thread_driver import CrashError
    from dovetail.testing.conformance.compute import ComputeBackendConformance
    from dovetail.testing.conformance.datastore import DataStoreConformance
    from dovetail.testing.conformance.environment import EnvironmentBuilderConformance
    from dovetail.testing.conformance.metadata import MetadataProviderConformance
    from dovetail.testing.conformance.plugin import PluginConformance
    from dovetail.testing.faults import FlakyStore, SlowStore, ThrottledBackend
    from dovetail.testing.folder_environment import FolderEnvironment
    from dovetail.testing.harness import Harness, MemoryRun, run, run_crashing
    from dovetail.testing.memory_compute import MemoryCompute
    from dovetail.testing.memory_metadata import MemoryMetadata
    from dovetail.testing.memory_store import MemoryStore
    from dovetail.testing.virtual_clock import VirtualClock

__all__ = [
    "ComputeBackendConformance",
    "CrashError",
    "DataStoreConformance",
    "EnvironmentBuilderConformance",
    "FlakyStore",
    "FolderEnvironment",
    "Harness",
    "MemoryCompute",
    "MemoryMetadata",
    "MemoryRun",
    "MemoryStore",
    "MetadataProviderConformance",
    "PluginConformance",
    "SlowStore",
    "ThrottledBackend",
    "VirtualClock",
    "run",
    "run_crashing",
]

_MODULES = {
    "CrashError": "_thread_driver",
    "DataStoreConformance": "conformance",
    "PluginConformance": "conformance",
    "MetadataProviderConformance": "conformance",
    "EnvironmentBuilderConformance": "conformance",
    "ComputeBackendConformance": "conformance",
    "FlakyStore": "faults",
    "SlowStore": "faults",
    "ThrottledBackend": "faults",
    "FolderEnvironment": "folder_environment",
    "Harness": "harness",
    "MemoryCompute": "memory_compute",
    "MemoryMetadata": "memory_metadata",
    "MemoryRun": "harness",
    "MemoryStore": "memory_store",
    "VirtualClock": "virtual_clock",
    "run": "harness",
    "run_crashing": "harness",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found
