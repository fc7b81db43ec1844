"""What the terminal says while a run is driven."""

from __future__ import annotations

import pytest

from dovetail.cli._run_progress import RunProgress
from dovetail.interfaces.states import RunState, TaskState
from dovetail.interfaces.tasks import ErrorReport

LOST = ErrorReport(type="", message="the worker's host process died", kind="lost")


def test_what_happens_again_and_again_is_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RunProgress()
    progress.expected("start", 1)
    for _ in range(3):
        progress.task_began("start", 1)
        progress.task_ended("start", TaskState.WAITING, 1, LOST, 0.0)
        progress.note("the process died; starting it again")
    progress.note("said once")
    progress.task_began("start", 1)
    progress.task_ended("start", TaskState.FAILED, 1, LOST, 0.0)
    progress.run_ended(RunState.FAILED, ("start", LOST))
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert sum(line.startswith("↻ start") for line in lines) == 1
    assert lines.count("· the process died; starting it again") == 1
    assert lines.count("· 3 times: the process died; starting it again") == 1
    assert lines.count("· start began again 3 times, since the process was lost") == 1
    assert sum("said once" in line for line in lines) == 1


def test_each_attempt_that_fails_by_itself_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RunProgress()
    error = ErrorReport(type="ValueError", message="bad")
    for attempt in (1, 2):
        progress.task_ended("start", TaskState.WAITING, attempt, error, 0.0)
    said = capsys.readouterr().err
    assert "start (attempt 1)" in said
    assert "start (attempt 2)" in said
