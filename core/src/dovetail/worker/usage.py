"""What an attempt used where its process has others too: differences, and nothing that can't be known."""

from __future__ import annotations

import sys
import time

from dovetail.interfaces.tasks import Usage

__all__ = ["ProcessUsage", "ThreadUsage"]

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss

try:
    from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
except ImportError:  # not a POSIX system

    class ProcessUsage:
        """Usage from here on, of a process whose attempts follow one another."""

        __slots__ = ("_cpu",)

        def __init__(self) -> None:
            self._cpu = time.process_time()

        def read(self) -> Usage:
            """CPU seconds since."""
            return Usage(cpu=time.process_time() - self._cpu)

else:

    class ProcessUsage:  # type: ignore[no-redef]
        """Usage from here on, of a process whose attempts follow one another."""

        __slots__ = ("_children", "_cpu", "_peak")

        def __init__(self) -> None:
            own = getrusage(RUSAGE_SELF)
            self._cpu = own.ru_utime + own.ru_stime
            self._peak = own.ru_maxrss
            ended = getrusage(RUSAGE_CHILDREN)
            self._children = ended.ru_utime + ended.ru_stime

        def read(self) -> Usage:
            """CPU seconds since, ended subprocesses included. Memory only when the process's peak rose since:
            then the peak is this attempt's; otherwise what it used is hidden below an earlier one's."""
            own = getrusage(RUSAGE_SELF)
            ended = getrusage(RUSAGE_CHILDREN)
            cpu = own.ru_utime + own.ru_stime - self._cpu + ended.ru_utime + ended.ru_stime - self._children
            return Usage(cpu=cpu, memory=own.ru_maxrss * _UNIT if own.ru_maxrss > self._peak else None)


class ThreadUsage:
    """Usage from here on, of one thread among others. Made and read on that thread."""

    __slots__ = ("_cpu",)

    def __init__(self) -> None:
        self._cpu = time.thread_time()

    def read(self) -> Usage:
        """CPU seconds since; memory is not a thread's own."""
        return Usage(cpu=time.thread_time() - self._cpu)
