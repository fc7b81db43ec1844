"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dovetail.interfaces.context import PluginContext, SecretRef


def _secret(ref: SecretRef) -> str:
    return os.environ[ref.id]


@pytest.fixture
def ctx(tmp_path: Path) -> PluginContext:
    """What Dovetail hands to a backend, with a home of the test's own."""
    return PluginContext(instance="webdav", home=tmp_path / "home", secret=_secret)


@pytest.fixture
def url() -> str:
    """A place of the test's own on a server that knows $DAV_USER with $DAV_PASSWORD."""
    return f"{os.environ['DAV_URL']}/{os.urandom(8).hex()}"
