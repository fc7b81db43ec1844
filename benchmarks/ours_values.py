"""Dovetail's runs of the cases of artifacts."""

from __future__ import annotations

from environments import FLOWS, STATE, home, program, python, variables
from harness import Measured, measure
from small_values import COUNT, saved
from timing import Run, UnexpectedExitError, repeat, reps

__all__ = ["CASES"]

US = "dovetail"
ROWS = 10_000_000


def _small(name: str, *, fresh: bool) -> tuple[dict[str, str], list[str]]:
    folder = home(US, name, fresh=fresh)
    return variables(US, folder), [str(program(US, US)), "run", str(FLOWS / "dovetail_small.py")]


def small_save() -> list[Run]:
    env, command = _small("small-save", fresh=True)

    def run(count: int) -> Measured:
        return measure(command, env={**env, "SMALL_N": str(count)}, cwd=STATE, timeout=300)

    return saved(run, home(US, "small-save"), reps(7))


def small_load() -> list[Run]:
    env, command = _small("small-load", fresh=True)
    repeat(1, lambda: measure(command, env={**env, "SMALL_N": str(COUNT)}, cwd=STATE, timeout=300), warm=0)

    def load() -> Measured:
        measured = measure([python(US), FLOWS / "dovetail_small_load.py"], env=env, cwd=STATE, timeout=300)
        if measured.exit == 0 and measured.marks()["values"] != COUNT:
            raise UnexpectedExitError(f"{measured.marks()['values']:.0f} of {COUNT} values were loaded")
        return measured

    return repeat(reps(10), load)


def frame() -> list[Run]:
    # One process takes the medians of its turns; a second one would only measure the page cache again.
    folder = home(US, "frame", fresh=True)
    env = {**variables(US, folder), "FRAME_ROWS": str(ROWS), "FRAME_TURNS": str(max(5, reps(5)))}
    command = [python(US), FLOWS / "dovetail_frame.py", folder]
    return repeat(1, lambda: measure(command, env=env, cwd=STATE, timeout=900), warm=0)


CASES = {"small-save": small_save, "small-load": small_load, "frame": frame}
