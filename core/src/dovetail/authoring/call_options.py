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
            `cpu`, `memory`, `gpu`, `disk`. With `compute` the last four are options of it, else `@resources`.
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
    if "cache" in given:
        made.append(_cache(given.pop("cache")))
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


def _cache(parts: Any) -> StepDecorator:
    from dovetail.authoring.uses import StepDecorator

    made = StepDecorator("cache", None, {"by": parts if isinstance(parts, (str, bool)) else repr(parts)})
    known = {"inputs", "code", "environment"}
    if isinstance(parts, bool):
        made.use.options["by"] = "inputs+code+environment" if parts else ""
    elif not isinstance(parts, str) or not set(parts.split("+")) <= known:
        made.wrong(
            f"cache={parts!r} does not say what a value depends on",
            'Give parts, as in cache="inputs+code+environment".',
        )
    return made
