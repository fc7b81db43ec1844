"""Puts the template of plugins into the wheel: it is kept once, beside the packages of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Includes `plugin-template/`, from the workspace or, where a wheel is built from one, from the sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Not for editable installs, which find it in the workspace."""
        if version == "editable":
            return
        inside = Path(self.root) / "plugin-template"
        source = inside if inside.exists() else Path(self.root).parent / "plugin-template"
        where = "dovetail/plugin_template" if self.target_name == "wheel" else "plugin-template"
        if not (self.target_name == "sdist" and source == inside):
            build_data["force_include"][str(source)] = where
