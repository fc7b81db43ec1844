"""Tasks that wait for somebody outside of the run: what they ask, and which signal or deadline answers them."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import read_arguments
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.packing import RESULT
from dovetail.artifacts.record_packing import pack_body
from dovetail.artifacts.waits import Question
from dovetail.interfaces.answers import answer_problems, signal_id
from dovetail.interfaces.clock import clock
from dovetail.interfaces.paths import step_of
from dovetail.interfaces.tasks import ErrorReport, TaskOutcome

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.machine import Attempt
    from dovetail.interfaces.events import Event

__all__ = ["Settled", "Waits", "used_signals"]

Settled = tuple["Attempt", "TaskOutcome | None", "ErrorReport | None"]
"""A task that waits no more: its answer, or that its time is over."""
DEADLINE_READ = "deadline"
"""What a task read that took its default."""


def used_signals(records: Iterable[CommitRecord]) -> set[str]:
    """Signals that tasks of a run have used."""
    return {
        name
        for record in records
        if step_of(record.path) == "wait"
        for name in record.reads
        if name.startswith("signal:")
    }


class Waits:
    """The waits of one run. Owned by the driver's thread.

    A signal answers one wait, ever: the record of the wait names it. One that was sent to a wait by its path answers
    that one or none; any other the first wait of its name, in the order in which signals and waits came.

    Args:
        artifacts: Takes the answers.
        keep: Writes a question to the run's data store; the one that counts.
        recall: What a task asked before.
        used: Signals that are in records already.
        note: Told what the user should know.
    """

    def __init__(
        self,
        *,
        artifacts: ArtifactStore,
        keep: Callable[[Question], Question],
        recall: Callable[[str], Question | None],
        used: set[str],
        note: Callable[[str], None],
    ) -> None:
        self._artifacts = artifacts
        self._keep = keep
        self._recall = recall
        self._used = used
        self._note = note
        self._open: dict[str, tuple[Attempt, Question]] = {}
        self._mail: dict[str, deque[Event]] = {}
        self._sent: dict[str, deque[Event]] = {}
        self._fresh: list[str] = []

    def __len__(self) -> int:
        return len(self._open)

    def paths(self) -> Iterable[str]:
        """Tasks that wait."""
        return self._open.keys()

    # -- what happens ---------------------------------------------------------------------------------------------

    def open(self, attempt: Attempt) -> Question:
        """A task begins to wait; what it asks."""
        path = attempt.task.path
        form = self._form(attempt)
        now = clock().time()
        first = self._recall(form["first"]) if "first" in form else None
        timeout = form.get("timeout")
        question = Question(
            path=path,
            name=form["name"],
            text=form["question"],
            schema=form["schema"],
            since=now,
            deadline=None if timeout is None else now + timeout,
            default=(form["default"],) if "default" in form else (),
            refused=form.get("refused", ""),
        )
        if first is not None:  # its answer was refused: the time goes on
            question = replace(question, deadline=first.deadline)
        kept = self._keep(question)
        # Of one that was asked before only the times count: a call with a name may ask otherwise since.
        question = replace(question, since=kept.since, deadline=kept.deadline)
        self._open[path] = attempt, question
        self._fresh.append(path)
        return question

    def fresh(self) -> list[Question]:
        """What is asked and was not answered at once; each is told once."""
        fresh, self._fresh = self._fresh, []
        return [self._open[path][1] for path in fresh if path in self._open]

    def close(self, path: str) -> Attempt:
        """Nobody waits for the answer any more."""
        return self._open.pop(path)[0]

    def received(self, signal: Event) -> None:
        """A signal arrived."""
        data = signal.data
        path, name = data.get("path"), str(data.get("name", ""))
        used = signal_id(signal.writer, signal.n) in self._used
        if path:
            if not used:
                self._sent.setdefault(path, deque()).append(signal)
        elif used:
            self._mail.pop(name, None)  # what came before it was taken or refused, before this driver
        else:
            self._mail.setdefault(name, deque()).append(signal)

    # -- what follows ---------------------------------------------------------------------------------------------

    def settle(self) -> Iterator[Settled]:
        """Tasks that wait no more; each is told once."""
        for path, (attempt, question) in list(self._open.items()):
            signal = self._answer(question)
            if signal is not None:
                self._used.add(signal_id(signal.writer, signal.n))
                del self._open[path]
                name = signal_id(signal.writer, signal.n)
                yield attempt, self._outcome(attempt, question, signal.data.get("value"), name), None
            elif question.deadline is not None and clock().time() >= question.deadline:
                del self._open[path]
                if question.default:
                    yield attempt, self._outcome(attempt, question, question.default[0], DEADLINE_READ), None
                else:
                    yield attempt, None, _time_is_over(question)

    def is_due(self) -> bool:
        """Whether a deadline has passed: what was sent before it must be read now."""
        due = self._deadline()
        return due is not None and clock().time() >= due

    def next_due(self) -> float | None:
        """When the next deadline passes, by `time.monotonic`."""
        due = self._deadline()
        return None if due is None else time.monotonic() + max(0.0, due - clock().time())

    def _deadline(self) -> float | None:
        return min((q.deadline for _, q in self._open.values() if q.deadline is not None), default=None)

    def _answer(self, question: Question) -> Event | None:
        for signals in (self._sent.get(question.path), self._mail.get(question.name)):
            while signals:
                signal = signals[0]
                if question.deadline is not None and signal.time > question.deadline:
                    break  # another wait of the name may be meant
                signals.popleft()
                problems = answer_problems(question.schema, signal.data.get("value"))
                if not problems:
                    return signal
                self._note(f"a signal for {question.name} was no answer: {'; '.join(problems)}")
        return None

    def _form(self, attempt: Attempt) -> dict[str, Any]:
        assert attempt.task.arguments is not None
        ref = read_arguments(attempt.task.arguments.table)["form"]
        assert ref is not None
        form: dict[str, Any] = json.loads(self._artifacts.load(ref, name="form"))
        return form

    def _outcome(self, attempt: Attempt, question: Question, value: Any, read: str) -> TaskOutcome:
        writer = OutputWriter(self._artifacts)
        digest = writer.add(RESULT, value)
        outputs = writer.finish()
        now = clock().time()
        assert attempt.task.arguments is not None
        return TaskOutcome(
            path=question.path,
            attempt=attempt.number,
            started=question.since,
            finished=now,
            body=pack_body(
                outputs,
                reads={read: digest},
                next=None,
                started=question.since,
                finished=now,
                arguments=attempt.task.arguments.table,
            ),
            values=outputs.values,
            outputs=outputs.table,
            outputs_digest=outputs.digest,
            index=outputs.index,
            objects=outputs.objects,
        )


def _time_is_over(question: Question) -> ErrorReport:
    assert question.deadline is not None
    return ErrorReport(
        type="TimeoutError",
        message=f"nobody answered {question.name} within {question.deadline - question.since:g} s",
        bases=("TimeoutError", "OSError", "Exception"),
        kind="timeout",
    )
