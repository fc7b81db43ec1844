"""Which plugins may be imported: decided before any of them is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from dovetail.interfaces.dataclass import dataclass

__all__ = ["RULES_VARIABLE", "PluginRules", "normalised"]

RULES_VARIABLE = "DOVETAIL_PLUGIN_RULES"
"""Environment variable by which a driver hands its rules, as JSON, to the processes that it starts."""


def normalised(name: str) -> str:
    """A distribution's name in one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRules:
    """Which plugins are used. A plugin is named by its entry point or its distribution."""

    mode: Annotated[
        Literal["auto", "allow-list", "off"],
        "`auto`: every installed plugin, or those of `allow` where it is set; `allow-list`: those of `allow` alone; "
        "`off`: none",
    ] = "auto"
    allow: Annotated[
        tuple[str, ...] | None,
        "Plugins that may be imported; an empty list allows none. Project files may only narrow it",
    ] = None
    block: Annotated[tuple[str, ...], "Plugins that are never imported; the lists of all files add up"] = ()
    override: Annotated[
        Mapping[str, str],
        'Whose offer counts where several plugins offer one name, or a built-in one: `"datastore:s3" = "acme-s3"`',
    ] = field(default_factory=dict)

    def refusal(self, entry: str, dist: str) -> tuple[str, str] | None:
        """Status and reason when the plugin must not be imported, else None."""
        names = {normalised(entry), normalised(dist)}
        if self.mode == "off":
            return "not-allowed", "plugins are off (--no-plugins, DOVETAIL_PLUGINS or plugins.mode)"
        if blocked := names & {normalised(name) for name in self.block}:
            return "blocked", f"{min(blocked)!r} is on the block list (plugins.block)"
        listed = self.mode == "allow-list" or self.allow is not None
        if listed and not names & {normalised(name) for name in self.allow or ()}:
            return "not-allowed", "not on the allow list (plugins.allow)"
        return None

    def to_env(self) -> dict[str, str]:
        """Variables that make a child process follow these rules."""
        import json

        data = {"mode": self.mode, "allow": self.allow, "block": self.block, "override": dict(self.override)}
        return {RULES_VARIABLE: json.dumps(data)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> PluginRules | None:
        """The rules that a parent process handed on, if it did."""
        environ = os.environ if environ is None else environ
        text = environ.get(RULES_VARIABLE)
        if not text:
            return cls(mode="off") if environ.get("DOVETAIL_PLUGINS") == "off" else None
        import json

        data = json.loads(text)
        return cls(
            mode=data["mode"],
            allow=None if data["allow"] is None else tuple(data["allow"]),
            block=tuple(data["block"]),
            override=data["override"],
        )
