"""What a tree says of one task: a call with its inputs and its result, a question with its answer, a transaction with
how it ended, a hook with whose it is; and which tasks are mere bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.tasks import note
from dovetail.client.bookkeeping import BOOKKEEPING, TRANSACTION_ENDS, code_of_transactions
from dovetail.client.inputs import inputs_of
from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.artifacts.waits import Question
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["Nodes", "is_called"]

_VALUE = 60
"""Characters of a value that are drawn."""
_RUNS = ["parameters"]
"""Arguments of the task that runs a class flow."""


def is_called(task: Task) -> bool:
    """Whether another task called it, rather than the flow's graph planned it."""
    return "~" in task.path.rpartition("/")[2]


class Nodes:
    """Says it of the tasks of one run.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._own: frozenset[str] | None = None

    # -- what a task is -------------------------------------------------------------------------------------------

    def is_bookkeeping(self, task: Task) -> bool:
        """Whether it only keeps a transaction, which says what came of it."""
        return task.step_name in BOOKKEEPING and task.successful and self._is_own(task)

    def is_transaction(self, task: Task) -> bool:
        """Whether it is the beginning of a transaction, which what it groups lies below."""
        return task.step_name == "transaction" and task.successful and self._is_own(task)

    def _is_own(self, task: Task) -> bool:
        """Whether it is of Dovetail, and not a task of the user's with the same name."""
        from dovetail.client.stores import record_of

        try:
            if self._own is None:
                self._own = code_of_transactions(self.run)
            code = record_of(task).code_key.hex()
        except DovetailError:  # the store is away: what can't be told apart is shown
            return False
        return code in self._own or (task.step_name == "finish" and not code)

    def question(self, task: Task) -> Question | None:
        """What a task asked; None of a task that did not ask."""
        from dovetail.artifacts.waits import read_question

        if task.step_name != "wait" or not is_called(task):
            return None
        try:
            return read_question(self.run._store, self.run.id, task.path)
        except DovetailError:
            return None

    def inner_run(self, task: Task) -> Run | None:
        """The run of a class flow that a task called, if it did."""
        if not is_called(task) or list(inputs_of(task) or _RUNS) != _RUNS:
            return None
        from dovetail.client.flow import runs_in
        from dovetail.engine.launch import parent_tag

        tag = parent_tag(f"{self.run.id}/{task.path}")
        return next(runs_in(self.run._connection, flow=task.step_name, tags=(tag,), limit=1), None)

    # -- in words -------------------------------------------------------------------------------------------------

    def line(self, task: Task, below: Iterable[Task] = ()) -> str:
        """A task in one line.

        Args:
            task: Which.
            below: What it called.
        """
        if self.is_transaction(task):
            ends = [
                TRANSACTION_ENDS[one.step_name]
                for one in below
                if one.step_name in TRANSACTION_ENDS and self.is_bookkeeping(one)
            ]
            return f"{_name(task)}  {ends[0] if ends else 'open'}"
        question = self.question(task)
        if question is not None:
            asked = f" {output.clean(_cut(question.text))}" if question.text else ""
            return "  ".join([f"wait_for_input {question.name}{asked}{_result(task)}", *_facts(task)])
        inputs = inputs_of(task) if is_called(task) else None
        if inputs is None:
            given = "()" if is_called(task) else ""
        elif "hook" in inputs and task.step_name.startswith("on_"):
            of = inputs.get("task")
            given = f" {inputs['hook'].value}" + (f" of {of.value}" if of is not None and of.is_inline else "")
            return "  ".join([f"{_name(task)}{output.clean(given)}", *_facts(task)])
        else:
            shown = [f"{name}={_value(one.value, one.is_inline, one.type, one.size)}" for name, one in inputs.items()]
            given = f"({', '.join(shown)})"
        return "  ".join([f"{_name(task)}{output.clean(given)}{_result(task) if given else ''}", *_facts(task)])

    def body_line(self, task: Task) -> str:
        """The body of a flow function, called with the parameters of the run."""
        given = ", ".join(f"{name}={_cut(repr(value))}" for name, value in self.run.parameters.items())
        return "  ".join([f"{_name(task)}({output.clean(given)}){_result(task)}", *_facts(task)])


def _name(task: Task) -> str:
    return task.path.rpartition("/")[2]


def _result(task: Task) -> str:
    entry = task.outputs.get("result") if task.successful else None
    if entry is None:
        return ""
    inline = entry.is_inline and entry.serializer == "json"
    value = _value(entry.data if inline else None, inline, entry.type, entry.size)
    return f" → {output.clean(value)}"


def _facts(task: Task) -> list[str]:
    facts = [output.paint_state(task.state.value), _took(task.duration), output.clean(note(task) or "")]
    return [fact for fact in facts if fact]


def _took(seconds: float | None) -> str:
    """A time; of a call that took no millisecond, more closely than elsewhere."""
    if seconds is not None and seconds < 0.00995:
        return f"{seconds * 1000:.2f} ms"
    return output.human_duration(seconds) or ""


def _value(value: Any, is_inline: bool, type_name: str, size: int) -> str:
    if is_inline:
        return _cut(repr(value))
    return f"<{type_name}, {output.human_size(size)}>"


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"
