"""`Plugin`: a plugin while it is discovered and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dovetail.plugins.descriptors import Spec

__all__ = ["Plugin", "PluginStatus"]

PluginStatus = Literal[
    "built-in", "ready", "blocked", "not-allowed", "incompatible", "broken", "duplicate", "missing-dependency"
]


class Plugin:
    """A plugin while it is loaded. Internal; `PluginRecord` is what others see, and says what the fields mean."""

    __slots__ = (
        "dist",
        "entry",
        "hooks",
        "location",
        "module",
        "notes",
        "reason",
        "specs",
        "status",
        "target",
        "traceback",
        "version",
    )

    def __init__(
        self, *, entry: str, target: str, dist: str, version: str, status: PluginStatus, location: str = ""
    ) -> None:
        self.entry = entry
        self.target = target
        self.dist = dist
        self.version = version
        self.status: PluginStatus = status
        self.location = location
        self.reason = ""
        self.traceback = ""
        self.notes: list[str] = []
        self.specs: list[Spec] = []
        self.hooks: tuple[str, ...] = ()
        self.module: Any = None

    @property
    def who(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.dist} {self.version}".strip()

    def called(self, name: str) -> bool:
        """Whether settings may call it so: by its distribution or its entry point."""
        from dovetail.plugins.rules import normalised

        return normalised(name) in (normalised(self.dist), normalised(self.entry))

    def fail(self, status: PluginStatus, reason: str, traceback: str = "") -> None:
        """Nothing of this plugin is used."""
        self.status, self.reason, self.traceback = status, reason, traceback
        self.specs, self.hooks, self.module = [], (), None
