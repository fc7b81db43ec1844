"""What the core hands to a backend when it opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from dovetail.interfaces.dataclass import dataclass

__all__ = ["PluginContext", "SecretRef"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """A reference to a secret, never its value: `env:NAME`, `file:PATH` or `PROVIDER:ID`."""

    provider: str
    """`env`, `file`, or the name of a secrets provider."""
    id: str
    """What the provider looks up."""

    def __str__(self) -> str:
        return f"{self.provider}:{self.id}"


def _no_secrets(ref: SecretRef) -> str:
    raise LookupError(f"no secrets provider is open for {ref}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """What the core hands to a backend when it opens it."""

    instance: str
    """Name of the configured instance, such as `archive`; the backend's own name by default."""
    home: Path
    """Folder of local state (`DOVETAIL_HOME`); a backend keeps files below `home / instance`."""
    secret: Callable[[SecretRef], str] = field(default=_no_secrets, repr=False)
    """Resolves a secret in this process. The value must not be stored, logged or shown."""
