"""What the registry knows of each installed plugin."""

from __future__ import annotations

from dovetail.interfaces.dataclass import dataclass
from dovetail.plugins.descriptors import Spec
from dovetail.plugins.loaded import PluginStatus

__all__ = ["Offer", "PluginRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One thing that a plugin provides, and whether it can be used."""

    spec: Spec
    """What it is."""
    status: PluginStatus
    """`built-in`, `ready`, `duplicate` or `missing-dependency`."""
    reason: str = ""
    """Why it can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """An installed plugin, and whether it can be used."""

    entry: str
    """Name of the entry point."""
    target: str
    """Module that is its manifest."""
    dist: str
    """Name of the distribution."""
    version: str
    """Version of the distribution."""
    status: PluginStatus
    """`duplicate` and `missing-dependency` are told of a plugin when they hold for all that it offers."""
    reason: str = ""
    """Why it can't be used, in one line."""
    traceback: str = ""
    """Of a broken plugin: where its manifest failed."""
    notes: tuple[str, ...] = ()
    """What its author should know, such as a hook that nothing calls."""
    offers: tuple[Offer, ...] = ()
    """What it provides; empty unless its manifest was imported."""
    hooks: tuple[str, ...] = ()
    """Event, policy and wrapper hooks that it implements."""
    location: str = ""
    """Folder that it is installed in."""

    def called(self, name: str) -> bool:
        """Whether a name means it as a whole. Not `local`: that is an embedded backend, and Dovetail is `dovetail`."""
        return name == self.dist or (name == self.entry and self.status != "built-in")
