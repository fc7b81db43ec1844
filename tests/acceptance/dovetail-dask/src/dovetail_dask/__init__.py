"""dask for Dovetail."""

from dovetail_dask.decorators import (
    dask_compute,
)

__all__ = [
    "dask_compute",
]
