"""What a guarded call returns that is used later, so that errors come after the call: they are mapped all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dovetail.interfaces.datastore import Buffer, ObjectInfo, Staged

__all__ = ["GUARDED_RESULTS", "GuardedReader", "GuardedStage"]


class _Guard(Protocol):
    def call(self, operation: str, subject: str, mode: str, function: Callable[[], Any]) -> Any: ...
    def once(self, operation: str, function: Callable[..., Any], *args: Any) -> Any: ...


class GuardedReader:
    """What is read from later (the bytes of an object, a watch). Not retried: its reader has some already."""

    def __init__(self, inner: Any, guard: _Guard) -> None:
        self._inner = inner
        self._guard = guard

    def read(self, *args: Any) -> Any:
        return self._guard.once("read", self._inner.read, *args)

    def readinto(self, buffer: Any) -> Any:
        return self._guard.once("read", self._inner.readinto, buffer)

    def close(self) -> None:
        self._guard.once("read", self._inner.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class GuardedStage:
    """The context of `stage()`."""

    def __init__(self, inner: AbstractContextManager[Staged], guard: _Guard) -> None:
        self._inner = inner
        self._guard = guard

    def __enter__(self) -> _GuardedStaged:
        return _GuardedStaged(self._guard.once("stage", self._inner.__enter__), self._guard)

    def __exit__(self, *exc: Any) -> bool | None:
        suppressed: bool | None = self._guard.once("stage", self._inner.__exit__, *exc)
        return suppressed


class _GuardedStaged:
    """An object that is being written. What a service refused did not happen, so it is tried again."""

    def __init__(self, inner: Staged, guard: _Guard) -> None:
        self._inner = inner
        self._guard = guard

    def write(self, body: Buffer) -> None:
        self._guard.call("write", "", "throttled", lambda: self._inner.write(body))

    def write_at(self, offset: int, body: Buffer) -> None:
        self._guard.call("write_at", "", "always", lambda: self._inner.write_at(offset, body))

    def commit(self, key: str, *, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        info: ObjectInfo = self._guard.call(
            "commit", f"({key!r})", "throttled", lambda: self._inner.commit(key, metadata=metadata)
        )
        return info


GUARDED_RESULTS: Mapping[tuple[str, str], Callable[[Any, _Guard], Any]] = {
    ("compute", "watch"): GuardedReader,
    ("datastore", "stage"): GuardedStage,
}
"""(kind, method) → what goes around its result."""
