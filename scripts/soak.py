"""Run the tests that take an amount with large ones, and record it in benchmarks/RESULTS.md: `make soak`.

`SOAK_PARTS` narrows to some parts (`SOAK_PARTS="kills models"`), which then are not recorded; `SOAK_SEED` repeats the
random choices of an earlier soak.
"""

from __future__ import annotations

import os
import platform
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
HEADING = "## Last full soak"
SUMMARY = re.compile(r"^=* ?((?:\d+ \w+,? ?)+) in [\d.]+s", re.MULTILINE)
PARALLEL = ("-n", "2", "--dist", "worksteal")


@dataclass(frozen=True)
class Part:
    """Tests and how much they try."""

    what: str
    """For the record; amounts stand in it by their names."""
    amounts: dict[str, int | str]
    """What follows `DOVETAIL_` in the name of an environment variable → its value."""
    words: tuple[str, ...]
    """For pytest."""


PARTS = {
    "kills": Part(
        "{KILLS} `kill -9` of the driver, the warm parent or a worker",
        {"KILLS": 200},
        ("tests/kills/test_kill_anything.py", "-s"),
    ),
    "limits": Part(
        "{ACQUISITIONS} acquisitions of a limit, {HOLDER_KILLS} `kill -9` of who holds it or waits",
        {"ACQUISITIONS": 2000, "HOLDER_KILLS": 50},
        ("tests/kills/test_kill_holders.py", "-s"),
    ),
    "fallback": Part(
        "{FALLBACKS} runs of each flow that can't be forked",
        {"FALLBACKS": 50},
        ("tests/test_fork_fallback.py", *PARALLEL),
    ),
    "models": Part(
        "{EXAMPLES} times the usual examples of every hypothesis test, {DEPTH} levels of random graphs",
        {"EXAMPLES": 20, "DEPTH": 3},
        ("-m", "hypothesis", *PARALLEL),
    ),
    "threads": Part(
        "{CRASHES} crashes of runs whose threads call", {"CRASHES": 500}, ("core/tests/testing/test_threads.py", "-s")
    ),
    "shapes": Part(
        "{SHAPES} random shapes of flows", {"SHAPES": 200}, ("tests/matrix", "-k", "random_shape", *PARALLEL)
    ),
    "wide": Part(
        "{WIDTH} wide foreach, reused processes and one each", {"WIDTH": 100_000}, ("tests/test_wide_foreach.py",)
    ),
    "faults": Part(
        "{FAULTS} kills of what changes a store, at every point where it touches a file; {STEPS} steps of two at work",
        {"FAULTS": 10_000, "STEPS": 400},
        ("tests/faults", *PARALLEL),
    ),
    "blobs": Part(
        "{BLOBS} blobs of which a tenth is collected, in at most 256 MB",
        {"BLOBS": 1_000_000},
        ("core/tests/upkeep/test_many_blobs.py", "-s"),
    ),
    "templates": Part(
        "{TEMPLATES} set of rendered plugins, each kind by itself and all together, each installed alone",
        {"TEMPLATES": "full"},
        ("tests/template", *PARALLEL),
    ),
    "acceptance": Part(
        "{ACCEPTANCE} set of the kit's tests for the plugins of tests/acceptance",
        {"ACCEPTANCE": "full"},
        ("tests/acceptance", *PARALLEL),
    ),
    "objects": Part(
        "{OBJECTS} small objects in a store", {"OBJECTS": 100_000}, ("core/tests/local/test_many_objects.py",)
    ),
}


def main() -> int:
    """Run what was asked for; 1 when something fails."""
    asked = os.environ.get("SOAK_PARTS", "").replace(",", " ").split() or list(PARTS)
    if unknown := [name for name in asked if name not in PARTS]:
        sys.exit(f"SOAK_PARTS: there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}", flush=True)
    rows, failed = [], []
    for name in asked:
        part = PARTS[name]
        what = part.what.format(**_amounts(part))
        print(f"== {name}: {what}", flush=True)
        began = time.monotonic()
        code, output = _run(part, seed)
        minutes = (time.monotonic() - began) / 60
        counts = SUMMARY.findall(output)
        result = counts[-1].strip() if counts else f"pytest ended with {code}"
        failed += [name] if code else []
        rows.append(f"| {name} | {what} | {result} | {minutes:.1f} |")
    if asked == list(PARTS):
        _record(seed, rows)
        print("benchmarks/RESULTS.md has the record")
    print(f"== seed {seed}; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _run(part: Part, seed: int) -> tuple[int, str]:
    """Run pytest, let it be seen, and keep what it wrote."""
    command = [sys.executable, "-m", "pytest", "--timeout=7200", f"--hypothesis-seed={seed}", *part.words]
    amounts = {f"DOVETAIL_{name}": str(value) for name, value in part.amounts.items()}
    env = {**os.environ, **amounts, "DOVETAIL_SEED": str(seed)}
    lines = []
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def _amounts(part: Part) -> dict[str, str]:
    return {name: value if isinstance(value, str) else f"{value:,}" for name, value in part.amounts.items()}


def _record(seed: int, rows: list[str]) -> None:
    """Put a section in place of the last one; `make bench` leaves it."""
    before = RESULTS.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True, capture_output=True)
    date = time.strftime("%Y-%m-%d %H:%M")
    section = [
        f"`make soak` on {date}, commit {commit.stdout.strip()}, Python {platform.python_version()}, seed {seed}.",
        "",
        "| part | what | tests | minutes |",
        "|---|---|---|---|",
        *rows,
    ]
    RESULTS.write_text("\n".join([before, "", HEADING, "", *section, ""]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
