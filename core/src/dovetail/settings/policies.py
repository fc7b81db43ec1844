"""Options of the core's decorators. Imported only where one of them is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from dovetail.interfaces.caching import CACHE_PARTS, CachePolicy, cache_parts, seconds_of
from dovetail.interfaces.dataclass import dataclass

__all__ = [
    "POLICIES",
    "CacheOptions",
    "CatchOptions",
    "EnvironmentVariablesOptions",
    "IsolationOptions",
    "LimitOptions",
    "ResourcesOptions",
    "RetryOptions",
    "TimeoutOptions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """`@retry`: try a failed attempt again."""

    times: Annotated[int, "Further attempts after the first"] = 3
    delay: Annotated[float, "Seconds before the first retry"] = 0.0
    backoff: Annotated[float, "Factor on the delay for each further retry, at least 1"] = 1.0
    max_delay: Annotated[float, "Longest pause, seconds"] = 3600.0
    jitter: Annotated[float, "Fraction of the delay that is drawn at random and added or taken, 0 to 1"] = 0.0
    on: Annotated[
        tuple[str, ...], "Exceptions that are retried, `ValueError` or `package.module.Error`; none named: all"
    ] = ()
    minutes_between_retries: Annotated[float | None, "Metaflow's name: the delay in minutes"] = None

    def __post_init__(self) -> None:
        _require(self.times >= 0, "times must be 0 or more")
        _require(self.delay >= 0 and self.max_delay >= 0, "delay and max_delay must be 0 or more")
        _require(self.backoff >= 1, "backoff must be at least 1")
        _require(0 <= self.jitter <= 1, "jitter must be between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchOptions:
    """`@catch`: when the last attempt failed, the task succeeds and records the error."""

    var: Annotated[str | None, "Name of the artifact that holds the error, None on success"] = None
    print_exception: Annotated[bool, "Whether the traceback is printed to the task's stderr"] = True

    def __post_init__(self) -> None:
        _require(self.var is None or self.var.isidentifier(), f"var must be the name of an artifact, not {self.var!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutOptions:
    """`@timeout`: kill an attempt that takes longer. The three add up."""

    seconds: Annotated[float, "Seconds"] = 0.0
    minutes: Annotated[float, "Minutes"] = 0.0
    hours: Annotated[float, "Hours"] = 0.0

    def __post_init__(self) -> None:
        _require(min(self.seconds, self.minutes, self.hours) >= 0 and self.total > 0, "the time must be more than 0")

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.seconds + 60 * self.minutes + 3600 * self.hours


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcesOptions:
    """`@resources`: what a task asks of its backend."""

    cpu: Annotated[float, "Cores"] = 1.0
    memory: Annotated[int | None, "Mebibytes; the backend's default by default"] = None
    gpu: Annotated[int, "Devices"] = 0
    disk: Annotated[int | None, "Mebibytes; the backend's default by default"] = None
    shared_memory: Annotated[int | None, "Mebibytes of /dev/shm; the backend's default by default"] = None

    def __post_init__(self) -> None:
        _require(self.cpu > 0, "cpu must be more than 0")
        _require(self.gpu >= 0, "gpu must be 0 or more")
        for name in ("memory", "disk", "shared_memory"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"{name} must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentVariablesOptions:
    """`@environment_variables`: variables of the attempt's process."""

    vars: Annotated[Mapping[str, str], "Name → value"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.vars:
            _require(bool(re.fullmatch(r"[A-Za-z_]\w*", name)), f"{name!r} is not the name of a variable")
            _require(not name.upper().startswith("DOVETAIL_"), f"{name} is Dovetail's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationOptions:
    """`@isolation`: in what kind of process or thread an attempt runs."""

    kind: Annotated[
        Literal["auto", "fork", "spawn", "thread", "inline"],
        "`auto` is `fork` on Linux where it is safe, else `spawn`; `thread` and `inline` share one process",
    ] = "auto"
    reuse: Annotated[int | Literal["auto"], "Tasks that one process may run; module globals leak between them"] = 1

    def __post_init__(self) -> None:
        _require(self.reuse == "auto" or self.reuse >= 1, 'reuse must be at least 1, or "auto"')


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """`@limit`: slots of named limits that an attempt holds while it runs."""

    occupy: Annotated[Mapping[str, int], "Limit → slots"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, slots in self.occupy.items():
            _require(slots >= 1, f"a task must occupy at least 1 of limit {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """`@cache`: take the value that another run made, where what it depends on is the same."""

    by: Annotated[str, "What it depends on: `inputs`, `code` and `environment`, joined by `+`; empty: never cached"] = (
        "+".join(CACHE_PARTS)
    )
    expires: Annotated[
        float | str | None, "Age at which a value is made anew: seconds, or `90s`, `15m`, `2h`, `3d`, `1w`"
    ] = None
    refresh: Annotated[bool, "Whether to make the value anew, for this run and later ones"] = False

    def __post_init__(self) -> None:
        _require(
            cache_parts(self.by) is not None,
            f"by={self.by!r} does not say what a value depends on: give parts, as in {'+'.join(CACHE_PARTS)}",
        )
        _require(
            self.expires is None or (self.seconds or 0) > 0,
            f"expires={self.expires!r} is no time: give seconds, or 90s, 15m, 2h, 3d, 1w",
        )

    @property
    def seconds(self) -> float | None:
        """`expires` in seconds; None where it is nothing, or no time."""
        return seconds_of(self.expires)

    @property
    def policy(self) -> CachePolicy | None:
        """What a task call carries; None where nothing is cached."""
        parts = cache_parts(self.by)
        return CachePolicy(by=parts, expires=self.seconds, refresh=self.refresh) if parts else None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


POLICIES: dict[str, type] = {
    "retry": RetryOptions,
    "catch": CatchOptions,
    "timeout": TimeoutOptions,
    "resources": ResourcesOptions,
    "environment_variables": EnvironmentVariablesOptions,
    "isolation": IsolationOptions,
    "limit": LimitOptions,
    "cache": CacheOptions,
}
"""Kind of decorator → its options."""
