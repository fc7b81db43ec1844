"""Tells observers of a run's events, on a thread of its own.

The driver feeds every batch of its journal once it is durable, which costs an append to a queue. Observers can't
slow the run down, stop it, or change it: a failure is logged, and an observer that is far behind misses events.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.paths import step_of
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import ErrorReport
from dovetail.plugins.observed import Outcome, RunInfo, TaskInfo

__all__ = ["EventHooks"]

_BACKLOG = 100_000
"""Events that may wait. Beyond it task events are dropped and counted: memory must not grow with a slow observer."""
_ENDED = frozenset(state.value for state in TaskState if state.final)
_RESTING = frozenset({"succeeded", "failed", "cancelled", "interrupted", "paused"})


class EventHooks:
    """Observers of one run.

    Args:
        run: What they are told of the run.
        observers: (distribution, hook, function, names of its arguments).
    """

    def __init__(self, run: RunInfo, observers: Iterable[tuple[str, str, Any, tuple[str, ...]]]) -> None:
        self.run = run
        """What observers are told of the run."""
        self.failures: list[str] = []
        """What went wrong in observers, in words; the first of each (plugin, hook) only."""
        self.dropped = 0
        """Events that observers missed."""
        self._observers: dict[str, list[tuple[str, Any, tuple[str, ...]]]] = {}
        for dist, hook, function, names in observers:
            self._observers.setdefault(hook, []).append((dist, function, names))
        self._failed: set[tuple[str, str]] = set()
        self._queue: deque[Event | None] = deque()
        self._wake = threading.Condition()
        self._started: set[str] = set()
        self._run_started = False
        self._tasks = bool(self._observers.keys() & {"dovetail_task_started", "dovetail_task_finished"})
        self._thread = threading.Thread(target=self._work, name="dovetail-observers", daemon=True)
        self._thread.start()

    def feed(self, events: Sequence[Event]) -> None:
        """Tell observers of these events, in order. Never blocks on an observer."""
        with self._wake:
            for event in events:
                if event.kind == EventKind.TASK:
                    if not self._tasks:
                        continue
                    if len(self._queue) >= _BACKLOG:
                        self.dropped += 1
                        continue
                elif event.kind not in (EventKind.RUN_CREATED, EventKind.RUN_STATE, EventKind.DRIVER):
                    continue
                self._queue.append(event)
            self._wake.notify()

    __call__ = feed

    def close(self, timeout: float = 5.0) -> bool:
        """Let observers see what is queued, then end. Idempotent.

        Args:
            timeout: Seconds to wait for them; a daemon thread is left behind after that.

        Returns:
            Whether they saw everything.
        """
        with self._wake:
            self._queue.append(None)
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self.dropped

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue:
                    self._wake.wait()
                event = self._queue.popleft()
            if event is None:
                return
            self._tell(event)

    def _tell(self, event: Event) -> None:
        if event.kind == EventKind.TASK:
            self._tell_task(event)
            return
        if not self._run_started and event.kind != EventKind.RUN_STATE:
            self._run_started = True
            self._call("dovetail_run_started", run=self.run)
        if event.kind == EventKind.RUN_STATE and event.data["state"] in _RESTING:
            outcome = Outcome(
                state=event.data["state"],
                started=event.data.get("started"),
                finished=event.data.get("finished") or event.time,
                error=_report(event.data.get("error")),
            )
            self._call("dovetail_run_finished", run=self.run, outcome=outcome)

    def _tell_task(self, event: Event) -> None:
        state, data = event.data["state"], event.data
        ended = state in _ENDED
        if not ended and state != TaskState.RUNNING.value:
            return
        task = TaskInfo(
            run=self.run.run,
            flow=self.run.flow,
            path=event.path,
            step=data.get("step") or step_of(event.path),
            attempt=data.get("attempt") or 1,
        )
        ran = not ended or state in ("succeeded", "failed")
        if ran and event.path not in self._started:
            # Short tasks have one journal row, at their end.
            self._started.add(event.path)
            self._call("dovetail_task_started", task=task)
        if ended:
            self._started.discard(event.path)
            outcome = Outcome(
                state=state,
                started=data.get("started"),
                finished=data.get("finished") or event.time,
                error=_report(data.get("error")),
            )
            self._call("dovetail_task_finished", task=task, outcome=outcome)

    def _call(self, hook: str, **arguments: Any) -> None:
        for dist, function, names in self._observers.get(hook, ()):
            begin = time.monotonic()
            try:
                function(**{name: arguments[name] for name in names})
            except Exception as error:
                self._note(dist, hook, error, time.monotonic() - begin)

    def _note(self, dist: str, hook: str, error: Exception, seconds: float) -> None:
        if (dist, hook) in self._failed:
            return
        self._failed.add((dist, hook))
        import logging

        text = f"{hook} of {dist} failed after {seconds:.1f} s: {type(error).__name__}: {error}"
        self.failures.append(text)
        logging.getLogger("dovetail.plugins").warning(text, exc_info=error)


def _report(data: Any) -> ErrorReport | None:
    """The error of an event: JSON text or plain data of an ErrorReport, or {path, message} for a run."""
    if not data:
        return None
    if isinstance(data, str):
        import json

        try:
            data = json.loads(data)
        except ValueError:
            return ErrorReport(type="", message=data)
    if "type" in data and "message" in data:
        return ErrorReport.from_plain({"bases": [], **data})
    path = data.get("path", "")
    message = str(data.get("message", ""))
    return ErrorReport(type="", message=f"{path}: {message}" if path else message)
