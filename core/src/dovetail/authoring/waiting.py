"""Waiting for somebody outside of the run: a person who approves, or another run that sends a message."""

from __future__ import annotations

from dovetail.authoring.calling import caller
from dovetail.authoring.task_function import TaskFunction
from dovetail.authoring.task_function import task as _task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar, overload

    T = TypeVar("T")

__all__ = ["DEFAULT_NAME", "await_input", "send_signal", "wait", "wait_for_input"]

DEFAULT_NAME = "input"
_NONE: Any = object()


class _Question(TaskFunction):  # type: ignore[type-arg]
    """A call that somebody outside answers: no process runs it."""

    step_kind = "wait"


def _ask(form: str) -> Any:
    raise AssertionError(f"a wait is answered, not run: {form}")


wait = _Question(_ask, "wait")


if TYPE_CHECKING:

    @overload
    def wait_for_input(
        model: type[T],
        /,
        *,
        question: str = "",
        name: str | None = None,
        timeout: float | None = None,
        default: T = ...,
    ) -> T: ...

    @overload
    def wait_for_input(
        model: Any = bool,
        /,
        *,
        question: str = "",
        name: str | None = None,
        timeout: float | None = None,
        default: Any = ...,
    ) -> Any: ...


def wait_for_input(
    model: Any = bool,
    /,
    *,
    question: str = "",
    name: str | None = None,
    timeout: float | None = None,
    default: Any = _NONE,
) -> Any:
    """Wait until somebody answers; the answer.

    While a run does nothing but wait, it is paused after a short while: its driver exits, and it goes on once it is
    answered with `dovetail signal`. The code before is then run again; tasks that it called are not.

    Args:
        model: What an answer must be: a pydantic model, a dataclass, a typed dictionary, any type hint, or a dict of
            field → hint. A plain true or false by default.
        question: Shown to who is asked.
        name: What signals are matched by, `input` by default. With a name the call keeps its place in the run
            when the question or the model changes.
        timeout: Seconds to wait at most, from the first time that the run came here, also while it is paused.
        default: The answer when the time is over.

    Raises:
        TimeoutError: The time is over and there is no default.
        UsageError: Outside of a run; the default is no answer of this kind.
    """
    here, asked = _asked(model, question, name, timeout, default)
    first = refused = ""
    while True:
        future = here.submit(wait, {"form": asked(first, refused)}, key=None if name is None else f"wait {name}")
        value = future.result()
        if value is None and default is None:
            return None
        found, refused = _accepted(model, value)
        if not refused:
            return found
        first = first or future.path


async def await_input(
    model: Any = bool,
    /,
    *,
    question: str = "",
    name: str | None = None,
    timeout: float | None = None,
    default: Any = _NONE,
) -> Any:
    """As `wait_for_input`, in a coroutine.

    Args:
        model: What an answer must be.
        question: Shown to who is asked.
        name: What signals are matched by.
        timeout: Seconds to wait at most.
        default: The answer when the time is over.
    """
    here, asked = _asked(model, question, name, timeout, default)
    first = refused = ""
    while True:
        future = here.submit(wait, {"form": asked(first, refused)}, key=None if name is None else f"wait {name}")
        value = await future
        if value is None and default is None:
            return None
        found, refused = _accepted(model, value)
        if not refused:
            return found
        first = first or future.path


def send_signal(run: str, value: Any = True, *, name: str = DEFAULT_NAME) -> None:
    """Send a message to a run; it takes it when it waits for input of this name, the oldest message first.

    Inside a run it is sent once, however often the code is run again.

    Args:
        run: Run id, or `Flow/run`.
        value: JSON-able, or a dataclass or pydantic model.
        name: Of the input that it is for.

    Raises:
        UnknownNameError: There is no such run.
        UsageError: The run has ended; the value has no JSON form.
    """
    import json

    from dovetail.authoring.hints import Mismatch, plain
    from dovetail.interfaces.errors import UsageError

    try:
        text = json.dumps(plain(value))
    except Mismatch as error:
        raise UsageError(f"the value for {name} can't be sent: {error}") from None
    _send(run, name, text)


@_task(name="signal", isolation="inline")
def _send(run: str, name: str, value: str) -> None:
    import json

    from dovetail.authoring.current import current
    from dovetail.client import Client

    once = ""
    if caller.get() is not None and current.run_id is not None:
        # Sent again after a crash, it is the same event and changes nothing.
        import hashlib

        once = f"{current.run_id}-{hashlib.sha256(str(current.task_id).encode()).hexdigest()[:16]}"
    Client(current._of_run("home") or None, namespace=None).run(run)._send(json.loads(value), name, once=once)


def _asked(model: Any, question: str, name: str | None, timeout: float | None, default: Any) -> Any:
    """(who calls, what makes the text of a question)."""
    from dovetail.interfaces.errors import UsageError

    here = caller.get()
    if here is None:
        raise UsageError(
            "wait_for_input needs a run, and none is running here",
            hint="Call it inside a @flow, a @step or a @task.",
        )
    import json

    from dovetail.authoring.hints import Mismatch, plain
    from dovetail.authoring.schema import schema_of

    form: dict[str, Any] = {"name": name or DEFAULT_NAME, "question": question, "schema": schema_of(model)}
    if timeout is not None:
        form["timeout"] = float(timeout)
    if default is not _NONE:
        try:
            form["default"] = plain(default)
        except Mismatch as error:
            raise UsageError(f"the default of input {form['name']} can't be recorded: {error}") from None
        if default is not None and (wrong := _accepted(model, form["default"])[1]):
            raise UsageError(f"the default of input {form['name']} is no answer to it: {wrong}")

    def text(first: str, refused: str) -> str:
        again = {"first": first, "refused": refused} if refused else {}
        return json.dumps({**form, **again}, sort_keys=True)

    return here, text


def _accepted(model: Any, value: Any) -> tuple[Any, str]:
    """(the answer as the model has it, what is wrong with it).

    The schema let it pass; what validates here is what it can't say, such as a validator of a model.
    """
    from dovetail.authoring.hints import Mismatch, coerced

    try:
        if isinstance(model, dict):
            return _fields(model, value), ""
        return coerced(model, value), ""
    except Mismatch as error:
        return None, str(error)


def _fields(hints: Mapping[str, Any], value: Any) -> dict[str, Any]:
    from dovetail.authoring.hints import Mismatch, coerced

    if not isinstance(value, dict) or value.keys() != hints.keys():
        raise Mismatch(f"{value!r} does not have the fields {', '.join(map(str, hints))}")
    found = {}
    for field, hint in hints.items():
        try:
            found[field] = coerced(hint, value[field])
        except Mismatch as error:
            raise Mismatch(f"{field}: {error}") from None
    return found
