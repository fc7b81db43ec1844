"""The environment builders of the core pass the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dovetail.interfaces.environment import EnvironmentBuilder, EnvironmentSpec
from dovetail.local.environment import HostEnvironment
from dovetail.testing import EnvironmentBuilderConformance, FolderEnvironment


class TestHostEnvironment(EnvironmentBuilderConformance):
    plugin = "dovetail"

    @pytest.fixture
    def builder(self) -> EnvironmentBuilder:
        return HostEnvironment()

    @pytest.fixture
    def reopen(self) -> Callable[[], EnvironmentBuilder]:
        return HostEnvironment


class TestFolderEnvironment(EnvironmentBuilderConformance):
    @pytest.fixture
    def builder(self) -> EnvironmentBuilder:
        return FolderEnvironment()

    @pytest.fixture
    def reopen(self) -> Callable[[], EnvironmentBuilder]:
        return FolderEnvironment

    @pytest.fixture
    def spec(self, tmp_path: Path) -> EnvironmentSpec:
        return EnvironmentSpec(root=tmp_path, options={"files": {"b.py": "B = 2\n", "a.py": "A = 1\n" * 2000}})

    @pytest.fixture
    def other_spec(self, tmp_path: Path) -> EnvironmentSpec:
        return EnvironmentSpec(root=tmp_path, options={"files": {"b.py": "B = 3\n"}})
