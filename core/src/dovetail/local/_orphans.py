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
_GENERATIONS = 16

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
        self._adopted: set[int] = set()
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

    def adopt(self, pid: int) -> None:
        """A process that ends, or has ended, and whose parent is gone: it is this one's to reap."""
        if self._enabled:
            self._adopted.add(pid)

    def reap(self, started: set[int]) -> None:
        """Let go of what was handed to this process and has ended since. Never blocks.

        Args:
            started: Processes that this one started itself and waits for elsewhere.
        """
        if not self._enabled:
            return
        children = [pid for pid in children_of(os.getpid()) if pid not in started]
        self._adopted.update(pid for pid in children if self._is_ours(pid))
        for pid in list(self._adopted):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] != 0
            except ChildProcessError:  # it went to another process
                ended = True
            if ended:
                self._adopted.discard(pid)

    def close(self) -> None:
        """Kill and reap whatever of this group was handed to this process. Everything that it started is gone."""
        if not self._enabled:
            return
        for _ in range(_GENERATIONS):  # killing one brings up its children
            for pid in self._adopted:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            self._adopted = {pid for pid in children_of(os.getpid()) if self._is_ours(pid)}
            if not self._adopted:
                return
            for pid in self._adopted:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

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
