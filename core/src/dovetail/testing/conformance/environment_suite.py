"""What the parts of the environment builder's suite share: fixtures, what a folder holds, and whether a Python runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from dovetail.interfaces.environment import BuiltEnvironment, EnvironmentBuilder, EnvironmentSpec
from dovetail.interfaces.platforms import host_platform
from dovetail.testing.conformance.suite import Conformance

__all__ = ["EnvironmentSuite", "contents", "version_of"]


class EnvironmentSuite(Conformance):
    """Give a fixture `builder`: an open builder that has built nothing, another one for each test.

    Give `spec` and `other_spec` too, of two small environments that are built without a network, where the builder
    has options; and `reopen`, a function that returns another handle, where there is such a thing.
    """

    interface: ClassVar[str] = "environment"
    platform: ClassVar[str] = host_platform()
    """The platform that this machine builds for."""
    foreign_platform: ClassVar[str] = "plan9-64"
    """Another one, to lock for."""

    @pytest.fixture
    def builder(self) -> EnvironmentBuilder:
        """To be overridden."""
        pytest.fail(f"{type(self).__qualname__} needs a fixture `builder` that returns an open environment builder")

    @pytest.fixture
    def spec(self, tmp_path: Path) -> EnvironmentSpec:
        """What is locked and built."""
        return EnvironmentSpec(root=tmp_path)

    @pytest.fixture
    def other_spec(self) -> EnvironmentSpec:
        """What is another environment than `spec`."""
        pytest.skip("there is no fixture other_spec")

    @pytest.fixture
    def reopen(self, builder: EnvironmentBuilder) -> Callable[[], EnvironmentBuilder]:
        """Opens further handles of `builder`; to be overridden."""
        pytest.skip("there is no fixture reopen")


def contents(folder: Path) -> dict[str, bytes | str]:
    """Relative path → bytes of each file, or where a link points; compiled Python left out."""
    found: dict[str, bytes | str] = {}
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if name != "__pycache__"]
        for name in files:
            path = Path(place, name)
            found[str(path.relative_to(folder))] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found


def version_of(built: BuiltEnvironment) -> str:
    """The version that the interpreter of an environment tells of itself; why not, where it does not run."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        done = subprocess.run(
            [*built.python, "-c", code],
            env={**os.environ, **built.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except OSError as error:
        return f"{error}"
    return done.stdout.strip() or done.stderr.strip() or f"exit {done.returncode}"
