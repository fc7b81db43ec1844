"""Where an installed plugin came from, and where its documentation is: read from its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.plugins.closure import direct_url, is_editable
from dovetail.plugins.discovery import installed_entry_points

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["docs_of", "installed_from", "origin_of", "requirement_of"]

_DOCS = ("documentation", "docs", "homepage", "home", "repository", "source")
"""Labels of links, the best first."""


def _distribution(name: str) -> Distribution | None:
    return next((dist for _, dist in installed_entry_points() if dist is not None and dist.name == name), None)


def origin_of(name: str) -> dict[str, Any]:
    """`installer` (None where nothing says), `url` (None: an index) and `editable` of a distribution."""
    dist = _distribution(name)
    if dist is None:
        return {"installer": None, "url": None, "editable": False}
    installer = (dist.read_text("INSTALLER") or "").strip() or None
    return {"installer": installer, "url": direct_url(dist).get("url"), "editable": is_editable(dist)}


def installed_from(name: str) -> str:
    """`origin_of`, for people."""
    origin = origin_of(name)
    parts = [f"installed by {origin['installer']}"] if origin["installer"] else ["installed by hand"]
    if origin["url"]:
        parts.append(f"from {origin['url']}")
    if origin["editable"]:
        parts.append("editable")
    return ", ".join(parts)


def docs_of(name: str) -> str | None:
    """Link to a distribution's documentation, else to its home."""
    dist = _distribution(name)
    if dist is None:
        return None
    links = [text.partition(",") for text in dist.metadata.get_all("Project-URL") or ()]
    known = {label.strip().lower(): link.strip() for label, _, link in links}
    known.setdefault("homepage", dist.metadata["Home-page"] or "")
    return next((known[label] for label in _DOCS if known.get(label)), None)


def requirement_of(name: str) -> str:
    """The line of a requirements file that installs a distribution as it is."""
    dist = _distribution(name)
    if dist is None:
        return name
    origin = direct_url(dist)
    url = str(origin.get("url", ""))
    if not url:
        return f"{name}=={dist.version}"
    if is_editable(dist):
        return f"-e {url.removeprefix('file://')}"
    if vcs := origin.get("vcs_info"):
        return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    digest = str((origin.get("archive_info") or {}).get("hash", ""))
    return f"{name} @ {url}" + (f"#{digest}" if digest else "")
