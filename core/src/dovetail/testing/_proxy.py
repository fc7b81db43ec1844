"""A backend in front of another one of the same interface: every call may be held up or refused."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable
from typing import Any

from dovetail.interfaces.compute import ComputeBackend
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.environment import EnvironmentBuilder
from dovetail.interfaces.metadata import MetadataProvider
from dovetail.plugins.guarded import ABILITIES, RETRIES

__all__ = ["Chance", "proxied"]

KINDS: dict[str, type] = {
    "datastore": DataStore,
    "metadata": MetadataProvider,
    "compute": ComputeBackend,
    "environment": EnvironmentBuilder,
}


class Chance:
    """Numbers that are the same for each seed, whoever asks; thread-safe.

    Args:
        seed: Which numbers.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def draw(self) -> float:
        """The next number, from 0 to 1."""
        with self._lock:
            return self._random.random()


def kind_of(backend: Any) -> str:
    """Which interface a backend implements."""
    for kind, interface in KINDS.items():
        if isinstance(backend, interface):
            return kind
    raise TypeError(f"{backend!r} implements none of the interfaces")


def proxied(proxy: type, inner: Any) -> Any:
    """An instance of a class below `proxy` and the interface of `inner`, with the methods that `inner` has.

    Each goes through `proxy._call(name, call)`. They are real methods: `isinstance` with a protocol looks for those.
    """
    kind = kind_of(inner)
    flags: Any = getattr(type(inner), "capabilities", None)
    undeclared = {
        method
        for flag, methods in ABILITIES.get(kind, {}).items()
        if flags is not None and _flag(flags, flag) not in flags
        for method in methods
    }
    names = {name for name in RETRIES[kind] if callable(getattr(inner, name, None))} - undeclared
    members: dict[str, Any] = {name: _method(name) for name in names if name not in vars(proxy)}
    members["capabilities"] = flags
    members["open"] = classmethod(lambda cls, *args: type(inner).open(*args))
    members["close"] = lambda self: self._inner.close()
    if kind == "datastore":
        members["url"] = property(lambda self: self._inner.url)
    if "open_group" in ABILITIES.get(kind, {}).get("DIRECT", ()) and hasattr(inner, "open_group"):
        members["open_group"] = _method("open_group")
    made: Any = type(proxy.__name__, (proxy, KINDS[kind]), members)
    return object.__new__(made)


def _flag(flags: Any, name: str) -> Any:
    return flags.__class__[name]


def _method(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._call(name, functools.partial(getattr(self._inner, name), *args, **kwargs))

    method.__name__ = name
    return method
