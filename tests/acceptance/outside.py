"""What is asked of each plugin that was written over the template's render: few lines, and the kit's tests.

`DOVETAIL_ACCEPTANCE=full` leaves no test of the kit out, and lets its state machines try more.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from template.rendering import command, render

__all__ = ["check_lines", "check_report", "project"]

HERE = Path(__file__).parent
README = HERE / "README.md"
AUTHOR = "The Dovetail authors"
BUDGET = 300
"""The most lines that may be written over a render."""
FULL = os.environ.get("DOVETAIL_ACCEPTANCE") == "full"


def project(name: str, folder: Path) -> Path:
    """A copy of a plugin's files that are kept, away from the checkout."""
    source = HERE / name
    listed = command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=source)
    for line in listed.split("\0"):
        if line and (source / line).exists():
            (folder / line).parent.mkdir(parents=True, exist_ok=True)
            (folder / line).write_bytes((source / line).read_bytes())
    return folder


def check_lines(name: str, kinds: Sequence[str], tmp_path: Path) -> None:
    """Compare the lines that a plugin has over a fresh render with the budget and with what the README says."""
    fresh = render(tmp_path / "fresh", kinds, name=name.removeprefix("dovetail-"), author=AUTHOR, licence="MIT")
    compare = ("git", "diff", "--no-index", "--numstat", "--no-renames", fresh, project(name, tmp_path / "written"))
    lines = [line.split("\t") for line in command(*compare, cwd=tmp_path, expect=1).splitlines()]
    added = {file: int(number) for number, _, file in lines}
    assert sum(added.values()) <= BUDGET, added
    _compare(name, "Lines over the render", f"{sum(added.values())}")


def check_report(
    name: str, tmp_path: Path, variables: Mapping[str, str], *, slow: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Run a plugin's own tests, compare the conformance report with what the README says; the report's suites.

    Args:
        slow: Tests of the kit that are left out unless everything is asked for.
    """
    report = tmp_path / "conformance.json"
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "own", f"--dovetail-report={report}")
    chosen = ("-k", " and ".join(f"not {test}" for test in slow)) if slow and not FULL else ()
    output = command(
        *(sys.executable, "-m", "pytest", *options, *chosen),
        cwd=project(name, tmp_path / "project"),
        DOVETAIL_CONFORMANCE_EFFORT="1" if FULL else "0",
        **variables,
    )
    suites: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["suites"]
    assert {suite["plugin"]["name"] for suite in suites} == {name}
    left_out = int((re.findall(r"(\d+) deselected", output) or ["0"])[0])
    assert bool(left_out) == bool(chosen), output
    tests = Counter(test["outcome"] for suite in suites for test in suite["tests"])
    tests["passed"] += left_out
    _compare(name, "Tests of the kit", _counted(tests))
    outcomes = {guarantee: outcome for suite in suites for guarantee, outcome in suite["guarantees"].items()}
    guarantees = Counter(outcomes.values())
    if left_out:  # with them, guarantees that no other test is about
        assert set(guarantees) == {"passed", "skipped"}, outcomes
    else:
        _compare(name, "Guarantees", _counted(guarantees))
    return suites


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))


def _compare(name: str, line: str, came: str) -> None:
    """Compare what came with what the README's section about a plugin says."""
    section = README.read_text(encoding="utf-8").partition(f"\n## `{name}`")[2].partition("\n## ")[0]
    [told] = re.findall(rf"^{re.escape(line)}: (.*)$", section, re.MULTILINE)
    assert told == came, f"{README.name} says of {name} '{line}: {told}', came {came}"
