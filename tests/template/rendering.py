"""Renders the template of plugins, builds and installs what comes of it, and runs its tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "ALL",
    "ROOT",
    "TEST_CLASSES",
    "build",
    "command",
    "conformance",
    "failed",
    "installed_alone",
    "render",
    "uv",
]

ROOT = Path(__file__).parents[2]
ALL = ("datastore", "metadata", "compute", "environment")
TEST_CLASSES = {
    "datastore": "TestDataStore",
    "metadata": "TestMetadata",
    "compute": "TestCompute",
    "environment": "TestEnvironment",
}


def uv() -> str:
    """The uv that the Makefile uses, or the installed one."""
    own = ROOT / ".tools" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    assert found, "uv is missing: run `make setup`"
    return found


def command(*words: str | Path, cwd: Path, expect: int = 0, **variables: str) -> str:
    """Standard output of a command that must end as expected, with no trace of this environment in its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DOVETAIL", "PYTHON", "PYTEST", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**env, **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == expect, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def render(
    folder: Path,
    kinds: Sequence[str],
    *,
    name: str = "acme-disk",
    author: str = "Ada",
    licence: str = "",
    python: Path | str = sys.executable,
) -> Path:
    """A new plugin, as `dovetail plugins new` makes it."""
    options = [word for kind in kinds for word in ("--kind", kind)] + (["--licence", licence] if licence else [])
    words = ("plugins", "new", "--name", name, *options, "--author", author, "--into", str(folder), "--json")
    facts = json.loads(command(python, "-m", "dovetail", *words, cwd=folder.parent))
    assert facts["distribution"] == f"dovetail-{name}"
    assert facts["kinds"] == [kind for kind in ALL if kind in kinds]
    return folder


def build(project: Path) -> Path:
    """The wheel of a project."""
    out = project.parent / f"{project.name}-dist"
    command(uv(), "build", "--quiet", "--wheel", "--no-sources", "--out-dir", out, project, cwd=project.parent)
    [wheel] = out.glob("*.whl")
    return wheel


def installed_alone(home: Path, wheels: Sequence[Path]) -> Path:
    """The Python of a fresh environment in which a plugin was installed with the core's extra `testing`."""
    command(uv(), "venv", "--quiet", "--no-project", "--python", sys.executable, home, cwd=home.parent)
    links = [word for wheel in wheels for word in ("--find-links", str(wheel.parent))]
    wanted = [f"{wheel.name.split('-')[0].replace('_', '-')} @ file://{wheel}" for wheel in wheels[1:]]
    core = f"dovetail[testing] @ file://{wheels[0]}"
    install = (uv(), "pip", "install", "--quiet", "--python", home, *links, "--no-sources", core, *wanted)
    command(*install, "pytest-timeout>=2.3", cwd=home.parent)
    return home / ("Scripts" if os.name == "nt" else "bin") / "python"


def installed_beside(site: Path, wheel: Path) -> Mapping[str, str]:
    """The variables with which this environment's Python finds a plugin that it does not have."""
    command(uv(), "pip", "install", "--quiet", "--no-deps", "--target", site, wheel, cwd=site.parent)
    return {"PYTHONPATH": str(site)}


def conformance(
    project: Path, python: Path | str, *words: str, expect: int = 0, effort: int = 0, **variables: str
) -> list[dict[str, str]]:
    """Run a plugin's own tests; what came of each test of the kit."""
    report = project.parent / f"{project.name}-report.json"
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--dovetail-report", str(report), *words)
    variables = {
        "DOVETAIL_CONFORMANCE_EFFORT": str(effort),
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "plugins"),  # the core is looked at once
        **variables,
    }
    command(python, "-m", "pytest", *options, cwd=project, expect=expect, **variables)
    suites = json.loads(report.read_text(encoding="utf-8"))["suites"]
    return [
        {**test, "suite": suite["suite"], "plugin": suite["plugin"]["name"]}
        for suite in suites
        for test in suite["tests"]
    ]


def failed(tests: Sequence[Mapping[str, str]]) -> set[str]:
    """Names of the tests that failed."""
    return {test["test"].partition("[")[0] for test in tests if test["outcome"] == "failed"}
