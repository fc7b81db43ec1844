"""Typed decorators: each stands on a step or a flow class, and `--with` attaches it to all steps of a run.

They only store what was written. None stands for what the settings say.
"""

from __future__ import annotations

from typing import Any

from dovetail import StepDecorator

__all__ = [
    "dask_compute",
]


def dask_compute(*, nice: int | None = None) -> StepDecorator:
    """Run tasks as jobs of dask.

    Args:
        nice: How far they stand back behind other processes, 0 to 19.
    """
    made = StepDecorator("compute", "dask", _given(nice=nice))
    if nice is not None and not 0 <= nice <= 19:
        made.wrong(f"@dask_compute: nice={nice} is not from 0 to 19", "As in nice=10.")
    return made


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
