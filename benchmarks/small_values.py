"""What saving thousands of small values costs, of any system: the same flow with and without them, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from environments import STATE
from harness import Measured, disk
from raw_limits import sqlite_commit
from timing import Run, UnexpectedExitError, repeat

__all__ = ["COUNT", "saved"]

COUNT = 10_000


def saved(run: Callable[[int], Measured], folder: Path, count: int) -> list[Run]:
    """Runs with `save_s`, from the end of the code of the step that assigned the values to the beginning of that of the
    next one, and `files`; of both less the median of what the same flow without values takes.

    Args:
        run: Runs the flow with so many values.
        folder: Where it keeps its state.
        count: How often.
    """

    def once(values: int) -> Run:
        before = disk(folder)
        (made,) = repeat(1, lambda: run(values), warm=0)
        after = disk(folder)
        if "left" not in made or "entered" not in made:
            raise UnexpectedExitError("the flow did not say when its steps began and ended")
        numbers = {"handover_s": made["entered"] - made["left"], "files": after["files"] - before["files"]}
        return {name: made[name] for name in ("wall", "cpu", "rss", "others")} | numbers

    once(COUNT)  # warm
    bare, full = [], []
    for _ in range(count):
        bare.append(once(0))
        full.append({**once(COUNT), "sqlite_s": sqlite_commit(STATE, COUNT)})
    seconds = statistics.median(one["handover_s"] for one in bare)
    files = statistics.median(one["files"] for one in bare)
    return [
        {
            **one,
            "save_s": one["handover_s"] - seconds,
            "bare_handover_s": seconds,
            "files": one["files"] - files,
            "over_sqlite": (one["handover_s"] - seconds) / one["sqlite_s"],
        }
        for one in full
    ]
