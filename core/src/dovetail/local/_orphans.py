"""Finds what workers started and left behind outside of their process groups (daemons, sessions of their own)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from dovetail.local._proc import children_of, start_time

__all__ = ["GROUP_VARIABLE", "Orphans"]

GROUP_VARIABLE = "DOVETAIL_WORKER_GROUP"
"""Variable that every process of a group inherits; tells whose an orphan is."""
_PR_SET_CHILD_SUBREAPER = 36

Stray = tuple[int, str]
"""(process id, start time): together they name one process for ever."""


class Orphans:
    """Ends what workers left behind. On systems without /proc it finds nothing.

    Args:
        token: Value of `GROUP_VARIABLE` in this group.
        enabled: False: do nothing.
    """

    def __init__(self, token: str, *, enabled: bool) -> None:
        self._enabled = enabled
        self._mark = f"{GROUP_VARIABLE}={token}".encode()
        if enabled:
            _become_subreaper()

    def outside_group(self, pid: int) -> list[Stray]:
        """Descendants of a worker that its process group does not hold."""
        if not self._enabled or pid == 0:
            return []
        found: list[Stray] = []
        waiting = [pid]
        while waiting:
            for child in children_of(waiting.pop()):
                waiting.append(child)
                with suppress(OSError):
                    if os.getpgid(child) != pid and (start := start_time(child)):
                        found.append((child, start))
        return found

    def end(self, strays: list[Stray]) -> None:
        """Kill what `outside_group` found."""
        for pid, start in strays:
            if start_time(pid) == start:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill and reap whatever of this group was handed to this process when its own parent died."""
        if not self._enabled:
            return
        for _ in range(8):  # killing one may bring up its children
            ours = [pid for pid in children_of(os.getpid()) if self._is_ours(pid)]
            if not ours:
                return
            for pid in ours:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _is_ours(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read()
        except OSError:
            return False
        return self._mark in variables.split(b"\0")


def _become_subreaper() -> None:
    """Let orphans come to this process instead of init, where the system can (prctl(2))."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
