"""What the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from dovetail.interfaces.context import PluginContext, SecretRef


def _secret(ref: SecretRef) -> str:
    return f"value-of-{ref.id}"


@pytest.fixture
def ctx(tmp_path: Path) -> PluginContext:
    """What Dovetail hands to a backend, with a home of the test's own."""
    return PluginContext(instance="dask", home=tmp_path / "home", secret=_secret)
