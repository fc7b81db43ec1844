"""What the core does around a remote backend: retry, rate limit, timing, error mapping, redaction.

A plugin stays a thin translation: it raises `ThrottledError` and `BackendTimeoutError` where its service does, and
never sleeps or retries by itself. Backends of this machine (`guard=False` in their descriptor) are handed out bare.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import (
    BackendError,
    BackendTimeoutError,
    DovetailError,
    ThrottledError,
    UnsupportedOperationError,
)
from dovetail.plugins.descriptors import BackendSpec
from dovetail.plugins.guarded import ABILITIES, RESUMES, RETRIES, interface_of
from dovetail.plugins.guarded_results import GUARDED_RESULTS, GuardedReader

__all__ = ["GuardPolicy", "OperationStats", "guard", "open_guarded", "stats_of"]

# A presigned URL is a secret: what signs it is cut out of messages.
_SIGNATURE = re.compile(
    r"([?&](?:X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-Signature|Signature|sig)=)[^&\s'\"]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """How calls of one instance are retried and limited."""

    retries: int = 5
    """Further tries after the first."""
    delay: float = 0.25
    """Longest pause before the first retry, seconds; each is drawn between 0 and its longest (full jitter)."""
    backoff: float = 2.0
    """Factor on the longest pause for each further retry."""
    max_delay: float = 20.0
    """Longest pause, seconds."""
    rate_limit: float | None = None
    """Calls a second; None: as many as there are."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)
    """How to wait."""
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    """Seconds that never go back."""

    @classmethod
    def from_plain(cls, pinned: Mapping[str, Any]) -> GuardPolicy:
        """From the `retries` and `rate_limit` of a pinned choice."""
        retries, rate_limit = pinned.get("retries"), pinned.get("rate_limit")
        return cls(retries=cls().retries if retries is None else int(retries), rate_limit=rate_limit)

    def pause(self, retry: int) -> float:
        """Seconds before the `retry`-th retry, from 1."""
        return random.uniform(0, min(self.max_delay, self.delay * self.backoff ** (retry - 1)))


@dataclass(slots=True, kw_only=True)
class OperationStats:
    """Counters of one method of one instance."""

    calls: int = 0
    """How often it was called."""
    errors: int = 0
    """Calls that raised in the end."""
    retries: int = 0
    """Tries after the first."""
    seconds: float = 0.0
    """Time in the backend, pauses left out."""
    slowest: float = 0.0
    """Longest try, seconds."""


