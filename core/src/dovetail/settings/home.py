"""Where local state and configuration files are."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["find_home", "find_project_file", "user_file"]

_FOLDER = ".dovetail"


def find_home(cwd: Path, env: Mapping[str, str]) -> Path:
    """Folder of local state: `DOVETAIL_HOME`, else the nearest `.dovetail/` upwards, else one to be made beside the
    nearest `pyproject.toml`, else in the working directory. Nothing is created here."""
    if given := env.get("DOVETAIL_HOME"):
        return (cwd / Path(given).expanduser()).absolute()
    here = str(cwd)
    beside = ""
    for folder in _upwards(here):
        if os.path.isdir(os.path.join(folder, _FOLDER)):
            return Path(folder, _FOLDER)
        if not beside and os.path.isfile(os.path.join(folder, "pyproject.toml")):
            beside = folder
    return Path(beside or here, _FOLDER)


def find_project_file(cwd: Path) -> list[Path]:
    """Candidates for the project file, the nearest first: `dovetail.toml` and `pyproject.toml` upwards."""
    names = ("dovetail.toml", "pyproject.toml")
    places = [os.path.join(folder, name) for folder in _upwards(str(cwd)) for name in names]
    return [Path(place) for place in places if os.path.isfile(place)]


def user_file(env: Mapping[str, str]) -> Path:
    """The user's own file; it need not exist."""
    if root := env.get("XDG_CONFIG_HOME"):
        return Path(root, "dovetail", "config.toml")
    if sys.platform == "win32" and (root := env.get("APPDATA")):
        return Path(root, "dovetail", "config.toml")
    return Path(env.get("HOME") or Path.home(), ".config", "dovetail", "config.toml")


def _upwards(folder: str) -> list[str]:
    found = [folder]
    while (parent := os.path.dirname(folder)) != folder:
        found.append(parent)
        folder = parent
    return found
