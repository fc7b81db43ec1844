"""Configuration layers: `--set`, environment variables, the project's file and the user's, each with profiles.

A layer is a tree of plain values. Which one wins is decided value by value, by whoever asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.given import Given
from dovetail.settings.home import find_project_file, user_file
from dovetail.settings.kinds import KINDS, same_key

__all__ = ["Layer", "environment_layer", "file_layers", "tree_of"]

_PREFIX = "DOVETAIL__"
# Cheap to look for, so that a pyproject.toml without our table is not parsed: tomllib costs 6 ms.
_OURS = rb"""(?m)tool["']?\s*\.\s*["']?dovetail|^\s*\[\s*["']?tool["']?\s*\]|^\s*["']?tool["']?\s*="""


class Layer:
    """One source of settings. A plain class, since every run with settings imports it."""

    __slots__ = ("base", "name", "rank", "sources", "text", "tree")

    def __init__(
        self,
        *,
        name: str,
        rank: str,
        tree: Mapping[str, Any],
        text: bool = False,
        base: Path | None = None,
        sources: Mapping[tuple[str, ...], str] | None = None,
    ) -> None:
        self.name = name
        """For people: `environment variables`, a file's path, `--set`."""
        self.rank = rank
        """`set`, `env`, `project` or `user`."""
        self.tree = tree
        """Nested tables."""
        self.text = text
        """Whether leaves are text that stands for values."""
        self.base = base
        """Folder that relative paths start from."""
        self.sources = sources or {}
        """Path of keys → where exactly, where that is more than the layer's name."""

    def table(self, *path: str) -> Mapping[str, Any]:
        """The table at a path of keys; {} when there is none."""
        found: Any = self.tree
        for key in path:
            if not isinstance(found, Mapping):
                return {}
            found = next((value for name, value in found.items() if same_key(name, key)), None)
        return found if isinstance(found, Mapping) else {}

    def values(self, *path: str) -> Iterator[tuple[str, Given]]:
        """Keys of the table at a path, with their values; tables among them included."""
        for key, value in self.table(*path).items():
            yield key, self.given(value, *path, key)

    def given(self, value: Any, *path: str) -> Given:
        """A value of this layer as a `Given`."""
        normal = tuple(part.replace("-", "_").lower() for part in path)
        source = next((text for known, text in self.sources.items() if known == normal), self.name)
        return Given(value, source, self.text, self.base)

    def get(self, *path: str) -> Given | None:
        """The value at a path of keys."""
        for key, given in self.values(*path[:-1]):
            if same_key(key, path[-1]):
                return given
        return None


def tree_of(items: Mapping[tuple[str, ...], Any], *, where: str) -> dict[str, Any]:
    """Paths of keys and values as nested tables."""
    tree: dict[str, Any] = {}
    for path, value in sorted(items.items(), key=lambda item: len(item[0])):
        table: Any = tree
        for key in path[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict) and key in KINDS:  # DOVETAIL__COMPUTE=x beside DOVETAIL__COMPUTE__Y__Z=1
                tree[key] = table = {"default": table}
            if not isinstance(table, dict):
                raise SettingsError(f"{where}: {'.'.join(path)} is given a value and keys below it")
        table[path[-1]] = value
    return tree


def environment_layer(env: Mapping[str, str]) -> Layer | None:
    """What `DOVETAIL__SECTION__KEY` variables say, None when there are none."""
    items: dict[tuple[str, ...], str] = {}
    sources: dict[tuple[str, ...], str] = {}
    for name, value in env.items():
        if name.startswith(_PREFIX):
            path = tuple(part.lower() for part in name[len(_PREFIX) :].split("__"))
            items[path] = value
            sources[path] = f"environment variable {name}"
    if not items:
        return None
    tree = tree_of(items, where="environment variables")
    return Layer(name="environment variables", rank="env", tree=tree, text=True, sources=sources)


def file_layers(cwd: Path, env: Mapping[str, str], profile: str | None) -> tuple[list[Layer], str | None]:
    """Layers of the project's and the user's file, profiles first, and the name of the profile in use.

    Raises:
        SettingsError: A file can't be read, or neither has the profile.
    """
    files = [("project", *found) for found in _project(cwd)]
    user = user_file(env)
    if user.is_file():
        files.append(("user", user, _parse(user)))
    chosen = profile or env.get("DOVETAIL_PROFILE") or None
    # A profile of the user's that the project's file picks is what the project says: it may widen nothing.
    picked_by = "user"
    if chosen is None:
        picked_by, chosen = next(
            ((rank, str(tree["profile"])) for rank, _, tree in files if tree.get("profile")), ("", None)
        )
    layers = []
    known: set[str] = set()
    for rank, file, tree in files:
        profiles = tree.pop("profiles", {})
        tree.pop("profile", None)
        if not isinstance(profiles, Mapping) or not all(isinstance(table, Mapping) for table in profiles.values()):
            raise SettingsError(f"{file}: profiles must be tables, such as [tool.dovetail.profiles.production]")
        known |= set(profiles)
        name = file.name if file.parent == cwd else str(file)
        if chosen in profiles:
            title, weaker = f"{name} (profile {chosen})", "project" if picked_by == "project" else rank
            layers.append(Layer(name=title, rank=weaker, tree=profiles[chosen], base=file.parent))
        layers.append(Layer(name=name, rank=rank, tree=tree, base=file.parent))
    if chosen is not None and chosen not in known:
        from dovetail.plugins.suggest import did_you_mean

        hint = did_you_mean(chosen, known) or f"There are: {', '.join(sorted(known)) or 'none'}."
        raise SettingsError(f"there is no profile {chosen!r}", hint=hint)
    return layers, chosen


def _project(cwd: Path) -> list[tuple[Path, dict[str, Any]]]:
    for file in find_project_file(cwd):
        if file.name == "dovetail.toml":
            beside = file.with_name("pyproject.toml")
            if beside.is_file() and _tool_table(beside) is not None:
                raise SettingsError(
                    f"{file.parent} has both a dovetail.toml and a [tool.dovetail] in pyproject.toml",
                    hint="Keep one of them.",
                )
            return [(file, _parse(file))]
        table = _tool_table(file)
        if table is not None:
            return [(file, table)]
    return []


def _tool_table(file: Path) -> dict[str, Any] | None:
    try:
        text = file.read_bytes()
        if b"dovetail" not in text or not re.search(_OURS, text):
            return None
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from error
    table = _parse(file).get("tool", {}).get("dovetail")
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{file}: tool.dovetail must be a table")
    return table


def _parse(file: Path) -> dict[str, Any]:
    import sys
    from importlib import import_module

    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        tree: dict[str, Any] = toml.loads(file.read_text(encoding="utf-8"))
        return tree
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{file} is not TOML: {error}") from error