class _Guard:
    """State of one guarded instance, shared by its methods."""

    def __init__(
        self, spec: BackendSpec, instance: str, policy: GuardPolicy, redact: Callable[[str], str] | None
    ) -> None:
        self.name = f"{spec.kind} {instance!r}" + (f" ({spec.name})" if instance != spec.name else "")
        self.policy = policy
        self.stats: dict[str, OperationStats] = {}
        self._redact = redact or (lambda text: text)
        self._lock = threading.Lock()
        self._next = 0.0

    def redact(self, text: str) -> str:
        return _SIGNATURE.sub(r"\1***", self._redact(text))

    def count(self, operation: str, **changes: float) -> None:
        with self._lock:
            stats = self.stats.setdefault(operation, OperationStats())
            for name, change in changes.items():
                setattr(stats, name, getattr(stats, name) + change)
            stats.slowest = max(stats.slowest, changes.get("seconds", 0.0))

    def admit(self) -> None:
        """Wait for this call's turn: turns are 1 / rate_limit apart."""
        rate = self.policy.rate_limit
        if not rate:
            return
        with self._lock:
            now = self.policy.clock()
            turn = max(self._next, now)
            self._next = turn + 1.0 / rate
        if turn > now:
            self.policy.sleep(turn - now)

    def call(self, operation: str, subject: str, mode: str, function: Callable[[], Any]) -> Any:
        """One call with its retries."""
        self.count(operation, calls=1)
        retry, first = 0, self.policy.clock()
        while True:
            self.admit()
            begin = self.policy.clock()
            try:
                result = function()
            except Exception as error:
                self.count(operation, seconds=self.policy.clock() - begin)
                mapped = self.mapped(operation, subject, error)
                retry += 1
                if retry > self.policy.retries or not _retryable(mapped, mode):
                    self.count(operation, errors=1)
                    if retry > 1:  # else a wait of half a minute is told as that of one try
                        mapped.message += f" ({retry} tries in {self.policy.clock() - first:.0f} s)"
                        mapped.args = (mapped.message,)
                    if mapped is error:
                        raise
                    raise mapped from self.harmless(error)
                self.count(operation, retries=1)
                pause = self.policy.pause(retry)
                self.policy.sleep(max(pause, float(getattr(mapped, "retry_after", 0) or 0)))
            else:
                self.count(operation, seconds=self.policy.clock() - begin)
                return result

    def mapped(self, operation: str, subject: str, error: Exception) -> DovetailError:
        """The error as one of ours, free of secrets."""
        if isinstance(error, DovetailError):
            error.message = self.redact(error.message)
            error.hint = error.hint and self.redact(error.hint)
            error.args = (error.message,)
            return error
        text = f"{self.name}: {operation}{subject} failed: {type(error).__name__}: {error}"
        if isinstance(error, NotImplementedError):
            return UnsupportedOperationError(f"{self.name} does not support {operation}")
        kind = BackendTimeoutError if isinstance(error, TimeoutError) else BackendError
        return kind(self.redact(text))

    def once(self, operation: str, function: Callable[..., Any], *args: Any) -> Any:
        """A step of a call that was counted already: errors are mapped, nothing is retried."""
        try:
            return function(*args)
        except Exception as error:
            mapped = self.mapped(operation, "", error)
            if mapped is error:
                raise
            raise mapped from self.harmless(error)

    def harmless(self, error: Exception) -> Exception | None:
        """The cause to show; None when its text holds a secret."""
        text = f"{error!r} {error}"
        return error if self.redact(text) == text else None

    def iterate(
        self, operation: str, mode: str, start: Callable[[Any], Iterator[Any]], place: Callable[[Any], Any]
    ) -> Iterator[Any]:
        """Items of a result. When it breaks off, it goes on behind the last item; each item renews the retries."""
        source, last, retry = start(None), None, 0
        while True:
            try:
                item = next(source)
            except StopIteration:
                return
            except Exception as error:
                mapped = self.mapped(operation, "", error)
                retry += 1
                if retry > self.policy.retries or not _retryable(mapped, mode):
                    self.count(operation, errors=1)
                    if mapped is error:
                        raise
                    raise mapped from self.harmless(error)
                self.count(operation, retries=1)
                self.policy.sleep(self.policy.pause(retry))
                source = start(last)
            else:
                last, retry = place(item), 0
                yield item


def _retryable(error: DovetailError, mode: str) -> bool:
    if isinstance(error, ThrottledError):
        return mode != "never"  # The service refused it: nothing happened.
    return isinstance(error, BackendTimeoutError) and mode == "always"  # It may have happened.


class _UndeclaredError(UnsupportedOperationError, AttributeError):
    """An ability that the backend does not declare: also an AttributeError, so that `hasattr` says no."""


def open_guarded(
    open: Callable[[], Any],
    spec: BackendSpec,
    instance: str,
    policy: GuardPolicy | None = None,
    redact: Callable[[str], str] | None = None,
) -> Any:
    """Open a backend and guard it; opening itself is retried and mapped as any call."""
    state = _Guard(spec, instance, policy or GuardPolicy(), redact)
    return _wrap(state.call("open", "", "always", open), spec, state)


def guard(
    backend: Any,
    spec: BackendSpec,
    *,
    instance: str = "",
    policy: GuardPolicy | None = None,
    redact: Callable[[str], str] | None = None,
) -> Any:
    """A backend of the same interface around `backend`.

    Args:
        backend: What to guard.
        spec: Its descriptor.
        instance: Its name in messages; the backend's own by default.
        policy: How to retry and limit.
        redact: Frees a text of secrets.
    """
    return _wrap(backend, spec, _Guard(spec, instance or spec.name, policy or GuardPolicy(), redact))


