"""Decorators of steps and flows. Each only stores what was written; a run's settings resolve it.

Each may sit above or below `@step`, or on the flow class, where it applies to every step that does not say
otherwise. Wrong and unknown arguments are kept as problems, so that validation tells all of them at once.
"""

from __future__ import annotations

from dovetail.authoring.uses import StepDecorator, collected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal, TypeVar, overload

    Target = TypeVar("Target", bound=Callable[..., Any])
    Errors = type[BaseException] | str

__all__ = [
    "catch",
    "compute",
    "datastore",
    "environment",
    "environment_variables",
    "isolation",
    "limit",
    "resources",
    "retry",
    "timeout",
]


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _make(kind: str, name: str | None = None, /, **options: Any) -> StepDecorator:
    return StepDecorator(kind, name, options, depth=4)


if TYPE_CHECKING:

    @overload
    def retry(target: Target, /) -> Target: ...

    @overload
    def retry(
        *,
        times: int = 3,
        delay: float | None = None,
        backoff: float | None = None,
        max_delay: float | None = None,
        jitter: float | None = None,
        on: Errors | Sequence[Errors] | None = None,
        minutes_between_retries: float | None = None,
    ) -> StepDecorator: ...

    def retry(*args: Any, **options: Any) -> Any:
        """Try a failed task again."""

    @overload
    def catch(target: Target, /) -> Target: ...

    @overload
    def catch(*, var: str | None = None, print_exception: bool | None = None) -> StepDecorator: ...

    def catch(*args: Any, **options: Any) -> Any:
        """Let a task that failed for good succeed, with its error as a value."""

else:

    @collected
    def retry(
        *,
        times=3,
        delay=None,
        backoff=None,
        max_delay=None,
        jitter=None,
        on=None,
        minutes_between_retries=None,
    ):
        """Try a failed task again, from the artifacts that it began with.

        Args:
            times: Further attempts after the first.
            delay: Seconds before the first retry; 0 by default.
            backoff: Factor on the delay for each further retry; 1 by default.
            max_delay: Longest pause, seconds; an hour by default.
            jitter: Fraction of the delay, 0 to 1, drawn at random and added or taken; 0 by default.
            on: Exceptions that are retried, as classes or their names; by default all.
            minutes_between_retries: Metaflow's name for `delay`, in minutes.
        """
        made = _make(
            "retry",
            **_given(
                times=times,
                delay=delay,
                backoff=backoff,
                max_delay=max_delay,
                jitter=jitter,
                on=None if on is None else _error_names(on),
                minutes_between_retries=minutes_between_retries,
            ),
        )
        if not _is_number(times) or times != int(times) or times < 0:
            made.wrong(f"@retry: times={times!r} is not a number of retries", "Give a whole number, 0 or more.")
        for name, value in (
            ("delay", delay),
            ("max_delay", max_delay),
            ("minutes_between_retries", minutes_between_retries),
        ):
            if value is not None and not (_is_number(value) and value >= 0):
                made.wrong(f"@retry: {name}={value!r} is not a length of time", "Give a number, 0 or more.")
        if backoff is not None and not (_is_number(backoff) and backoff >= 1):
            made.wrong(f"@retry: backoff={backoff!r} is not a factor", "Give a number, 1 or more.")
        if jitter is not None and not (_is_number(jitter) and 0 <= jitter <= 1):
            made.wrong(f"@retry: jitter={jitter!r} is not a fraction", "Give a number from 0 to 1.")
        if delay is not None and minutes_between_retries is not None:
            made.wrong("@retry has both delay= and minutes_between_retries=", "Keep one of them.")
        return made

    @collected
    def catch(*, var=None, print_exception=None):
        """Let a task that failed for good (after its retries) succeed, with its error as a value.

        It goes on as if it had called `self.next`, so it belongs on a step with one way on: no foreach, no
        condition. What the step had set before it failed is kept.

        Args:
            var: Name of the artifact that holds the error; None on success.
            print_exception: Whether the traceback is printed; True by default.
        """
        made = _make("catch", **_given(var=var, print_exception=print_exception))
        if var is not None and not (isinstance(var, str) and var.isidentifier() and var[0] != "_"):
            made.wrong(f"@catch: var={var!r} is not the name of an artifact", "Give a name without a leading _.")
        return made


@collected
def timeout(*, seconds: float | None = None, minutes: float | None = None, hours: float | None = None) -> StepDecorator:
    """Kill an attempt that takes longer, whatever it is doing; it then counts as failed.

    The three add up.
    """
    made = _make("timeout", **_given(seconds=seconds, minutes=minutes, hours=hours))
    parts = [part for part in (seconds, minutes, hours) if part is not None]
    if not all(_is_number(part) for part in parts) or sum(parts) <= 0:
        made.wrong("@timeout needs a time above zero", "As in @timeout(minutes=10).")
    return made


@collected
def resources(
    *,
    cpu: float | None = None,
    memory: int | None = None,
    gpu: int | None = None,
    disk: int | None = None,
    shared_memory: int | None = None,
) -> StepDecorator:
    """What a task needs; merged by maximum with what its compute backend was asked for.

    Args:
        cpu: Cores.
        memory: Mebibytes.
        gpu: Devices.
        disk: Mebibytes.
        shared_memory: Mebibytes of /dev/shm.
    """
    options = _given(cpu=cpu, memory=memory, gpu=gpu, disk=disk, shared_memory=shared_memory)
    made = _make("resources", **options)
    for name, value in options.items():
        if not _is_number(value) or value < 0:
            made.wrong(f"@resources: {name}={value!r} is not an amount", "Give a number, 0 or more.")
    return made


