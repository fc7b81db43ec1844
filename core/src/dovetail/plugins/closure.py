"""The plugins of a run: which take part, how they are pinned, and whether those that are installed are still the same.

A distribution is pinned by its version, its entry points and a digest. Nothing of it is imported for that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import PluginMismatchError
from dovetail.plugins.hooknames import POLICIES, WRAPPERS

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint
    from pathlib import Path

    from dovetail.plugins.descriptors import Spec
    from dovetail.plugins.loaded import Plugin

__all__ = ["check_closure", "closure", "differences", "digest_of", "direct_url", "installed_pins", "is_editable"]

_INSTALLERS = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"})
"""Files that installers add to the metadata, each as it likes."""


def closure(plugins: Iterable[Plugin], specs: Iterable[Spec]) -> dict[str, Any]:
    """What a run pins, by distribution, as JSON-able data.

    These are the plugins that provide what the run has chosen, and those that can change what any task does:
    serializers, wrappers and policies. Observers change nothing, so they are left out.

    Args:
        plugins: The usable third-party plugins.
        specs: What the run has chosen.
    """
    wanted = {id(spec) for spec in specs}
    names = {
        plugin.dist
        for plugin in plugins
        if any(id(spec) in wanted or spec.kind == "serializer" for spec in plugin.specs)
        or any(hook in (*POLICIES, *WRAPPERS) for hook in plugin.hooks)
    }
    return installed_pins(names) if names else {}


def installed_pins(names: Iterable[str]) -> dict[str, Any]:
    """The pins of installed distributions by their names; what is not installed is left out."""
    from dovetail.plugins.discovery import installed_entry_points

    wanted = set(names)
    found: dict[str, tuple[Distribution, list[EntryPoint]]] = {}
    for point, dist in installed_entry_points():
        if dist is not None and dist.name in wanted:
            found.setdefault(dist.name, (dist, []))[1].append(point)
    return {name: _pin(dist, points) for name, (dist, points) in sorted(found.items())}


def _pin(dist: Distribution, points: list[EntryPoint]) -> dict[str, Any]:
    targets = {point.name: point.value.strip() for point in points}
    return {"version": dist.version, "entries": targets, "digest": digest_of(dist, targets.values())}


def digest_of(dist: Distribution, targets: Iterable[str]) -> str:
    """What an installation is known by.

    Of a wheel `record:SHA256`, over the files and hashes of its RECORD: the same wherever that wheel is installed, so
    what installers add (who installed it, from where, scripts, bytecode) is left out. An editable installation has no
    such list, nor has one without a RECORD: `sources:SHA256`, over the files of the packages that hold its manifests.
    """
    text = None if is_editable(dist) else dist.read_text("RECORD")
    lines = [] if text is None else sorted(_record_lines(text))
    if lines:
        return f"record:{_sha256(lines)}"
    return f"sources:{_sha256(sorted(_source_lines(targets)))}"


def _record_lines(text: str) -> Iterator[str]:
    import csv

    for row in csv.reader(text.splitlines()):
        path, digest = (*row, "", "")[:2]
        folder, _, name = path.rpartition("/")
        if digest and not path.startswith("..") and not (folder.endswith(".dist-info") and name in _INSTALLERS):
            yield f"{path} {digest}"


def _source_lines(targets: Iterable[str]) -> Iterator[str]:
    from hashlib import sha256
    from importlib.util import find_spec

    for package in {target.partition(":")[0].partition(".")[0] for target in targets}:
        spec = find_spec(package)  # of a top-level name: looked for, not imported
        for root, file in _files_of(spec):
            yield f"{package}/{file.relative_to(root).as_posix()} {sha256(file.read_bytes()).hexdigest()}"


def _files_of(spec: Any) -> Iterator[tuple[Path, Path]]:
    from pathlib import Path

    if spec is None:
        return
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    if not places and spec.origin:
        yield Path(spec.origin).parent, Path(spec.origin)
    for root in places:
        for file in root.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield root, file


def _sha256(lines: Iterable[str]) -> str:
    from hashlib import sha256

    return sha256("\n".join(lines).encode()).hexdigest()


def direct_url(dist: Distribution) -> Mapping[str, Any]:
    """Where it was installed from, when that was no index (PEP 610); {} otherwise."""
    text = dist.read_text("direct_url.json")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_editable(dist: Distribution) -> bool:
    """Whether it is installed as a link to its sources."""
    return bool((direct_url(dist).get("dir_info") or {}).get("editable"))


def differences(pinned: Mapping[str, Any], *, missing: bool) -> dict[str, str]:
    """Distribution → how what is installed differs from what was pinned, in words.

    Args:
        pinned: What a run pins.
        missing: Whether one that is not installed counts. To a worker it need not: it may never need that one.
    """
    if not pinned:
        return {}
    now = installed_pins(pinned)
    found = {}
    for name, pin in pinned.items():
        if name in now:
            if told := _difference(name, pin, now[name]):
                found[name] = told
        elif missing:
            found[name] = f"the run pins {name} {pin.get('version', '')}, and it is not installed".replace("  ", " ")
    return found


def _difference(name: str, pin: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if pin.get("version") != now["version"]:
        return f"the run pins {name} {pin.get('version')}, and {name} {now['version']} is installed"
    before, after = str(pin.get("digest", now["digest"])), str(now["digest"])
    if before != after:
        return (
            f"the run pins {name} {now['version']} with {_shown(before)}, "
            f"and the one that is installed has {_shown(after)}"
        )
    if pin.get("entries", now["entries"]) != now["entries"]:
        return f"the run pins {name} with the entry points {pin['entries']}, and it now has {now['entries']}"
    return ""


def _shown(digest: str) -> str:
    kind, _, value = digest.partition(":")
    return f"{'files' if kind == 'record' else 'sources'} {value[:12]}"


def check_closure(pinned: Mapping[str, Any], *, missing: bool, asker: str, otherwise: str = "") -> None:
    """Refuse plugins that are not those which a run pins; see `differences`.

    Args:
        pinned: What the run pins.
        missing: Whether one that is not installed counts.
        asker: Who refuses, for the message.
        otherwise: What else the user can do, for the hint.

    Raises:
        PluginMismatchError: Naming every distribution that differs.
    """
    found = differences(pinned, missing=missing)
    if not found:
        return
    wheels = [
        f"{name}=={pinned[name].get('version')}"
        for name in found
        if not str(pinned[name].get("digest", "")).startswith("sources:")
    ]
    hints = [f"Install what was pinned: pip install --force-reinstall {' '.join(wheels)}"] if wheels else []
    if len(wheels) < len(found):
        hints.append("Put the sources of an editable installation back as they were.")
    raise PluginMismatchError(f"{asker}: {'; '.join(found.values())}", hint=" ".join(filter(None, (*hints, otherwise))))
