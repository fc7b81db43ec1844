"""Names of types as listings show them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

__all__ = ["type_name"]


def type_name(kind: type) -> str:
    """Qualified name of a type; without the module where that is `builtins`."""
    return _type_name(kind)


@lru_cache(maxsize=512)
def _type_name(kind: Hashable) -> str:
    name = getattr(kind, "__qualname__", "")
    module = getattr(kind, "__module__", "builtins")
    return name if module == "builtins" else f"{module}.{name}"
