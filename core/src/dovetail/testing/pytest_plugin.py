"""Fixtures that pytest finds where Dovetail is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from dovetail.testing.harness import Harness

__all__ = ["dovetail_harness", "dovetail_home"]


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
