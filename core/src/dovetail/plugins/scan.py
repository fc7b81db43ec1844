"""A cheap answer to one question: may any third-party plugin be installed?

Importing `importlib.metadata` and pluggy costs some 55 ms, a look at the `entry_points.txt` files about one, and a
comparison of folder times about 0.1. Most installations have no plugin, so only when this says "maybe" is the
real scan done. It never says "no" wrongly where `importlib.metadata` would find an entry point in a folder: what it
can't read itself (zip files on the path, finders that bring their own metadata) counts as "maybe".
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR

__all__ = ["GROUP", "cache_folder", "may_have_plugins"]

GROUP = "dovetail.plugins"
"""The entry-point group of plugins."""
_MARK = b"dovetail.plugins"
_CACHE_VERSION = 1
_SETTLED_NS = 2_000_000_000
"""A folder that changed less than this ago may change again without its time moving (file systems stamp in ticks of
up to 2 s), so its answer is not kept."""


def cache_folder() -> Path:
    """Folder of caches that belong to the user, not to a project."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dovetail" / "cache"
    if root := os.environ.get("XDG_CACHE_HOME"):
        return Path(root) / "dovetail"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dovetail"
    return Path.home() / ".cache" / "dovetail"


def may_have_plugins(path: Sequence[str] | None = None, *, cache: bool = True) -> bool:
    """Whether a folder of the import path may hold an entry point of the group.

    Args:
        path: The import path; `sys.path` by default.
        cache: Whether to use and keep the answers of earlier processes.
    """
    if path is None and _foreign_finders():
        return True
    folders = list(dict.fromkeys(entry or os.getcwd() for entry in (sys.path if path is None else path)))
    known = _read_cache(folders) if cache else {}
    answers: dict[str, tuple[int, bool]] = {}
    fresh = False
    now = time.time_ns()
    for folder in folders:
        try:
            stamp = os.stat(folder)
        except OSError:
            continue
        if not S_ISDIR(stamp.st_mode):
            return True  # A zip file: importlib.metadata can read it, we can't.
        before = known.get(folder)
        if before is not None and before[0] == stamp.st_mtime_ns:
            answers[folder] = before
            continue
        answers[folder] = (stamp.st_mtime_ns, _look_into(folder))
        fresh = fresh or now - stamp.st_mtime_ns > _SETTLED_NS
    if cache and fresh:
        _write_cache(folders, {k: v for k, v in answers.items() if now - v[0] > _SETTLED_NS})
    return any(found for _, found in answers.values())


def _foreign_finders() -> bool:
    """Whether a finder other than Python's own brings metadata of its own."""
    return any(
        hasattr(finder, "find_distributions") and getattr(finder, "__name__", "") != "PathFinder"
        for finder in sys.meta_path
    )


def _look_into(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info", "EGG-INFO"))]
    except OSError:
        return False
    for name in names:
        try:
            with open(os.path.join(folder, name, "entry_points.txt"), "rb") as file:
                if _MARK in file.read():
                    return True
        except OSError:
            continue
    return False


def _cache_file(folders: Sequence[str]) -> Path:
    from zlib import crc32

    return cache_folder() / f"plugins-{crc32(os.pathsep.join(folders).encode(errors='surrogateescape')):08x}.json"


def _read_cache(folders: Sequence[str]) -> dict[str, tuple[int, bool]]:
    import json

    try:
        data = json.loads(_cache_file(folders).read_bytes())
        if data["version"] != _CACHE_VERSION:
            return {}
        return {folder: (int(stamp), bool(found)) for folder, stamp, found in data["folders"]}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return {}


def _write_cache(folders: Sequence[str], answers: dict[str, tuple[int, bool]]) -> None:
    import json

    data = {"version": _CACHE_VERSION, "folders": [[name, *answer] for name, answer in answers.items()]}
    try:
        file = _cache_file(folders)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        part.write_text(json.dumps(data))
        part.replace(file)
    except (OSError, RuntimeError):
        return  # A cache that can't be kept only costs the scan again.
