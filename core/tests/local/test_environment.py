"""The host environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.environment import EnvironmentSpec, LockedEnvironment
from dovetail.interfaces.errors import PreconditionError, SettingsError, UnsupportedOperationError
from dovetail.local.environment import HostEnvironment, host_platform, installed_packages
from dovetail.local.settings import HostSettings
from dovetail.testing.memory_store import MemoryStore

SPEC = EnvironmentSpec(root=Path())


def test_the_id_counts_python_and_platform_only(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostEnvironment()
    locked = host.lock(SPEC, platform=host_platform())
    assert locked.builder == "host"
    assert locked.python == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert locked.report["packages"]["pytest"] == pytest.__version__
    monkeypatch.setattr("dovetail.local.environment.installed_packages", lambda: {"other": "1"})
    again = host.lock(SPEC, platform="")
    assert again.id == locked.id
    assert again.report != locked.report


def test_a_lock_opens_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on the way of every run: `importlib.metadata` would parse a file of each package."""
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "distributions", None)
    monkeypatch.setattr("builtins.open", None)
    assert HostEnvironment().lock(SPEC, platform="").report["packages"]
    assert "packages" not in HostEnvironment(HostSettings(record_packages=False)).lock(SPEC, platform="").report


def test_packages_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A_b-1.2.dist-info", "old-3.egg-info", "x-4-py3.11.egg-info", "module", "c.d-5.0rc1.dist-info"):
        (tmp_path / "first" / name).mkdir(parents=True)
    (tmp_path / "second" / "a_b-0.9.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / name) for name in ("first", "second", "missing")])
    assert installed_packages() == {"a-b": "1.2", "c.d": "5.0rc1", "old": "3", "x": "4"}


def test_it_is_built_already(tmp_path: Path) -> None:
    host = HostEnvironment.open("", HostSettings(), PluginContext(instance="host", home=tmp_path))
    locked = host.lock(SPEC, platform="")
    built = host.build(locked, into=tmp_path)
    assert built.python == (sys.executable,)
    assert host.list_built() == [built]
    assert list(tmp_path.iterdir()) == []
    foreign = LockedEnvironment(builder="host", id="host-2.7-linux-64", platform="linux-64", python="2.7")
    with pytest.raises(PreconditionError, match=r"host-2\.7"):
        host.build(foreign, into=tmp_path)


def test_what_a_host_can_not_do() -> None:
    host = HostEnvironment()
    locked = host.lock(SPEC, platform="")
    with pytest.raises(UnsupportedOperationError) as caught:
        host.ship(locked, MemoryStore(), platform="linux-64")
    assert caught.value.hint
    with pytest.raises(UnsupportedOperationError, match="plan9-64"):
        host.lock(SPEC, platform="plan9-64")
    with pytest.raises(UnsupportedOperationError):
        host.remove(locked.id)
    host.remove("unknown")
    with pytest.raises(SettingsError, match="packages"):
        host.lock(EnvironmentSpec(root=Path(), options={"packages": ["numpy"]}), platform="")


def test_packages_that_come_and_go_are_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "missing")])
    assert installed_packages() == {}
    (tmp_path / "one-1.0.dist-info").mkdir()
    os.utime(tmp_path, ns=(1, 1))
    assert installed_packages() == {"one": "1.0"}
    assert installed_packages() == {"one": "1.0"}
    (tmp_path / "one-1.0.dist-info").rename(tmp_path / "one-2.0.dist-info")
    os.utime(tmp_path, ns=(2, 2))
    assert installed_packages() == {"one": "2.0"}