def stats_of(backend: Any) -> dict[str, OperationStats]:
    """Counters of a guarded backend, by method; {} for a bare one."""
    state = getattr(backend, "_dovetail_guard", None)
    return dict(state.stats) if isinstance(state, _Guard) else {}


def _wrap(backend: Any, spec: BackendSpec, state: _Guard) -> Any:
    cls = _guarded_class(type(backend), spec.kind)
    guarded = cls.__new__(cls)
    guarded._dovetail_inner = backend
    guarded._dovetail_guard = state
    return guarded


_classes: dict[tuple[Any, str], Any] = {}


def _guarded_class(cls: Any, kind: str) -> Any:
    """The guard's class for a backend's class; made once."""
    key = (cls, kind)
    if key not in _classes:
        _classes[key] = _make_class(cls, kind)
    return _classes[key]


def _make_class(cls: Any, kind: str) -> Any:
    """A class with the interface's methods and the declared abilities, each through the guard.

    Real methods, not `__getattr__`: `isinstance` with a runtime-checkable protocol looks attributes up statically
    since Python 3.12.
    """
    interface = interface_of(kind)
    names = set(RETRIES[kind]) | {name for name in vars(interface) if not name.startswith("_")}
    declared: Any = getattr(cls, "capabilities", None)
    flags: Any = type(declared)
    undeclared: set[str] = set()
    for flag, methods in ABILITIES.get(kind, {}).items():
        if declared is not None and flags[flag] in declared:
            names |= set(methods)
        else:
            undeclared |= set(methods)
    names -= undeclared
    if kind == "datastore" and cls.get_many is interface.__dict__["get_many"]:
        names.discard("get_many")  # The interface's own then works on the guarded `get`.
    members: dict[str, Any] = {"capabilities": declared, "open": classmethod(lambda _, *args: cls.open(*args))}
    for name in sorted(names - {"open", "capabilities"}):
        attribute = getattr(cls, name, None)
        if isinstance(attribute, property):
            members[name] = property(_passed_property(name))
        elif callable(attribute):
            members[name] = _passed_method(kind, name)

    def missing(self: Any, name: str) -> Any:
        if name in undeclared:
            raise _UndeclaredError(f"{self._dovetail_guard.name} does not declare {name}")
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dovetail_inner, name)

    members["__getattr__"] = missing
    members["__repr__"] = lambda self: f"<guarded {self._dovetail_guard.redact(repr(self._dovetail_inner))}>"
    return type(f"Guarded{cls.__name__}", (interface,), members)


def _passed_property(name: str) -> Callable[[Any], Any]:
    def get(self: Any) -> Any:
        return getattr(self._dovetail_inner, name)

    return get


def _passed_method(kind: str, name: str) -> Callable[..., Any]:
    rule = RETRIES[kind].get(name, "never")
    resume = RESUMES.get((kind, name))

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        state: _Guard = self._dovetail_guard
        inner = getattr(self._dovetail_inner, name)
        subject = f"({args[0]!r})" if args and isinstance(args[0], str) else ""
        mode = rule(args, kwargs) if callable(rule) else rule
        if resume is None:
            result = state.call(name, subject, mode, lambda: inner(*args, **kwargs))
            if (kind, name) == ("datastore", "get"):
                result.stream = GuardedReader(result.stream, state)
            later = GUARDED_RESULTS.get((kind, name))
            return result if later is None else later(result, state)
        argument, place = resume

        def start(last: Any) -> Iterator[Any]:
            more = kwargs if last is None else {**kwargs, argument: last}
            return iter(state.call(name, subject, mode, lambda: inner(*args, **more)))

        return state.iterate(name, mode, start, place)

    method.__name__ = name
    return method
