from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from seed import Seed

from dovetail.client import Client


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seed]:
    """An empty home, which is also the default one."""
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOVETAIL_USER", "ada")
    made = Seed(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def client(seed: Seed) -> Iterator[Client]:
    """A client of that home that sees everybody's runs."""
    with Client(seed.home, namespace=None) as made:
        yield made
