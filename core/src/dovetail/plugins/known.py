"""Plugins that Dovetail's own project publishes, so that a missing one can be named with its install command."""

from __future__ import annotations

__all__ = ["KNOWN", "install_command", "known_names"]

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
_BY_KIND = {
    "datastore": {"azure", "gcs", "s3"},
    "metadata": set[str](),
    "compute": {"batch", "container", "kubernetes"},
    "environment": {"conda", "container", "pypi", "uv"},
}


def known_names(kind: str) -> set[str]:
    """Names of a kind that a published plugin provides; for decorators all of them."""
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    return set(KNOWN) if kind.endswith("-decorator") else set()


def install_command(name: str, kind: str | None = None) -> str | None:
    """The command that installs what provides `name`, as a thing of this kind if one is given; None: not known."""
    if name not in KNOWN or (kind is not None and name not in known_names(kind)):
        return None
    return f"pip install {KNOWN[name]}"
