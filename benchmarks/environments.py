"""One virtual environment for each system, below `venvs/`, and the variables that its programs run with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FLOWS = HERE / "flows"
VENVS = Path(os.environ.get("BENCH_VENVS", HERE / "venvs")).resolve()
STATE = Path(os.environ.get("BENCH_STATE", HERE / "state")).resolve()

LIBRARIES = ["numpy>=1.26", "pandas>=2.2"]
REQUIREMENTS = {
    "dovetail": [str(ROOT / "core"), "pyarrow>=15"],
    "metaflow": ["metaflow>=2.19,<2.20"],
    # Its range admits releases of fastapi that it fails with at the first flow run.
    "prefect": ["prefect>=3,<4", "fastapi>=0.139,<0.140"],
}
QUIET = {
    "dovetail": {},
    "metaflow": {"USERNAME": "bench", "METAFLOW_USER": "bench", "METAFLOW_DEFAULT_METADATA": "local"},
    "prefect": {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "INFO"},
}
HOME_VARIABLE = {
    "dovetail": "DOVETAIL_HOME",
    "metaflow": "METAFLOW_DATASTORE_SYSROOT_LOCAL",
    "prefect": "PREFECT_HOME",
}


def python(system: str) -> Path:
    """The interpreter of a system's environment."""
    return VENVS / system / "bin" / "python"


def program(system: str, name: str) -> Path:
    """A console script of a system's environment."""
    return VENVS / system / "bin" / name


def home(system: str, name: str, *, fresh: bool = False) -> Path:
    """The folder where a case of a system keeps its state; emptied first when `fresh`."""
    folder = STATE / system / name
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def variables(system: str, folder: Path, **more: object) -> dict[str, str]:
    """Environment variables for one run that keeps its state in `folder`."""
    found = {**QUIET[system], HOME_VARIABLE[system]: str(folder)}
    if system == "metaflow":
        found["METAFLOW_CLIENT_CACHE_PATH"] = str(folder / "client-cache")
    return {**found, **{name: str(value) for name, value in more.items()}}


def install(system: str) -> str:
    """Make the environment of a system, ours from the source tree as it stands; returns the version installed."""
    environment = VENVS / system
    if not python(system).exists():
        _uv("venv", "--quiet", "--no-project", "--python", sys.executable, environment)
    # Always: a later release within the range is taken when it is out, and ours is built anew.
    options: list[str | Path] = ["--quiet", "--compile-bytecode", "--python", environment]
    if system == "dovetail":
        options += ["--reinstall-package", "dovetail"]
    _uv("pip", "install", *options, *REQUIREMENTS[system], *LIBRARIES)
    query = f"from importlib.metadata import version; print(version({system!r}))"
    return subprocess.run([python(system), "-c", query], capture_output=True, text=True, check=True).stdout.strip()


def _uv(*arguments: str | Path) -> None:
    own = ROOT / ".tools" / "bin" / "uv"
    subprocess.run([own if own.exists() else "uv", *arguments], check=True, cwd=HERE)
