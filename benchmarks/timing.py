"""Parts of a measurement that every system shares."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from environments import FLOWS, STATE
from harness import Measured, measure

__all__ = ["Run", "UnexpectedExitError", "imported_modules", "over_bare", "repeat", "reps", "started_at_once"]

Run = dict[str, float]
"""Number → figure, of one measured run."""


class UnexpectedExitError(Exception):
    """A measured command failed, or printed something else than it should."""


def reps(usual: int, *, slow: bool = False) -> int:
    """How often to repeat: `BENCH_REPS` where it is set, but a slow case never more often than usual."""
    asked = int(os.environ.get("BENCH_REPS", usual))
    return min(asked, usual) if slow else asked


def repeat(
    count: int,
    once: Callable[[], Measured],
    *,
    warm: int = 1,
    numbers: Callable[[Measured], Mapping[str, float]] = lambda measured: {},
    exit: int = 0,
) -> list[Run]:
    """The numbers of `count` runs after `warm` that do not count.

    Raises:
        UnexpectedExitError: A run ended with another exit code than `exit`.
    """
    runs = []
    for number in range(warm + count):
        measured = once()
        if measured.exit != exit:
            raise UnexpectedExitError(f"exit {measured.exit}:\n{measured.output[-2000:]}")
        if number >= warm:
            runs.append({**measured.numbers, **measured.marks(), **numbers(measured)})
    return runs


def over_bare(python: Path, command: Sequence[str | Path], env: Mapping[str, str], count: int) -> list[Run]:
    """Runs of a command with `over_bare`: its wall time less the median of `python -c pass`, measured in turns."""
    bare, runs = [], []
    for number in range(count + 2):
        nothing = measure([python, "-c", "pass"], env=env, cwd=STATE)
        measured = measure(command, env=env, cwd=STATE)
        if measured.exit:
            raise UnexpectedExitError(f"exit {measured.exit}:\n{measured.output[-2000:]}")
        if number >= 2:
            bare.append(nothing.numbers["wall"])
            runs.append(measured.numbers)
    floor = statistics.median(bare)
    return [{**run, "over_bare": run["wall"] - floor, "bare": floor} for run in runs]


def imported_modules(python: Path, statement: str, env: Mapping[str, str]) -> int:
    """Modules that a statement loads, over those of a bare interpreter."""
    count = "print('MARK modules', len(set(sys.modules) - before))"
    program = f"import sys; before = set(sys.modules); {statement}; {count}"
    measured = measure([python, "-c", program], env=env, cwd=STATE)
    return int(measured.marks()["modules"])


def started_at_once(count: int, command: Sequence[str | Path], env: Mapping[str, str]) -> Measured:
    """`count` copies of a command at once; marks `ok` and `last_end`."""
    return measure([sys.executable, FLOWS / "many.py", str(count), *command], env=env, cwd=STATE, timeout=600)
