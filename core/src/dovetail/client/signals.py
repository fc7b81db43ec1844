"""What a run waits for, and the signals that answer it."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from dovetail.client.clock import aware, aware_or_none
from dovetail.interfaces.answers import answer_problems, example_answer
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import UsageError, ValidationError
from dovetail.interfaces.events import UNPAUSED, EventKind
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dovetail.client.run import Run
    from dovetail.client.run_row import RunRow

__all__ = ["Waiting", "answer", "asked_of", "command_of", "send", "wait_for_driver", "waiting_from", "waiting_of"]

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 30.0
"""How long a driver that lives may take to act on what it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Something that a task of a run waits for."""

    path: str
    """The task."""
    name: str
    """What signals are matched by."""
    question: str
    """Shown to who is asked."""
    schema: Mapping[str, Any]
    """JSON schema of an answer."""
    since: datetime
    """When it was asked."""
    deadline: datetime | None
    """Until when an answer counts; None: for ever."""
    refused: str = ""
    """Why the answer before was none."""

    @property
    def example(self) -> Any:
        """An answer of the right form."""
        return example_answer(self.schema)

    def problems(self, value: Any) -> list[str]:
        """What is wrong with an answer, field by field; empty when nothing is."""
        return answer_problems(self.schema, value)

    def to_plain(self) -> dict[str, Any]:
        """This as JSON-able data; the keys are stable."""
        return {
            "path": self.path,
            "name": self.name,
            "question": self.question,
            "schema": self.schema,
            "since": self.since.isoformat(),
            "deadline": None if self.deadline is None else self.deadline.isoformat(),
            "refused": self.refused,
        }


def waiting_of(run: Run) -> list[Waiting]:
    """What the tasks of a run wait for, the oldest question first."""
    if run.state.final:
        return []
    found = []
    for task in run.tasks(state="waiting", oldest_first=True):
        info = task._column("info")
        asked = (json.loads(info) if isinstance(info, str) else info or {}).get("wait")
        if asked is not None:
            found.append(waiting_from(task.path, asked))
    return found


def waiting_from(path: str, asked: Mapping[str, Any]) -> Waiting:
    """What a task waits for, from the question as it is stored."""
    return Waiting(
        path=path,
        name=asked["name"],
        question=asked["question"],
        schema=asked["schema"],
        since=aware(asked["since"]),
        deadline=aware_or_none(asked["deadline"]),
        refused=asked.get("refused", ""),
    )


def answer(run: Run, value: Any, name: str | None) -> Waiting | None:
    """Answer what a run waits for, or send a message of a name; what was answered."""
    _check_open(run)
    value = _plain(value)
    waiting = waiting_of(run)
    asked = _chosen(run, waiting, name)
    if asked is not None and (wrong := asked.problems(value)):
        raise ValidationError(
            f"this is no answer to {asked.name} of run {run.id}:",
            problems=[Problem(code="answer", message=f"  {text}") for text in wrong],
            hint=f"Write it like this: {command_of(run.id, asked, alone=len(waiting) == 1)}",
        )
    if name is not None:
        send(run, value, name)
    elif asked is not None:
        # For this question and no later one: two people may answer it.
        run._connection.append(run.id, EventKind.SIGNAL, name=asked.name, value=value, path=asked.path)
    return asked


def asked_of(run: Run, name: str | None) -> Waiting:
    """What an answer of a name would be for.

    Raises:
        UsageError: The run has ended, or it waits for no such thing; without a name, for nothing or for several.
    """
    _check_open(run)
    waiting = waiting_of(run)
    asked = _chosen(run, waiting, name)
    if asked is None:
        names = ", ".join(dict.fromkeys(one.name for one in waiting))
        raise UsageError(
            f"run {run.id} waits for nothing of the name {name}" + (f", only for {names}" if names else ""),
            hint=f"To send a message for later, give its value: dovetail signal {run.id} --name {name} JSON",
        )
    return asked


def _chosen(run: Run, waiting: list[Waiting], name: str | None) -> Waiting | None:
    if name is not None:
        return next((one for one in waiting if one.name == name), None)
    if len(waiting) != 1:
        raise _ambiguous(run, waiting)
    return waiting[0]


def send(run: Run, value: Any, name: str, *, once: str = "") -> None:
    """Send a message to the first wait of a name, now or later.

    Args:
        run: The run.
        value: JSON-able, or a dataclass or pydantic model.
        name: What it is matched by.
        once: Names it: sent again under this name, it is the same message.
    """
    _check_open(run)
    run._connection.append(run.id, EventKind.SIGNAL, once=once, name=name, value=_plain(value))


def command_of(run: str, waiting: Waiting, *, alone: bool = True) -> str:
    """What to type to answer."""
    import shlex

    name = [] if alone else ["--name", waiting.name]
    return shlex.join(["dovetail", "signal", run, *name, json.dumps(waiting.example, ensure_ascii=False)])


def wait_for_driver(run: RunRow, since: int) -> bool:
    """Wait until the driver has taken in what was asked for behind `since`: whether it did. False: it exited first."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        alive = bool(run._connection.live_runs(run.id))
        for event in run.events(since=since):
            since = event.seq
            if event.kind == EventKind.NOTE and event.data.get("message") == UNPAUSED:
                return True
        if not alive:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _check_open(run: Run) -> None:
    state = run.refresh().state
    if state.final:
        raise UsageError(
            f"run {run.id} has ended: it is {state}", hint="dovetail runs --state paused lists what waits."
        )


def _ambiguous(run: Run, waiting: list[Waiting]) -> UsageError:
    if not waiting:
        return UsageError(
            f"run {run.id} waits for nothing now" + ("; it is paused" if run.state is RunState.PAUSED else ""),
            hint="With a name, what it is sent waits for it: --name NAME.",
        )
    names = [one.name for one in waiting]
    if len(set(names)) == 1:
        return UsageError(
            f"{len(names)} tasks of run {run.id} wait for {names[0]}: an answer goes to the one that waits longest",
            hint=f"Say that this is meant with --name {names[0]}.",
        )
    return UsageError(
        f"run {run.id} waits for several things: {', '.join(dict.fromkeys(names))}",
        hint="Say which one is answered: --name NAME.",
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    try:
        return json.loads(json.dumps(value, default=_of_class))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value!r} can't be sent: {error}", hint="Send what JSON has a form for.") from None


def _of_class(value: Any) -> Any:
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"a {type(value).__name__} has no JSON form")
