"""What pytest finds where Dovetail is installed: fixtures, and the report of the conformance kit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from dovetail.testing.harness import Harness

__all__ = ["dovetail_harness", "dovetail_home", "pytest_addoption", "pytest_configure"]

pytest.register_assert_rewrite("dovetail.testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--dovetail-report FILE`."""
    parser.getgroup("dovetail").addoption(
        "--dovetail-report",
        metavar="FILE",
        help="write what came of the tests of Dovetail's conformance kit to FILE, as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Listen to results, where they arrive: not in the workers of pytest-xdist."""
    file = config.getoption("--dovetail-report")
    if file and not hasattr(config, "workerinput"):
        from pathlib import Path

        from dovetail.testing.conformance.report import ConformanceReport

        config.pluginmanager.register(ConformanceReport(Path(file)), "dovetail-report")


@pytest.fixture
def dovetail_harness() -> Harness:
    """A `dovetail.testing.Harness`: runs flows in memory, on a clock that waiting moves."""
    from dovetail.testing.harness import Harness

    return Harness()


@pytest.fixture
def dovetail_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of local state for this test alone: runs of flows that the test calls or starts go there."""
    home = tmp_path / "dovetail-home"
    monkeypatch.setenv("DOVETAIL_HOME", str(home))
    return home
