"""Options of `@flow`, `@task` and `with_options`, as the decorators that they stand for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dovetail.authoring.uses import StepDecorator, Use

__all__ = ["RESOURCES", "uses_of_options"]

RESOURCES = ("cpu", "memory", "gpu", "disk")


def uses_of_options(options: dict[str, Any], file: str, line: int) -> tuple[Use, ...]:
    """What keyword options choose; None counts as not given.

    Args:
        options: `retries`, `retry_delay`, `timeout`, `isolation`, `compute`, `datastore`, `environment`, `cache`,
            `expires`, `refresh`, `limit`, `cpu`, `memory`, `gpu`, `disk`. With `compute` the last four are options of
            it, else `@resources`.
        file: Where they were written.
        line: The line there.
    """
    from dovetail.authoring import decorators

    given = {name: value for name, value in options.items() if value is not None}
    amounts = {name: given.pop(name) for name in RESOURCES if name in given}
    made: list[StepDecorator] = []
    if "retries" in given or "retry_delay" in given:
        made.append(_retry(given.pop("retries", None), given.pop("retry_delay", None)))
    if "timeout" in given:
        made.append(decorators.timeout(seconds=given.pop("timeout")))
    if "compute" in given:
        made.append(decorators.compute(given.pop("compute"), **amounts))
    elif amounts:
        made.append(decorators.resources(**amounts))
    if given.keys() & {"cache", "expires", "refresh"}:
        made.append(_cache(given.pop("cache", None), given.pop("expires", None), given.pop("refresh", None)))
    if "limit" in given:
        made += _limits(given.pop("limit"))
    for kind, value in given.items():
        made.append(getattr(decorators, kind)(value))
    for decorator in made:
        decorator.use.file, decorator.use.line = file, line
    return tuple(decorator.use for decorator in made)


def _retry(times: Any, delay: Any) -> StepDecorator:
    from dovetail.authoring import decorators

    made = decorators.retry(delay=delay) if times is None else decorators.retry(times=times, delay=delay)
    if times is None:
        del made.use.options["times"]  # a decorator's number stays as it is
    return made


def _cache(parts: Any, expires: Any, refresh: Any) -> StepDecorator:
    from dovetail.authoring.uses import StepDecorator

    made = StepDecorator("cache", None, {})
    options = made.use.options
    if parts is not None:
        options["by"] = "" if parts is False else _ALL_PARTS if parts is True else parts
        if not isinstance(options["by"], str) or not {p.strip() for p in options["by"].split("+")} <= _PARTS:
            options["by"] = repr(parts)
            made.wrong(
                f"cache={parts!r} does not say what a value depends on", f'Give parts, as in cache="{_ALL_PARTS}".'
            )
    if expires is not None:
        options["expires"] = expires.total_seconds() if hasattr(expires, "total_seconds") else expires
        if not _is_time(options["expires"]):
            options["expires"] = repr(expires)
            made.wrong(f"expires={expires!r} is no time", "Give seconds, 90s, 15m, 2h, 3d, 1w or a timedelta.")
    if refresh is not None:
        options["refresh"] = bool(refresh)
    return made


def _limits(limits: Any) -> list[StepDecorator]:
    """A name, several names, or name → slots: a `@limit` each."""
    from dovetail.authoring import decorators

    if isinstance(limits, str):
        limits = [limits]
    if hasattr(limits, "items"):
        return [decorators.limit(name, occupy=occupy) for name, occupy in limits.items()]
    if isinstance(limits, (list, tuple, set, frozenset)):
        return [decorators.limit(name) for name in limits]
    made = decorators.limit("limit")
    made.use.options.clear()
    made.wrong(f"limit={limits!r} names no limits", 'Give a name, several, or slots of each, as in limit={"gpu": 2}.')
    return [made]


_ALL_PARTS = "inputs+code+environment"
_PARTS = {"", *_ALL_PARTS.split("+")}


def _is_time(value: object) -> bool:
    from dovetail.interfaces.caching import seconds_of

    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    seconds = seconds_of(value)
    return seconds is not None and seconds > 0
