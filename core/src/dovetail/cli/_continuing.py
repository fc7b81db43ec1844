"""Continues, in this process, a run whose driver has exited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.client.client import Client
    from dovetail.client.run import Run

__all__ = ["continue_run"]


def continue_run(client: Client, run: Run, *, quiet: bool = False, pause_after: float | None = None) -> int:
    """Drive a run on until it ends or pauses again; the exit code.

    Raises:
        UsageError: It can't go on under its own id.
    """
    from dovetail.cli._run_options import exit_code
    from dovetail.cli._run_progress import RunProgress
    from dovetail.engine.resume import ResumeRequest, resume_run

    request = ResumeRequest(run=run.id, same_run=True, pause_after=pause_after)
    return exit_code(resume_run(client._connection.settings, request, RunProgress(quiet=quiet)))
