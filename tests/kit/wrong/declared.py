"""Backends that are wrong on purpose: each is right but for one thing, and says which tests of the kit find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["WRONG", "Wrong", "suites_of", "wrong"]

T = TypeVar("T", bound=type)


class Wrong(NamedTuple):
    """One of them."""

    backend: Any
    """Its class."""
    fails: frozenset[str]
    """Names of the tests that must fail, without their parameters."""
    options: dict[str, Any]
    """Attributes of its suite."""


WRONG: dict[str, dict[str, Wrong]] = {}
"""Module → name → one that is wrong."""


def wrong(*fails: str, **options: Any) -> Callable[[T], T]:
    """Declare a backend, and the tests that must fail, without `test_`."""

    def declare(cls: T) -> T:
        known = WRONG.setdefault(cls.__module__.rpartition(".")[2], {})
        assert cls.__name__ not in known, f"{cls.__name__} is there twice"
        known[cls.__name__] = Wrong(cls, frozenset(f"test_{name}" for name in fails), options)
        return cls

    return declare


def suites_of(module: str, base: type) -> dict[str, type]:
    """A suite for each backend of a module, named after it, as pytest collects them."""
    return {
        f"Test{name}": type(f"Test{name}", (base,), {"wrong": found, "__module__": base.__module__, **found.options})
        for name, found in WRONG[module].items()
    }
