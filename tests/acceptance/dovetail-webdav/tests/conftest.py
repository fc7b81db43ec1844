"""What the tests share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from dovetail.interfaces.context import PluginContext, SecretRef

from server import PASSWORD, running

_numbers = itertools.count()


def _secret(ref: SecretRef) -> str:
    return PASSWORD


@pytest.fixture
def ctx(tmp_path: Path) -> PluginContext:
    """What Dovetail hands to a backend, with a home of the test's own."""
    return PluginContext(instance="webdav", home=tmp_path / "home", secret=_secret)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """A place of the test's own."""
    return f"{server}/place{next(_numbers)}"
