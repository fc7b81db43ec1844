from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flowproject import FlowProject


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlowProject]:
    """A folder for a flow."""
    made = FlowProject(tmp_path)
    yield made
    made.close()
