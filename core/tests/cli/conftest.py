from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The test folders are no packages.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "client")]

from seed import Seed  # noqa: E402
from shell import Shell  # noqa: E402


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seed]:
    """An empty home, which is also the default one."""
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOVETAIL_USER", "ada")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    made = Seed(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def wait() -> Callable[..., None]:
    from seed import wait_until

    return wait_until
