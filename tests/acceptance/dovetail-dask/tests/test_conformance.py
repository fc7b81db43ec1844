"""Dovetail's conformance kit: what every backend of a kind must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, ClassVar

import pytest
from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.testing import (
    ComputeBackendConformance,
    PluginConformance,
)

from dovetail_dask.compute import DaskCompute
from dovetail_dask.settings import (
    DaskComputeSettings,
)

PLUGIN = "dovetail-dask"


class TestPlugin(PluginConformance):
    plugin = PLUGIN


class TestCompute(ComputeBackendConformance):
    plugin = PLUGIN
    secret: ClassVar[tuple[SecretRef, str] | None] = (SecretRef(provider="env", id="TOKEN"), "value-of-TOKEN")

    @pytest.fixture
    def reopen(self, ctx: PluginContext) -> Iterator[Callable[[], Any]]:
        settings = DaskComputeSettings(poll=0.02)
        with ExitStack() as handles:
            yield lambda: handles.enter_context(closing(DaskCompute.open("", settings, ctx)))

    @pytest.fixture
    def backend(self, reopen: Callable[[], Any]) -> Any:
        return reopen()
