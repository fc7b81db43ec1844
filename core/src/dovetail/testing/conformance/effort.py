"""How much the state machines try: the one place for it."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["EFFORT", "machine_settings"]

EFFORT = "DOVETAIL_CONFORMANCE_EFFORT"
"""Variable that multiplies the examples of the state machines; 0: a quick look, whose failures are not made small."""
_EXAMPLES, _STEPS = 12, 20


def machine_settings() -> Any:
    """Settings for hypothesis: the same examples each time, unless more are asked for."""
    from hypothesis import HealthCheck, Phase, settings

    effort = int(os.environ.get(EFFORT) or 1)
    phases = (Phase.explicit, Phase.generate, Phase.shrink) if effort else (Phase.explicit, Phase.generate)
    found: Any = list(HealthCheck)  # a slow backend is no fault
    return settings(
        max_examples=_EXAMPLES * max(effort, 1),
        stateful_step_count=_STEPS,
        deadline=None,
        derandomize=effort <= 1,
        database=None,
        print_blob=False,
        phases=phases,
        suppress_health_check=found,
    )
