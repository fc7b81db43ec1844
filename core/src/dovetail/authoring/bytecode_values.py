"""What is known of a value on the stack of some bytecode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["NULL", "SELF", "UNKNOWN", "Attribute", "Constant", "Global", "Keywords", "Map"]


@dataclass(frozen=True)
class Mark:
    """One of a kind: the instance, what is not known, what newer interpreters push next to a callable."""

    name: str


UNKNOWN, SELF, NULL = Mark("unknown"), Mark("self"), Mark("null")


@dataclass(frozen=True)
class Attribute:
    """An attribute of something."""

    owner: Any
    name: str


@dataclass(frozen=True)
class Constant:
    """A value that is known. True is not 1 here."""

    value: Any
    kind: type


@dataclass(frozen=True)
class Global:
    """A global or builtin."""

    name: str


@dataclass(frozen=True)
class Keywords:
    """Names of the keyword arguments of the call that follows (3.11, 3.12)."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Map:
    """A dict display: pairs of what is known."""

    pairs: tuple[tuple[Any, Any], ...]
