"""Names that settings know: kinds of backends, policies, resources."""

from __future__ import annotations

__all__ = [
    "COMMON_KEYS",
    "DEFAULTS",
    "FREE_KINDS",
    "KINDS",
    "POLICY_KINDS",
    "RESOURCE_KEYS",
    "STEP_KINDS",
    "kind_and_name",
    "same_key",
]

KINDS = ("datastore", "metadata", "compute", "environment")
"""Sections that hold instances of backends, and under `default` the choice."""
DEFAULTS = {"datastore": "local", "metadata": "sqlite", "compute": "local", "environment": "host"}
"""The embedded default of each kind."""
COMMON_KEYS = ("use", "target", "retries", "rate_limit")
"""Keys that every instance has: the backend, its place, further tries of a call, calls a second."""
POLICY_KINDS = ("retry", "catch", "timeout", "resources", "environment_variables", "isolation", "limit", "cache")
"""Decorators of the core that set policies; `dovetail.settings.policies` has their options."""
FREE_KINDS = {"environment_variables": "vars", "limit": "occupy"}
"""Policies whose options have names of the user's own, and the field that takes them as a mapping."""
STEP_KINDS = ("datastore", "compute", "environment", *POLICY_KINDS)
"""What a step can choose or set."""
RESOURCE_KEYS = ("cpu", "memory", "gpu", "disk", "shared_memory")
"""Options of a compute decorator that are resources rather than settings of the backend."""


def kind_and_name(text: str) -> tuple[str, str]:
    """`datastore:archive` as (kind, name); the kind is empty where the text begins with none."""
    kind, colon, name = text.partition(":")
    return (kind, name) if colon and kind in KINDS else ("", text)


def same_key(a: str, b: str) -> bool:
    """Whether two spellings name one key: environment variables have no hyphens and no lower case."""
    return a == b or a.replace("-", "_").lower() == b.replace("-", "_").lower()
