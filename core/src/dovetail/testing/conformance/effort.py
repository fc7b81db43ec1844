"""How much the state machines try, and with which seed: the one place for it."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["EFFORT", "SEED", "run_machine", "seed"]

EFFORT = "DOVETAIL_CONFORMANCE_EFFORT"
"""Variable that multiplies the examples of the state machines; 0: a quick look, whose failures are not made small."""
SEED = "DOVETAIL_CONFORMANCE_SEED"
"""Variable that chooses what state machines try and when writers are killed; a failure tells it."""


def seed() -> int:
    """The same each time, unless another one is given, or more is tried than usual."""
    given = os.environ.get(SEED)
    if given:
        return int(given)
    return 1 if _effort() <= 1 else int.from_bytes(os.urandom(4), "big")


def run_machine(machine: Any, *, effort: int, examples: int = 12, steps: int = 20) -> None:
    """Try sequences of calls.

    Args:
        machine: A class of a state machine, for this test alone.
        effort: The suite's, which multiplies that of the variable.
        examples: How many sequences, times the effort.
        steps: Calls in one of them, at most.
    """
    import hypothesis
    from hypothesis.stateful import run_state_machine_as_test

    chosen = seed()
    try:
        run_state_machine_as_test(hypothesis.seed(chosen)(machine), settings=_settings(examples * effort, steps))
    except AssertionError as error:
        text = str(error).strip().partition("\n")[0]
        raise AssertionError(f"{text} ({SEED}={chosen})") from error


def _effort() -> int:
    return int(os.environ.get(EFFORT) or 1)


def _settings(examples: int, steps: int) -> Any:
    from hypothesis import HealthCheck, Phase, settings

    effort = _effort()
    phases = (Phase.explicit, Phase.generate, Phase.shrink) if effort else (Phase.explicit, Phase.generate)
    found: Any = list(HealthCheck)  # a slow backend is no fault
    return settings(
        max_examples=examples * max(effort, 1),
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=found,
    )
