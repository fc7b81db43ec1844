"""Layer one: find installed plugins and decide about each, importing none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.plugins.loaded import Plugin
from dovetail.plugins.rules import PluginRules
from dovetail.plugins.scan import GROUP

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["discover", "forget_scan", "installed_entry_points", "running_version"]

_scanned: list[tuple[EntryPoint, Distribution | None]] | None = None


def running_version() -> str:
    """Version of Dovetail that runs."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dovetail")
    except PackageNotFoundError:  # Run from a folder of sources.
        return "0"


def installed_entry_points() -> list[tuple[EntryPoint, Distribution | None]]:
    """Entry points of the group, in a stable order. Scanned once a process: it takes some 6 ms at 200 packages."""
    global _scanned
    if _scanned is None:
        from importlib.metadata import entry_points

        found = [(point, getattr(point, "dist", None)) for point in entry_points(group=GROUP)]
        _scanned = sorted(found, key=lambda pair: (pair[1].name if pair[1] else "", pair[0].name, pair[0].value))
    return _scanned


def forget_scan() -> None:
    """Scan again at the next `discover`: for tests, and for programs that install plugins while they run."""
    global _scanned
    _scanned = None


def discover(rules: PluginRules) -> list[Plugin]:
    """Every installed plugin, with its fate decided by the rules and its own requirement on Dovetail."""
    return [_decide(point, dist, rules) for point, dist in installed_entry_points()]


def _decide(point: EntryPoint, dist: Distribution | None, rules: PluginRules) -> Plugin:
    name = (dist.name if dist else None) or f"({point.name})"
    plugin = Plugin(
        entry=point.name,
        target=point.value.strip(),
        dist=name,
        version=(dist.version if dist else None) or "",
        status="ready",
        location=str(dist.locate_file("")) if dist else "",
    )
    refusal = rules.refusal(point.name, name)
    if refusal is not None:
        status, reason = refusal
        plugin.fail("blocked" if status == "blocked" else "not-allowed", reason)
        return plugin
    _check_requirement(plugin, dist)
    return plugin


def _check_requirement(plugin: Plugin, dist: Distribution | None) -> None:
    """Wheels say which Dovetail they need, but `--no-deps` and conda install past that."""
    from dovetail.plugins.versions import fits, requirement_on

    try:
        wanted = requirement_on("dovetail", dist.requires if dist else None)
        running = running_version()
        if wanted is not None and not fits(running, wanted):
            plugin.fail("incompatible", f"needs dovetail{wanted}, this is {running}")
    except ValueError as error:
        # Not knowing what it needs is no reason to run it.
        plugin.fail("incompatible", f"its requirement on dovetail can't be read: {error}")
