"""Why a name gives nothing, or too much, and what to do about it. Imported only then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import (
    PluginBlockedError,
    PluginConflictError,
    PluginError,
    PluginIncompatibleError,
    PluginLoadError,
    PluginNotFoundError,
)
from dovetail.plugins.descriptors import DataStoreSpec, Spec
from dovetail.plugins.known import KNOWN, install_command, known_names
from dovetail.plugins.loaded import Plugin
from dovetail.plugins.rules import normalised
from dovetail.plugins.suggest import nearest

if TYPE_CHECKING:
    from dovetail.plugins.registry import Registry

__all__ = ["conflict", "not_found", "scheme_conflict"]


def conflict(kind: str, name: str, offers: Sequence[tuple[Plugin, Spec]]) -> PluginConflictError:
    """Several plugins offer one name."""
    return _conflict(f"{kind} {name!r} is", f"{kind}:{name}", offers)


def scheme_conflict(scheme: str, offers: Sequence[tuple[Plugin, Spec]]) -> PluginConflictError:
    """Several data stores take one URL scheme."""
    return _conflict(f"URLs that begin with {scheme}:// are", f"scheme:{scheme}", offers)


def _conflict(thing: str, key: str, offers: Sequence[tuple[Plugin, Spec]]) -> PluginConflictError:
    who = " and ".join(plugin.who for plugin, _ in offers)
    choice = f'[tool.dovetail.plugins] override = {{"{key}" = "{offers[0][0].dist}"}}'
    return PluginConflictError(f"{thing} provided by {who}", hint=f"Choose one: {choice}")


def not_found(
    registry: Registry, plugins: Sequence[Plugin], kind: str, name: str, asker: str, *, url: bool = False
) -> PluginError:
    """Nothing usable provides a name, or a URL's scheme."""
    thing = f"URLs that begin with {name}://" if url else f"{kind} {name!r}"
    if (problem := _unusable(registry, plugins, kind, name, thing)) is not None:
        return problem
    message = f"no installed plugin provides {thing}"
    if asker:
        message = f"{asker} asks for {thing}, which no installed plugin provides"
    names = set(registry.names(kind))
    if url:
        names = {scheme for spec in registry.specs(kind) if isinstance(spec, DataStoreSpec) for scheme in spec.schemes}
    near = name if install_command(name, kind) else nearest(name, names | known_names(kind))
    off = " Plugins are off (--no-plugins, DOVETAIL_PLUGINS or plugins.mode)." if registry.rules.mode == "off" else ""
    if near is None:
        return PluginNotFoundError(message, hint=f"There are: {', '.join(sorted(names)) or 'none'}.{off}")
    command = None if near in names else install_command(near, kind)
    hints = [] if near == name else [f"Did you mean {near!r}?"]
    if command is not None:
        hints.append(f"It is provided by {KNOWN[near]} (not installed): {command}")
    return PluginNotFoundError(message, hint=" ".join(hints) + off)


def _unusable(registry: Registry, plugins: Sequence[Plugin], kind: str, name: str, thing: str) -> PluginError | None:
    """The error of a plugin that can't be used and, by its name, seems to provide what was asked for."""
    if registry.rules.mode == "off":
        known = install_command(name, kind) is not None
        return PluginBlockedError(f"{thing} needs a plugin, and plugins are off") if known else None
    wanted = normalised(name)
    for plugin in plugins:
        if wanted not in (normalised(plugin.entry), normalised(plugin.dist).removeprefix("dovetail-")):
            continue
        text = f"{thing}: {plugin.who} seems to provide that, and is {plugin.status}: {plugin.reason}"
        if plugin.status == "blocked":
            return PluginBlockedError(text, hint="Take it from plugins.block where you trust it.")
        if plugin.status == "not-allowed":
            return PluginBlockedError(text, hint=f"Allow it where you trust it: plugins.allow = [{plugin.dist!r}, ...]")
        if plugin.status == "incompatible":
            return PluginIncompatibleError(text, hint=f"pip install --upgrade dovetail {plugin.dist}")
        if plugin.status == "broken":
            return PluginLoadError(text, hint=f"dovetail plugins show {plugin.dist}")
    return None
