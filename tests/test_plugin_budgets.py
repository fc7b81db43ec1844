"""What looking at plugins may cost. Counted: modules, scans and sockets, not seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = 100
MANIFEST = """
from dovetail.plugins import ComputeBackendSpec, DataStoreSpec, HealthCheckSpec, hookimpl

@hookimpl
def dovetail_datastores():
    return [DataStoreSpec(name="store{n}", factory="fake{n}.store:Store", settings="fake{n}.settings:Settings")]

@hookimpl
def dovetail_compute_backends():
    return [ComputeBackendSpec(name="compute{n}", factory="fake{n}.compute:Compute", requires=("fake{n}.sdk",))]

@hookimpl
def dovetail_health_checks():
    return [HealthCheckSpec(name="check{n}", factory="fake{n}.health:check", checks="datastore:store{n}")]
"""
COUNTED = """
import importlib.metadata, io, json, sys
from contextlib import redirect_stdout

scans, sockets = [], []
def watch(event, arguments):
    if event.startswith("socket."):
        sockets.append(event)
sys.addaudithook(watch)
original = importlib.metadata.entry_points
def counted(**options):
    scans.append(options)
    return original(**options)
importlib.metadata.entry_points = counted

from dovetail.cli import main
output = io.StringIO()
with redirect_stdout(output):
    code = main(sys.argv[1:])
fakes = sorted(name for name in sys.modules if name.startswith("fake"))
print(json.dumps({"code": code, "scans": scans, "sockets": sockets, "fakes": fakes, "output": output.getvalue()}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred installed plugins, each with a backend that can't be imported."""
    folder = tmp_path_factory.mktemp("site")
    for n in range(PLUGINS):
        package = folder / f"fake{n}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(MANIFEST.format(n=n))
        for name in ("store", "compute", "settings", "sdk", "health"):
            (package / f"{name}.py").write_text("raise RuntimeError('imported')\n")
        info = folder / f"fake{n}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake{n}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[dovetail.plugins]\nfake{n} = fake{n}.plugin\n")
    return folder


def counted(site: Path, cwd: Path, *words: str, **env: str) -> dict[str, Any]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DOVETAIL", "COV"))}
    variables |= {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(cwd / "cache"), **env}
    command = [sys.executable, "-c", COUNTED, *words]
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("words", [["plugins", "list"], ["plugins", "list", "--json"], ["plugins", "freeze"]])
def test_a_hundred_plugins_are_listed_without_their_backends(site: Path, tmp_path: Path, words: list[str]) -> None:
    found = counted(site, tmp_path, *words)
    assert found["code"] == 0
    assert found["sockets"] == []
    assert found["scans"] == [{"group": "dovetail.plugins"}]
    wanted = {f"fake{n}" for n in range(PLUGINS)} | {f"fake{n}.plugin" for n in range(PLUGINS)}
    assert set(found["fakes"]) == wanted
    assert f"fake{PLUGINS - 1}" in found["output"]


def test_the_listing_is_whole(site: Path, tmp_path: Path) -> None:
    listed = json.loads(counted(site, tmp_path, "plugins", "list", "--json")["output"])
    assert len(listed) == PLUGINS + 1
    offers = {offer["name"]: offer["status"] for plugin in listed for offer in plugin["offers"]}
    assert (offers["store7"], offers["compute7"], offers["check7"]) == ("ready", "ready", "ready")


def test_what_is_refused_is_not_even_imported(site: Path, tmp_path: Path) -> None:
    found = counted(site, tmp_path, "plugins", "list", DOVETAIL__PLUGINS__ALLOW="fake3")
    assert found["fakes"] == ["fake3", "fake3.plugin"]
    assert found["scans"] == [{"group": "dovetail.plugins"}]


def test_one_scan_a_process_however_much_is_asked(site: Path, tmp_path: Path) -> None:
    found = counted(site, tmp_path, "plugins", "show", "store5")
    assert found["scans"] == [{"group": "dovetail.plugins"}]
    assert "fake5.settings" not in found["fakes"]  # it failed to import, and takes nothing down
    assert "fake5.store:Store" in found["output"]
    found = counted(site, tmp_path, "plugins", "doctor")
    assert found["scans"] == [{"group": "dovetail.plugins"}]
    assert [name for name in found["fakes"] if name.endswith((".store", ".compute"))] == []


def manifests() -> list[str]:
    """The embedded manifest, and that of every plugin of this repository."""
    files = sorted(ROOT.glob("plugins/*/src/*/plugin.py"))
    return ["dovetail.local.plugin", *(f"{file.parent.name}.plugin" for file in files)]


@pytest.mark.parametrize("manifest", manifests())
def test_a_manifest_imports_dovetail_and_the_standard_library_alone(manifest: str) -> None:
    program = (
        "import sys, json, dovetail.plugins.manifest; dovetail.plugins.manifest.new_manager()\n"
        "before = set(sys.modules)\n"
        f"__import__({manifest!r})\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    path = os.pathsep.join(str(folder) for folder in ROOT.glob("plugins/*/src"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    own = manifest.partition(".")[0]
    tops = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert tops - set(sys.stdlib_module_names) - {"dovetail", own} == set()
