"""Says in words why the process of an attempt ended."""

from __future__ import annotations

import signal

from dovetail.interfaces.tasks import ErrorReport, Exit

__all__ = ["report_exit", "report_timeout"]

_MIB = 1024 * 1024


def report_exit(exit: Exit | None) -> ErrorReport:
    """Why an attempt has no result though nobody killed it."""
    if exit is None or (exit.code is None and exit.signal is None):
        return ErrorReport(type="", message="the worker's host process died", kind="lost")
    if exit.signal is not None:
        try:
            name = signal.Signals(exit.signal).name
        except ValueError:
            name = f"signal {exit.signal}"
        seen = "" if exit.last_memory is None else f" ({exit.last_memory // _MIB} MiB in use)"
        if exit.out_of_memory:
            return ErrorReport(type="", message=f"out of memory: killed by the kernel{seen}", kind="memory")
        if name == "SIGKILL":
            return ErrorReport(type="", message=f"killed by SIGKILL, possibly out of memory{seen}", kind="signal")
        return ErrorReport(type="", message=f"killed by {name}", kind="signal")
    return ErrorReport(type="", message=f"the process exited with code {exit.code} before the step ended", kind="exit")


def report_timeout(seconds: float) -> ErrorReport:
    """An attempt that took longer than its `@timeout`."""
    return ErrorReport(
        type="TimeoutError",
        message=f"timed out after {seconds:g} s",
        bases=("TimeoutError", "OSError", "Exception"),
        kind="timeout",
    )
