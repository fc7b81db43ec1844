"""Kill -9 of the driver, the warm parent or a worker at random points: nothing committed is lost, and it goes on.

DOVETAIL_KILLS sets how many kills (soak: 200), DOVETAIL_SEED the seed; both are printed. A run that ends before
its moment does not count.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from amounts import SEED, amount
from processes import alive, children, descendants

from dovetail.client import Client

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")

KILLS = amount("KILLS", 16)
FLOW = Path(__file__).with_name("grid.py")
EXPECTED = [sum(sum(n ** (s % 4) for n in range(200)) for s in range(12) if s != 5), 1, 102_400, True]
EXPECTED += [sum(n**3 for n in range(200))]


def target(driver: int, kind: str, rng: random.Random) -> int | None:
    """The process to kill: the driver, the one that imported the flow, or one that runs a task."""
    if kind == "driver":
        return driver
    parents = children(driver)
    workers = [worker for parent in parents for worker in children(parent)]
    wanted = parents if kind == "parent" else workers
    return rng.choice(wanted) if wanted else None


def dovetail(*words: str, home: Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dovetail", *words]
    env = {**os.environ, "DOVETAIL_HOME": str(home)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=env, **pipes, **options)  # type: ignore[call-overload, no-any-return]


def check_committed(home: Path) -> None:
    """Every artifact of every committed task loads, and matches its digest."""
    client = Client(home=home)
    for run in client.flow("Grid").runs():
        for task in run.tasks():
            if task.state in ("succeeded", "cached"):
                for artifact in task:
                    assert artifact.data is not None or artifact.id == "failure"
    client.close()


def undisturbed(home: Path) -> float:
    """Seconds that the flow takes when nobody kills anything."""
    began = time.monotonic()
    process = dovetail("run", str(FLOW), home=home)
    output, _ = process.communicate(timeout=60)
    seconds = time.monotonic() - began
    finish(home, process.returncode, output)
    return seconds


def test_any_process_can_be_killed_at_any_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(SEED)
    span = min(undisturbed(tmp_path / f"undisturbed{number}") for number in range(3))
    hit: Counter[str] = Counter()
    tried = 0
    while hit.total() < KILLS and tried < 5 * KILLS:
        home = tmp_path / str(tried)
        kind = ("driver", "parent", "worker")[tried % 3]
        tried += 1
        moment = rng.uniform(0.05, span)
        process = dovetail("run", str(FLOW), home=home)
        time.sleep(moment)  # the point of the test: any moment
        while (victim := target(process.pid, kind, rng)) is None and process.poll() is None:
            time.sleep(0.001)  # a worker comes soon
        family = [process.pid, *descendants(process.pid)]
        if victim is not None and process.poll() is None:
            try:
                os.kill(victim, signal.SIGKILL)
                hit[kind] += 1
            except ProcessLookupError:
                pass
        output, _ = process.communicate(timeout=60)
        where = f"try {tried} (seed {SEED}): {kind} at {moment:.3f} s of {span:.3f} s\n{output}"
        deadline = time.monotonic() + 20
        while any(alive(pid) for pid in family) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(alive(pid) for pid in family), f"processes outlived their driver; {where}"
        finish(home, process.returncode, where)
        check_committed(home)
    with capsys.disabled():
        print(f"\nkilled {dict(hit)} in {tried} runs of {span:.2f} s, seed {SEED}")
    assert hit.total() == KILLS
    assert set(hit) == {"driver", "parent", "worker"}


def finish(home: Path, code: int, where: str) -> None:
    """Resume until it is done, as a user would, and compare with an undisturbed run."""
    if code != 0:
        listed = dovetail("runs", "--json", home=home)
        out, _ = listed.communicate(timeout=60)
        assert listed.returncode == 0, f"{where}\n{out}"
        runs = json.loads(out)
        states = [run["state"] for run in (runs["runs"] if isinstance(runs, dict) else runs)]
        assert "running" not in states, f"shown as running though nothing drives it: {states}; {where}"
        if states != ["succeeded"]:  # else the driver was killed on its way out
            resumed = dovetail("resume" if states else "run", str(FLOW), home=home)
            out, _ = resumed.communicate(timeout=60)
            assert resumed.returncode == 0, f"{where}\n--- resumed:\n{out}"
    client = Client(home=home)
    run = client.flow("Grid").latest_successful_run
    assert run is not None, where
    assert run.data.answer == EXPECTED, where
    client.close()
