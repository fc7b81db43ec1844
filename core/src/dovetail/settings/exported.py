"""`from dovetail import kubernetes`: names that installed plugins export."""

from __future__ import annotations

from typing import Any

__all__ = ["exported"]


def exported(name: str) -> Any:
    """The decorator of an installed plugin.

    Raises:
        AttributeError: No plugin, installed or known, has such a name.
        PluginError: A plugin has it but is not installed (an ImportError with the install command), broken, blocked
            or in conflict with another.
    """
    from dovetail.interfaces.errors import PluginLoadError
    from dovetail.plugins.known import KNOWN, install_command
    from dovetail.plugins.registry import registry
    from dovetail.plugins.rules import PluginRules

    if not name.startswith("_"):
        # A task's process follows the rules that its driver handed on; nobody reads configuration there.
        known = registry() if PluginRules.from_env() is not None else _configured()
        spellings = dict.fromkeys((name, name.replace("_", "-")))
        for kind, spelling in [(k, s) for k in ("step-decorator", "flow-decorator") for s in spellings]:
            spec = known.find(kind, spelling)
            if spec is not None:
                return known.load(spec)
        if command := install_command(name):
            raise PluginLoadError(f"dovetail has no {name!r}: {KNOWN[name]} is not installed", hint=command)
    raise AttributeError(f"module 'dovetail' has no attribute {name!r}")


def _configured() -> Any:
    from dovetail.settings.resolve import Settings

    return Settings.load().registry
