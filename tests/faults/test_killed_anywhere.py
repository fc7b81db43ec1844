"""Whoever changes a data store is killed at each point where it touches a file: nothing committed is lost or torn.

DOVETAIL_FAULTS sets how many kills in all (soak: 10,000), DOVETAIL_SEED the seed; both are printed. Where they are
fewer than the boundaries, they are drawn; where more, further rounds begin with other values.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from amounts import SEED, amount
from storefaults import OPERATIONS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at descriptors in /proc")

FAULTS = amount("FAULTS", 96)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_killed_at_every_boundary(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path(__file__).parent
    command = [sys.executable, str(here / "killing.py"), name, str(tmp_path), str(FAULTS // len(OPERATIONS)), str(SEED)]
    env = {**os.environ, "PYTHONPATH": str(here.parent)}
    done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
