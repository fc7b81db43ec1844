"""Settings: each field is a key of the settings files, an environment variable, and an option of the decorator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

__all__ = [
    "DaskComputeSettings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskComputeSettings:
    """Of the compute backend."""

    nice: Annotated[int, "how far jobs stand back behind other processes, 0 to 19"] = 0
    folder: Annotated[str, "folder that client and workers share; empty: one below the home of Dovetail"] = ""
    poll: Annotated[float, "seconds between looks at what becomes of jobs"] = 0.5
    grace: Annotated[float, "seconds after which a job that the scheduler does not know is lost"] = 10.0
    timeout: Annotated[float, "seconds to wait for an answer of the scheduler"] = 5.0
