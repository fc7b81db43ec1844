"""Fake installed plugins: a folder on the import path with packages and their `*.dist-info`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import dovetail.plugins.registry as registry_module
from dovetail.plugins import discovery
from dovetail.plugins.registry import Registry
from dovetail.plugins.rules import PluginRules

HEAD = """
from dovetail.plugins import *
from dovetail.plugins import (
    CommandSpec, ComputeBackendSpec, DataStoreSpec, EnvironmentBuilderSpec, FlowDecoratorSpec, HealthCheckSpec,
    MetadataProviderSpec, SecretsProviderSpec, SerializerSpec, StepDecoratorSpec, hookimpl,
)
"""


class Site:
    """A folder like site-packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        dist: str,
        source: str = "",
        *,
        version: str = "1.0",
        entry: str | None = None,
        target: str | None = None,
        requires: Sequence[str] = (),
        files: dict[str, str] | None = None,
    ) -> str:
        """Install a plugin; the name of its package."""
        package = dist.replace("-", "_")
        folder = self.folder / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "plugin.py").write_text(HEAD + textwrap.dedent(source))
        for name, text in (files or {}).items():
            (folder / name).write_text(textwrap.dedent(text))
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {dist}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {r}" for r in requires]) + "\n")
        name = entry or dist.removeprefix("dovetail-")
        (info / "entry_points.txt").write_text(f"[dovetail.plugins]\n{name} = {target or package + '.plugin'}\n")
        return package


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing installed yet; every trace is gone afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(registry_module, "_current", None)
    before = set(sys.modules)
    discovery.forget_scan()
    yield Site(folder)
    discovery.forget_scan()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def load(site: Site) -> Callable[..., Registry]:
    """A registry over what is installed in `site`, with these rules."""

    def make(**rules: object) -> Registry:
        discovery.forget_scan()
        return Registry(PluginRules(**rules))  # type: ignore[arg-type]

    return make