@collected
def environment_variables(vars: Mapping[str, str] | None = None, **variables: str) -> StepDecorator:
    """Environment variables of a task, as a mapping or by name.

    Args:
        vars: Variables as a mapping; Metaflow's name for it.
        variables: Variables by name.
    """
    if vars is None or hasattr(vars, "keys"):
        return _variables({**(vars or {}), **variables}, depth=4)
    made = _variables(variables, depth=4)
    made.wrong(
        f"@environment_variables: vars={vars!r} is not a mapping",
        'As in vars={"NAME": "value"}; a variable of the name vars is given as {"vars": "value"}.',
    )
    return made


@collected
def compute(name: str, /, **options: Any) -> StepDecorator:
    """Where tasks run: a compute backend or a named instance of one, with its options."""
    return _choice("compute", name, options)


@collected
def environment(name: str | None = None, /, *, vars: Mapping[str, str] | None = None, **options: Any) -> StepDecorator:
    """In what environment tasks run: an environment builder or a named instance of one, with its options.

    Args:
        name: The builder or instance.
        vars: Metaflow's way to write `@environment_variables`; alone.
        options: Options of the builder.
    """
    if name is None:
        made = _variables(vars or {}, depth=4)
        if vars is None or options:
            made.wrong(
                "@environment needs the name of an environment builder first",
                'As in @environment("uv"); environment variables are set with @environment_variables(NAME="value").',
            )
        return made
    made = _choice("environment", name, options)
    if vars is not None:
        made.wrong("@environment has a name and vars=", "Set the variables with @environment_variables, next to it.")
    return made


@collected
def datastore(name: str, /, **options: Any) -> StepDecorator:
    """Where a task's values are kept: a data store, a named instance of one, or a URL, with its options."""
    return _choice("datastore", name, options)


@collected
def isolation(
    kind: Literal["auto", "fork", "spawn", "thread", "inline"] | None = None,
    /,
    *,
    reuse: int | Literal["auto"] | None = None,
) -> StepDecorator:
    """In what kind of process a task runs.

    Args:
        kind: `auto` (fork where that is safe, else spawn; the default), `fork`, `spawn`, `thread`, `inline`.
        reuse: How many tasks one process may run, or `auto`; 1 by default, since module globals leak.
    """
    made = _make("isolation", **_given(kind=kind, reuse=reuse))
    kinds = ("auto", "fork", "spawn", "thread", "inline")
    if kind is not None and kind not in kinds:
        made.wrong(f"@isolation: {kind!r} is no kind of isolation", f"Choose one of {', '.join(kinds)}.")
    if reuse is not None and reuse != "auto" and not (isinstance(reuse, int) and reuse >= 1):
        made.wrong(f"@isolation: reuse={reuse!r} is not a number of tasks", 'Give 1 or more, or "auto".')
    return made


@collected
def limit(name: str, /, *, occupy: int = 1) -> StepDecorator:
    """Hold slots of a named limit while a task runs. It waits until they are free, and keeps no other task waiting.

    `dovetail limits set NAME 3` defines a limit, for all runs that have the same metadata provider. Several are
    written one below the other.

    Args:
        name: The limit.
        occupy: How many of its slots.
    """
    named = isinstance(name, str) and bool(name)
    made = _make("limit", None, **({name: occupy} if named else {}))
    if not named:
        made.wrong(f"@limit needs the name of a limit first, not {name!r}", 'As in @limit("gpu").')
    if not isinstance(occupy, int) or isinstance(occupy, bool) or occupy < 1:
        made.wrong(f"@limit: occupy={occupy!r} is not a number of slots", "Give a whole number, 1 or more.")
    return made


def _choice(kind: str, name: object, options: dict[str, Any]) -> StepDecorator:
    made = StepDecorator(kind, name if isinstance(name, str) else kind, options, depth=4)
    if not isinstance(name, str) or not name:
        made.wrong(f"@{kind} needs a name first, not {name!r}", f'As in @{kind}("local").')
    for option, value in options.items():
        if not _is_json(value):
            made.wrong(f"@{kind}: {option}= can't be written as JSON: {value!r}", "Give plain data.")
            made.use.options[option] = repr(value)
    return made


def _variables(variables: Mapping[str, Any], *, depth: int) -> StepDecorator:
    values = {name: _text(value) for name, value in variables.items()}
    made = StepDecorator("environment_variables", None, values, depth=depth)
    for name, value in variables.items():
        if not isinstance(value, (str, int, float)):
            made.wrong(
                f"@environment_variables: {name} is a {type(value).__name__}, not a text", "Give a str or a number."
            )
    return made


def _is_json(value: object) -> bool:
    from json import dumps

    try:
        dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _error_names(errors: Errors | Sequence[Errors]) -> list[str]:
    listed = [errors] if isinstance(errors, (str, type)) else list(errors)
    names = []
    for error in listed:
        if isinstance(error, str):
            names.append(error)
        else:
            plain = error.__module__ == "builtins"
            names.append(error.__qualname__ if plain else f"{error.__module__}.{error.__qualname__}")
    return names


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
