"""What tasks wrote, as lines: of one task by where its log is, of a run in the order in which it was written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import ArtifactGoneError, UnknownNameError
from dovetail.interfaces.paths import step_of
from dovetail.interfaces.states import TaskState

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.artifacts.logs import LogEntry
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["LogLine", "follow_lines", "run_lines", "task_lines"]

_SHORTEST, _LONGEST = 0.05, 1.0
"""Seconds between two looks at a log that grows."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a task wrote."""

    time: float
    """When its end was read, seconds since the epoch."""
    path: str
    """Path of the task; empty for output outside of tasks."""
    attempt: int
    """Attempt, from 1; 0 for output outside of tasks."""
    stream: str
    """`stdout` or `stderr`."""
    text: str
    """The line without its end; what is no UTF-8 is replaced."""

    @property
    def at(self) -> datetime:
        """When its end was read."""
        from dovetail.client.clock import aware

        return aware(self.time)


class _Lines:
    """Puts chunks together to lines: each stream of each attempt by itself."""

    def __init__(self) -> None:
        self._rest: dict[tuple[str, int, str], tuple[float, bytes]] = {}

    def of(self, entries: Iterable[LogEntry]) -> Iterator[LogLine]:
        """Lines that the chunks complete."""
        for entry in entries:
            key = (entry.path, entry.attempt, entry.stream)
            before = self._rest.pop(key, None)
            *whole, rest = ((before[1] if before else b"") + entry.data).split(b"\n")
            if rest:
                self._rest[key] = (entry.time, rest)
            for data in whole:
                yield _line(key, entry.time, data)

    def rest(self) -> Iterator[LogLine]:
        """Lines that never got an end."""
        for key, (when, data) in self._rest.items():
            yield _line(key, when, data)
        self._rest.clear()


def _line(key: tuple[str, int, str], when: float, data: bytes) -> LogLine:
    path, attempt, stream = key
    return LogLine(when, path, attempt, stream, data.decode("utf-8", "replace").removesuffix("\r"))


def task_lines(task: Task, *, stream: str | None = None, attempt: int | None = None) -> Iterator[LogLine]:
    """Lines that a task wrote (see `Task.log`)."""
    from dovetail.artifacts.logs import read_log

    run = task.run
    if task.state is TaskState.CACHED:  # what its record says of a log is of the run that it ran in
        yield from _reused_lines(task, stream=stream, attempt=attempt)
        return
    attempts = [one for one in task.attempts if attempt is None or one.number == attempt]
    for one in attempts:
        if one.location is None and not one.state.final:  # it still writes, so nothing says yet where
            yield from run_lines(run, stream=stream, wanted=lambda path: path == task.path, attempt=one.number)
        if one.location is None:
            continue
        lines = _Lines()
        entries = read_log(run._store, run.id, one.location, task.path, one.number)
        yield from lines.of(entry for entry in entries if stream in (None, entry.stream))
        yield from lines.rest()


def _reused_lines(task: Task, *, stream: str | None, attempt: int | None) -> Iterator[LogLine]:
    """What a reused task wrote when it ran, in the run that it was reused from; nothing once that run is gone."""
    from dovetail.client.lookup import find_run
    from dovetail.client.pathspec import parse_pathspec
    from dovetail.client.run import Run

    origin = task.metadata.get("origin") or task.run.origin
    if not isinstance(origin, str):
        return
    connection = task.run._connection
    try:
        ran = Run._of(connection, find_run(connection, parse_pathspec(origin))).task(task.path)
        yield from task_lines(ran, stream=stream, attempt=attempt)
    except (UnknownNameError, ArtifactGoneError):
        return


def run_lines(
    run: Run,
    *,
    stream: str | None = None,
    wanted: Callable[[str], bool] | None = None,
    attempt: int | None = None,
) -> Iterator[LogLine]:
    """Lines that a run's tasks wrote, as they were written, up to now.

    Args:
        run: The run.
        stream: `stdout` or `stderr`; None: both.
        wanted: Whether a task is wanted, by its path; None: all.
        attempt: Of one attempt of each; None: of all.
    """
    from dovetail.artifacts.logs import LogFollower

    lines = _Lines()
    entries = LogFollower(run._store, run.id).read()
    yield from lines.of(entry for entry in entries if _chosen(entry, stream, wanted, attempt))
    yield from lines.rest()


def follow_lines(
    run: Run,
    *,
    stream: str | None = None,
    wanted: Callable[[str], bool] | None = None,
    attempt: int | None = None,
    over: Callable[[], bool] | None = None,
    idle: Callable[[], None] | None = None,
) -> Iterator[LogLine]:
    """As `run_lines`, then go on with what is written, until the run goes on no more.

    Args:
        run: The run.
        stream: `stdout` or `stderr`; None: both.
        wanted: Whether a task is wanted, by its path; None: all.
        attempt: Of one attempt of each; None: of all.
        over: Whether to end early, as when the only wanted task has ended.
        idle: Called when all that there is was given, before waiting for more.
    """
    from dovetail.artifacts.logs import LogFollower
    from dovetail.interfaces.states import RunState

    lines = _Lines()
    follower = LogFollower(run._store, run.id)
    pause = _SHORTEST
    while True:
        # Looked at before reading: whatever was written until then is read below.
        last = run.refresh().state is not RunState.RUNNING or (over is not None and over())
        found = False
        for line in lines.of(entry for entry in follower.read() if _chosen(entry, stream, wanted, attempt)):
            found = True
            yield line
        if last:
            yield from lines.rest()
            return
        if idle is not None:
            idle()
        pause = _SHORTEST if found else min(1.5 * pause, _LONGEST)
        time.sleep(pause)


def of_step(step: str) -> Callable[[str], bool]:
    """Whether a path is of a step, or of a task called from one of its tasks."""
    return lambda path: step_of(path.partition("/")[0]) == step or step_of(path) == step


def of_task(task: str) -> Callable[[str], bool]:
    """Whether a path is a task's, or that of a task called from it."""
    return lambda path: path == task or path.startswith(f"{task}/")


def _chosen(entry: LogEntry, stream: str | None, wanted: Callable[[str], bool] | None, attempt: int | None) -> bool:
    return (
        stream in (None, entry.stream) and (wanted is None or wanted(entry.path)) and attempt in (None, entry.attempt)
    )
