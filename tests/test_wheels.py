"""What `make dist` builds, installed the way a user would, from that folder alone, into a fresh environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMBEDDED = {("datastore", "local"), ("metadata", "sqlite"), ("compute", "local"), ("environment", "host")}


def uv() -> str:
    """The uv that the Makefile uses, or the installed one."""
    own = ROOT / ".tools" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    assert found, "uv is missing: run `make setup`"
    return found


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, with no trace of this environment in its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DOVETAIL", "PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("make", "--no-print-directory", "dist", f"DIST={folder}", cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with `dovetail` in it."""
    home = tmp_path_factory.mktemp("fresh") / "venv"
    run(uv(), "venv", "--quiet", "--no-project", "--python", sys.executable, home, cwd=wheels)
    run(
        uv(),
        "pip",
        "install",
        "--quiet",
        "--python",
        home,
        "--find-links",
        wheels,
        "--no-sources",
        "dovetail",
        cwd=wheels,
    )
    return home / ("Scripts" if os.name == "nt" else "bin")


def test_every_package_has_a_wheel(wheels: Path) -> None:
    packages = [ROOT / "core", *(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
    names = {wheel.name.split("-")[0] for wheel in wheels.glob("*.whl")}
    assert names == {"dovetail" if package.name == "core" else f"dovetail_{package.name}" for package in packages}


def test_the_wheel_holds_types_and_license_and_no_tests(wheels: Path) -> None:
    (wheel,) = wheels.glob("dovetail-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "dovetail/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    own = [name for name in names if not name.startswith("dovetail/plugin_template/")]
    assert [name for name in own if "/tests/" in name or name.startswith("tests/")] == []


def test_the_wheel_holds_the_template_of_plugins_whole(wheels: Path) -> None:
    (wheel,) = wheels.glob("dovetail-*.whl")
    prefix = "dovetail/plugin_template/"
    held = {name.removeprefix(prefix) for name in zipfile.ZipFile(wheel).namelist() if name.startswith(prefix)}
    template = ROOT / "plugin-template"
    assert held == {str(path.relative_to(template)) for path in template.rglob("*") if path.is_file()}


def test_the_installed_command_sees_the_embedded_backends_ready(installed: Path, tmp_path: Path) -> None:
    plugins = json.loads(run(installed / "dovetail", "plugins", "list", "--json", cwd=tmp_path))
    offers = [offer for plugin in plugins for offer in plugin["offers"]]
    usable = {(offer["kind"], offer["name"]) for offer in offers if offer["status"] in ("built-in", "ready")}
    assert usable >= EMBEDDED


def test_the_installed_package_is_not_the_source_tree(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import dovetail; print(dovetail.__file__)", cwd=tmp_path)
    assert "site-packages" in where


def test_the_installed_package_runs_a_flow(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(
        "from dovetail import FlowSpec, step\n\n\n"
        "class Hello(FlowSpec):\n"
        "    @step\n    def start(self):\n        self.word = 'hello'\n        self.next(self.end)\n\n"
        "    @step\n    def end(self):\n        print(self.word, 'from a wheel')\n",
        encoding="utf-8",
    )
    run(installed / "dovetail", "run", "hello.py", cwd=tmp_path)
    assert "hello from a wheel" in run(installed / "dovetail", "logs", cwd=tmp_path)
