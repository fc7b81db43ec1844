"""Ties the life of a process group to that of the process which started it.

The starter holds the write end of a pipe. Each process that it starts opens the read end anew and asks the kernel
for SIGKILL to its whole process group when the last writer is gone (fcntl(2), `F_SETSIG` and `F_SETOWN`), whatever
the process is busy with. Unlike `PR_SET_PDEATHSIG` this reaches grandchildren in the group, is not tied to a thread
and needs no ctypes. Where there is no `F_SETSIG`, a thread waits for the end of the pipe.
"""

from __future__ import annotations

import os
import select
from types import ModuleType

# Imported here and not where it is used: a forked child would pay for the look-up.
fcntl: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None

__all__ = ["bind", "open_end", "tie"]

_KILL = 9


def tie(read_end: int, group: int, *, parent: int = 0) -> int | None:
    """Die with the writer of a pipe.

    Args:
        read_end: Read end of the starter's pipe, inherited; not closed.
        group: Process group that dies; 0: this process alone.
        parent: Process that forked this one and is the only writer, if that is so; it saves a look at the pipe.

    Returns:
        A descriptor that must stay open, or None.
    """
    own = open_end(read_end)
    if own is None:
        _watch(read_end)
        return None
    bind(own, group)
    if os.getppid() != parent if parent else _has_ended(own):  # the writer died before the kernel was asked
        os._exit(1)
    return own


def open_end(read_end: int) -> int | None:
    """The read end once more, as a description of its own: owner and signal belong to the description, which a fork
    shares. None where the system has no such signals."""
    if fcntl is None or not hasattr(fcntl, "F_SETSIG"):
        return None
    try:
        return os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def bind(own: int, group: int) -> None:
    """Have the kernel kill a process group, or this process (0), when the writer of `own` is gone.

    It does as long as anyone holds the description open.
    """
    assert fcntl is not None
    fcntl.fcntl(own, fcntl.F_SETOWN, -group if group else os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, _KILL)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)


def _has_ended(own: int) -> bool:
    poll = select.poll()
    poll.register(own, select.POLLIN)
    return bool(poll.poll(0))


def _watch(read_end: int) -> None:
    from threading import Thread

    def wait() -> None:
        while os.read(read_end, 1):
            pass
        os._exit(1)

    Thread(target=wait, name="dovetail-lifeline", daemon=True).start()
