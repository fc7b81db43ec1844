"""The namespace: whose runs are listed. A setting of this process, as in Metaflow.

Listings (`Flow.runs`, `Flow.latest_run`, iteration) show the runs that carry the namespace as a tag, and the
default is the user's own `user:NAME`. A run that is addressed by its id is found in any namespace.
"""

from __future__ import annotations

from dovetail.settings.user import username

__all__ = ["default_namespace", "get_namespace", "in_namespace", "namespace"]

_UNSET = object()
_current: object = _UNSET


def namespace(name: str | None) -> str | None:
    """Switch to a namespace: a tag such as `user:ada` or `project:fraud`, or None for all runs; what is set now."""
    global _current
    _current = name
    return name


def get_namespace() -> str | None:
    """The namespace that is set, None for all runs."""
    return _default() if _current is _UNSET else _current  # type: ignore[return-value]


def default_namespace() -> str:
    """Switch back to the user's own namespace; its name."""
    global _current
    _current = _UNSET
    return _default()


def _default() -> str:
    return f"user:{username()}"


def in_namespace(name: str | None, user: str, tags: frozenset[str]) -> bool:
    """Whether a run of `user` with `tags` belongs to a namespace."""
    return name is None or name in tags or name == f"user:{user}"
