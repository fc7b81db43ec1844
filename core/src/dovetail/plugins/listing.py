"""Statuses as listings show them: conflicts and missing imports included, no backend imported."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.plugins.descriptors import DataStoreSpec, Spec
from dovetail.plugins.discovery import running_version
from dovetail.plugins.loaded import Plugin
from dovetail.plugins.loading import missing_imports, missing_message
from dovetail.plugins.records import Offer, PluginRecord
from dovetail.plugins.rules import PluginRules

__all__ = ["records"]


def records(builtin: Plugin, plugins: Sequence[Plugin], rules: PluginRules) -> list[PluginRecord]:
    """One record for each plugin, the embedded defaults first."""
    own = {(spec.kind, spec.name) for spec in builtin.specs}
    found = [_record(builtin, [Offer(spec=spec, status="built-in") for spec in builtin.specs], running_version())]
    for plugin in plugins:
        offers = [_offer(plugin, spec, own, plugins, rules) for spec in plugin.specs]
        found.append(_record(plugin, offers, plugin.version))
    return found


def _record(plugin: Plugin, offers: list[Offer], version: str) -> PluginRecord:
    status, reason = plugin.status, plugin.reason
    if status == "ready" and offers and not plugin.hooks and all(offer.status != "ready" for offer in offers):
        status, reason = offers[0].status, offers[0].reason
    return PluginRecord(
        entry=plugin.entry,
        target=plugin.target,
        dist=plugin.dist,
        version=version,
        status=status,
        reason=reason,
        traceback=plugin.traceback,
        notes=tuple(plugin.notes),
        offers=tuple(offers),
        hooks=plugin.hooks,
        location=plugin.location,
    )


def _offer(
    plugin: Plugin, spec: Spec, own: set[tuple[str, str]], plugins: Sequence[Plugin], rules: PluginRules
) -> Offer:
    if reason := _rival(plugin, spec, own, plugins, rules):
        return Offer(spec=spec, status="duplicate", reason=reason)
    if missing := missing_imports(spec):
        return Offer(spec=spec, status="missing-dependency", reason=missing_message(spec, missing))
    return Offer(spec=spec, status="ready")


def _rival(plugin: Plugin, spec: Spec, own: set[tuple[str, str]], plugins: Sequence[Plugin], rules: PluginRules) -> str:
    """Why the name is not this plugin's alone; empty when it is, or when an override gives it to this plugin."""
    key = f"{spec.kind}:{spec.name}"
    chosen = rules.override.get(key)
    if chosen is not None:
        return "" if plugin.called(chosen) else f"plugins.override gives {key} to {chosen}"
    if (spec.kind, spec.name) in own:
        return f'{spec.name!r} is a built-in name; to replace it: override = {{"{key}" = "{plugin.dist}"}}'
    others = [other.who for other in plugins if other is not plugin and _offers(other, spec)]
    if others:
        return f'also provided by {", ".join(others)}; choose: override = {{"{key}" = "{plugin.dist}"}}'
    if isinstance(spec, DataStoreSpec) and "file" in spec.schemes:
        chosen = rules.override.get("scheme:file")
        if chosen is None or not plugin.called(chosen):
            give = f'override = {{"scheme:file" = "{plugin.dist}"}}'
            return f"the scheme file:// is built in; the name still works; to replace it: {give}"
    return ""


def _offers(plugin: Plugin, spec: Spec) -> bool:
    return any((other.kind, other.name) == (spec.kind, spec.name) for other in plugin.specs)
