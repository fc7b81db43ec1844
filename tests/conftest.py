from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from flowproject import FlowProject


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlowProject]:
    """A folder for a flow."""
    made = FlowProject(tmp_path)
    yield made
    made.close()
