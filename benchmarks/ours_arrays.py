"""Dovetail's runs of the cases of large arrays, each beside NumPy with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

from environments import FLOWS, STATE, home, python, variables
from harness import measure
from timing import Run, UnexpectedExitError, reps

__all__ = ["CASES"]

US = "dovetail"


def _part(name: str) -> list[Run]:
    """The figures that a part prints, one run for each line, with what was measured of its process."""
    folder = home(US, name, fresh=True)
    env = variables(US, folder, ARRAY_REPS=reps(5))
    command: list[str | Path] = [python(US), FLOWS / "dovetail_arrays.py", name, folder]
    measured = measure(command, env=env, cwd=STATE, timeout=1800)
    if measured.exit:
        raise UnexpectedExitError(f"exit {measured.exit}:\n{measured.output[-2000:]}")
    home(US, name, fresh=True)  # gigabytes
    told = [line.removeprefix("RUN ") for line in measured.output.splitlines() if line.startswith("RUN ")]
    return [{"others": measured.numbers["others"], **json.loads(line)} for line in told]


def case_arraysave() -> list[Run]:
    return _part("save")


def case_arraysync() -> list[Run]:
    return _part("durable")


def case_arrayload() -> list[Run]:
    return _part("load")


def case_arraysum() -> list[Run]:
    return _part("load")


def case_zeros() -> list[Run]:
    return _part("zeros")


def case_same10() -> list[Run]:
    return _part("same")


def case_changed10() -> list[Run]:
    return _part("changed")


def case_scattered10() -> list[Run]:
    return _part("scattered")


def case_inserted10() -> list[Run]:
    return _part("inserted")


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
