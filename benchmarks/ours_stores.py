"""Dovetail's runs of the cases of data stores: collecting and verifying."""

from __future__ import annotations

import shutil
from pathlib import Path

from environments import STATE, home, python, variables
from harness import measure
from timing import Run, UnexpectedExitError, reps

__all__ = ["CASES"]

US = "dovetail"
HERE = Path(__file__).parent
BLOBS = 1_000_000
MEGABYTES = 2_000


def _script(name: str, *arguments: str | Path) -> dict[str, float]:
    """The last line of JSON that a script writes, with what was measured of its process."""
    import json

    env = variables(US, home(US, "stores"))
    measured = measure([python(US), HERE / name, *arguments], env=env, cwd=STATE, timeout=3600)
    if measured.exit:
        raise UnexpectedExitError(f"exit {measured.exit}:\n{measured.output[-2000:]}")
    told: dict[str, float] = json.loads(measured.output.strip().splitlines()[-1])
    return {**measured.numbers, **told}


def case_gc() -> list[Run]:
    runs = []
    for _ in range(reps(5)):
        folder = home(US, "gc", fresh=True)
        root = folder / "store"
        _script("collecting.py", "--part", "fill", root, str(BLOBS))
        _script("collecting.py", "--part", "delete", root)
        runs.append(_script("collecting.py", "--part", "gc", root))
        shutil.rmtree(root)
    return runs


def case_verify() -> list[Run]:
    folder = home(US, "verify", fresh=True)
    return [_script("verifying.py", str(MEGABYTES), folder) for _ in range(reps(5))]


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")}
