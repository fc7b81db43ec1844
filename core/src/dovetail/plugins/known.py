"""Plugins that Dovetail's own project publishes, so that a missing one can be named with its install command."""

from __future__ import annotations

__all__ = ["KNOWN", "install_command"]

KNOWN = {
    "azure": "dovetail-azure",
    "batch": "dovetail-batch",
    "conda": "dovetail-conda",
    "container": "dovetail-container",
    "gcs": "dovetail-gcs",
    "kubernetes": "dovetail-kubernetes",
    "pypi": "dovetail-pypi",
    "s3": "dovetail-s3",
    "uv": "dovetail-uv",
}
"""Name of a backend, decorator or URL scheme → distribution."""


def install_command(name: str) -> str | None:
    """The command that installs what provides `name`, where that is known."""
    dist = KNOWN.get(name)
    return None if dist is None else f"pip install {dist}"
