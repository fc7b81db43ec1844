"""Flows type-check as written, without stubs: what must pass passes, and each marked line fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOOD, BAD = HERE / "good.py", HERE / "bad.py"

Found = dict[str, set[int]]


def by_mypy() -> Found:
    """File name → lines that mypy refuses."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", str(GOOD), str(BAD)]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Found = {GOOD.name: set(), BAD.name: set()}
    for line in done.stdout.splitlines():
        match = re.match(r"(?:.*[/\\])?(\w+\.py):(\d+)(?::\d+)?: error", line)
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    return found


def by_pyright() -> Found:
    """File name → lines that pyright refuses."""
    program = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("pyright is not installed")
    ready = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=280)
    if ready.returncode != 0:
        pytest.skip("pyright has no Node.js here")
    command = [program, "--outputjson", "--pythonpath", sys.executable, str(GOOD), str(BAD)]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False, timeout=280)
    found: Found = {GOOD.name: set(), BAD.name: set()}
    for problem in json.loads(done.stdout)["generalDiagnostics"]:
        if problem["severity"] == "error":
            found.setdefault(Path(problem["file"]).name, set()).add(problem["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_snippets(check: Callable[[], Found]) -> None:
    marked = {n for n, line in enumerate(BAD.read_text().splitlines(), 1) if line.endswith("# error")}
    assert check() == {GOOD.name: set(), BAD.name: marked}
