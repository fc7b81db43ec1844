"""Kills an operation on a data store at boundary after boundary: `python killing.py OPERATION FOLDER FAULTS SEED`.

A process of its own, which forks one for each kill: nothing else runs in it, so that forking is safe.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from boundaries import WRITES, Boundaries, kill
from storefaults import OPERATIONS, Operation, Place, check, prepare, rubbish_of, values

MODES = ("before", "half", "after")


def main() -> int:
    """Prepare, and kill; 1 when something is not as it must be."""
    name, folder, faults, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    operation = OPERATIONS[name]
    done = rounds = missed = 0
    while done < faults:
        base = prepare(folder / f"base{rounds}", seed=seed + rounds)
        before = values(base)
        names = undisturbed(base, folder, operation)
        chosen = [*points(names)]
        if len(chosen) > faults - done:
            chosen = sorted(random.Random(seed).sample(chosen, faults - done))
        for at, mode in chosen:
            place = base.fresh(folder / f"{at} {mode}")
            try:
                end = forked(partial(disturbed, place, operation, at, mode))
                assert end in (0, -signal.SIGKILL), f"it ended with {end}"
                check(place, before, operation)
                operation.act(place)
                operation.confirm(place)
                assert not rubbish_of(place), rubbish_of(place)
            except BaseException:
                traceback.print_exc(file=sys.stdout)
                print(f"{name}: killed {mode} boundary {at}, {names[at]}; seed {seed + rounds}")
                return 1
            shutil.rmtree(place.root)
            done += end != 0
            missed += end == 0
        shutil.rmtree(base.root)
        rounds += 1
    told = f", {missed} ended before" if missed else ""
    print(f"{name}: {done} kills at {len(names)} boundaries{told}, {rounds} rounds from seed {seed}")
    return 0


def points(names: list[str]) -> Iterator[tuple[int, str]]:
    """Where and how to kill. Behind one boundary is in front of the next, so `after` is only the last one's."""
    for at, name in enumerate(names):
        yield at, "before"
        if name in WRITES:
            yield at, "half"
    yield len(names) - 1, "after"


def undisturbed(base: Place, folder: Path, operation: Operation) -> list[str]:
    """The boundaries of the operation."""
    place = base.fresh(folder / "undisturbed")
    with Boundaries(place.roots).watched() as passed:
        operation.act(place)
    operation.confirm(place)
    assert not rubbish_of(place)
    shutil.rmtree(place.root)
    return passed.names


def disturbed(place: Place, operation: Operation, at: int, mode: str) -> None:
    """The operation, killed; it ends where its threads, which do some things once for all, come to fewer boundaries."""

    def step(_: str, call: Callable[[], Any], half: Callable[[], Any] | None) -> None:
        try:
            if mode == "half" and half is not None:
                half()
            elif mode == "after":
                call()
        finally:
            kill()

    with Boundaries(place.roots, at=at, step=step).watched() as passed:
        operation.act(place)
    assert passed.count <= at, f"it went on behind boundary {at}"


def forked(act: Callable[[], None]) -> int:
    """Do something in a process of its own; its exit code, negative for a signal."""
    pid = os.fork()
    if not pid:
        try:
            act()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
