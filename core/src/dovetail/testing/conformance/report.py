"""The report of the kit: test by test, which guarantee it is for and what came of it. As JSON, for catalogues."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.plugins.discovery import running_version
from dovetail.testing.conformance.guarantees import GUARANTEES

if TYPE_CHECKING:
    import pytest

__all__ = ["FORMAT", "ConformanceReport"]

FORMAT = 1
"""Version of the report's form."""
_ERROR = "dovetail.testing.conformance.suite.GuaranteeError: "
_WORST = ("failed", "not-enforced", "expected-failure", "passed", "skipped")
"""Outcomes of a guarantee's tests, the worst first: a guarantee is as its worst test."""


class ConformanceReport:
    """Collects what the tests of the kit come to. Works beside pytest-xdist: it listens where reports arrive.

    Args:
        file: Where it is written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._cases: dict[str, dict[str, Any]] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a phase of a test."""
        found = dict(report.user_properties)
        facts: Any = found.get("dovetail_conformance")
        if not isinstance(facts, dict):
            return
        backend: Any = found.get("dovetail_facts")
        if isinstance(backend, dict):
            self._facts[facts["suite"]] = backend
        outcome, reason = _outcome(report)
        case = self._cases.setdefault(report.nodeid, {**facts, "outcome": "", "reason": ""})
        if outcome and (not case["outcome"] or outcome == "failed"):
            case.update(outcome=outcome, reason=reason)

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        suites: dict[tuple[str, str], dict[str, Any]] = {}
        for case in self._cases.values():
            fields = {name: case[name] for name in ("test", "guarantee", "flag", "since", "outcome", "reason")}
            suite = suites.setdefault(
                (case["interface"], case["suite"]),
                {
                    "suite": case["suite"],
                    "interface": case["interface"],
                    "plugin": {"name": case["plugin"], "version": case["version"]},
                    **self._facts.get(case["suite"], {"backend": "", "abilities": []}),
                    "tests": [],
                },
            )
            suite["tests"].append(fields)
        for suite in suites.values():
            suite["totals"] = _count(test["outcome"] for test in suite["tests"])
            suite["guarantees"] = _by_guarantee(suite["tests"])
        plain = {
            "format": FORMAT,
            "dovetail": running_version(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "suites": list(suites.values()),
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _outcome(report: pytest.TestReport) -> tuple[str, str]:
    """What a phase of a test says; nothing where it says nothing."""
    expected = getattr(report, "wasxfail", None)
    if expected is not None and report.skipped:
        newer = expected.removeprefix("reason: ").startswith("newer than")
        return "not-enforced" if newer else "expected-failure", expected
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = getattr(crash, "message", "") or str(report.longrepr)
        return "failed", text.strip().partition("\n")[0].removeprefix(_ERROR)
    if report.skipped:
        return "skipped", str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    return ("passed", "") if report.when == "call" else ("", "")


def _count(outcomes: Any) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(_WORST, 0)
    for outcome in outcomes:
        if outcome:
            found[outcome] += 1
    return found


def _by_guarantee(tests: list[dict[str, Any]]) -> dict[str, str]:
    """Id → the worst of its tests; skipped only where all of them were."""
    return {
        id: min((test["outcome"] for test in tests if test["guarantee"] == id and test["outcome"]), key=_WORST.index)
        for id in GUARANTEES
        if any(test["guarantee"] == id and test["outcome"] for test in tests)
    }
