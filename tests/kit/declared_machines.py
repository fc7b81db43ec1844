"""A plugin of pytest: tries sequences of calls only with those wrong backends that declare to fail then.

What a state machine finds in the others depends on what it happens to try.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MACHINE", "pytest_collection_modifyitems"]

MACHINE = "test_any_sequence_of_calls"


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what says nothing."""
    without = [item for item in items if item.name == MACHINE and MACHINE not in item.cls.wrong.fails]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]
