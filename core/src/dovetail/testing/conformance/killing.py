"""Kills processes that write, at random instants that a seed gives again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from dovetail.testing.conformance.effort import SEED, seed

__all__ = ["Killed", "killed_writers"]

_KILLS = 5
_WRITES = 8
"""A writer is killed a moment after fewer writes than this have returned."""
_MOMENT = 0.01
"""Seconds that the moment takes at most."""


class Killed(NamedTuple):
    """What a writer has said until it was killed."""

    prefix: str
    """Begins the names of all that it wrote."""
    said: tuple[tuple[str, int], ...]
    """What was written, and its number."""
    when: str
    """To be told where something is wrong: when it was killed, and how to do so again."""

    def written(self, what: str) -> int:
        """How many writes of a sort have returned. One more may have been on its way."""
        return sum(name == what for name, _ in self.said)


def killed_writers(kind: str, opener: Sequence[Any], prepare: Callable[[str], object]) -> Iterator[Killed]:
    """Writers that were killed, one after the other.

    Args:
        kind: `datastore` or `metadata`.
        opener: How a process opens the backend: a function as `module:name`, and its arguments.
        prepare: Leaves what a writer looks for below its prefix.
    """
    chosen = seed()
    random = Random(chosen)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for round in range(_KILLS):
        prefix = f"killed{round}-"
        prepare(prefix)
        command = [sys.executable, "-m", "dovetail.testing.conformance.killed_writer"]
        writes, moment = random.randrange(_WRITES), random.random() * _MOMENT
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*command, kind, json.dumps(list(opener)), prefix],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            with process:
                assert process.stdout is not None, "expected a pipe, came none"
                lines = [process.stdout.readline() for _ in range(writes + 1)]
                time.sleep(moment)
                process.kill()
                lines += process.stdout.readlines()
            errors.seek(0)
            trouble = errors.read().decode(errors="replace").strip()[-2000:]
        assert lines[0], f"expected a process to find the same {kind} by {opener[0]}, came {trouble}"
        assert not trouble, f"expected a writer to go on until it is killed, came {trouble}"
        found = [line for line in lines if line.endswith(b"\n")]
        said = tuple((name, n) for name, n in map(json.loads, found[1:]))
        yield Killed(prefix, said, f"after kill {round}, behind {len(said)} writes ({SEED}={chosen})")
