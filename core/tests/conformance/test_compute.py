"""Local compute passes the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dovetail.interfaces.compute import ComputeBackend
from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.local.compute import LocalCompute
from dovetail.testing import ComputeBackendConformance, MemoryCompute


class TestLocalCompute(ComputeBackendConformance):
    plugin = "dovetail"

    secret = (SecretRef(provider="env", id="X"), "hidden-value-77")

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[[], ComputeBackend]]:
        assert self.secret is not None
        values = dict([self.secret])
        opened: list[ComputeBackend] = []

        def again() -> ComputeBackend:
            ctx = PluginContext(instance="local", home=tmp_path / "home", secret=values.__getitem__)
            opened.append(LocalCompute.open("", None, ctx))
            return opened[-1]

        yield again
        for handle in opened:
            handle.close()

    @pytest.fixture
    def backend(self, reopen: Callable[[], ComputeBackend]) -> ComputeBackend:
        return reopen()


class TestMemoryCompute(ComputeBackendConformance):
    secret = (SecretRef(provider="env", id="X"), "hidden-value-77")

    @pytest.fixture
    def backend(self) -> ComputeBackend:
        assert self.secret is not None
        return MemoryCompute(secret=dict([self.secret]).__getitem__)

    @pytest.fixture
    def reopen(self, backend: MemoryCompute) -> Callable[[], ComputeBackend]:
        return lambda: MemoryCompute(f"{backend.name}-in-another-process")


class TestWithoutDescriptors(TestLocalCompute):
    """As on a system whose kernel wakes nobody: `read` waits."""

    @pytest.fixture
    def backend(self, reopen: Callable[[], ComputeBackend], monkeypatch: pytest.MonkeyPatch) -> ComputeBackend:
        monkeypatch.delattr("os.pidfd_open", raising=False)
        return reopen()
