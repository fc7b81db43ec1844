"""The metadata providers of the core pass the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dovetail.interfaces.metadata import MetadataProvider
from dovetail.local.metadata import SqliteMetadata
from dovetail.testing import MemoryMetadata, MetadataProviderConformance


class TestSqliteMetadata(MetadataProviderConformance):
    plugin = "dovetail"

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[[], MetadataProvider]]:
        opened: list[MetadataProvider] = []

        def again() -> MetadataProvider:
            opened.append(SqliteMetadata(tmp_path / "metadata.db"))
            return opened[-1]

        yield again
        for handle in opened:
            handle.close()

    @pytest.fixture
    def provider(self, reopen: Callable[[], MetadataProvider]) -> MetadataProvider:
        return reopen()

    @pytest.fixture
    def opener(self, tmp_path: Path) -> tuple[str, ...]:
        return "dovetail.local.metadata:SqliteMetadata", str(tmp_path / "metadata.db")


class TestMemoryMetadata(MetadataProviderConformance):
    @pytest.fixture
    def provider(self) -> MetadataProvider:
        return MemoryMetadata()

    @pytest.fixture
    def reopen(self, provider: MemoryMetadata) -> Callable[[], MetadataProvider]:
        return lambda: MemoryMetadata(provider.name)
