"""Ties the life of a process group to that of the process which started it.

The starter holds the write end of a pipe. Each process that it starts opens the read end anew and asks the kernel
for SIGKILL to its whole process group when the last writer is gone (fcntl(2), `F_SETSIG` and `F_SETOWN`), whatever
the process is busy with. Unlike `PR_SET_PDEATHSIG` this reaches grandchildren in the group, is not tied to a thread
and needs no ctypes. Where there is no `F_SETSIG`, a thread waits for the end of the pipe.
"""

from __future__ import annotations

import os

__all__ = ["tie"]

_KILL = 9


def tie(read_end: int, group: int, *, inheritable: bool = False) -> int | None:
    """Die with the writer of a pipe.

    Args:
        read_end: Read end of the starter's pipe, inherited; not closed.
        group: Process group that dies; 0: this process alone.
        inheritable: Whether the tie outlasts the start of another program in this process.

    Returns:
        A descriptor that must stay open, or None.
    """
    try:
        from fcntl import F_SETFL, F_SETOWN, F_SETSIG, fcntl
    except ImportError:
        if not inheritable:
            _watch(read_end)
        return None
    try:
        # A description of its own: owner and signal belong to the description, which a fork shares.
        own = os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if not inheritable:
            _watch(read_end)
        return None
    if inheritable:
        os.set_inheritable(own, True)
    fcntl(own, F_SETOWN, -group if group else os.getpid())
    fcntl(own, F_SETSIG, _KILL)
    fcntl(own, F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    try:
        gone = not os.read(own, 1)  # the writer may have died before the kernel was asked
    except BlockingIOError:
        gone = False
    if gone:
        os._exit(1)
    return own


def _watch(read_end: int) -> None:
    from threading import Thread

    def wait() -> None:
        while os.read(read_end, 1):
            pass
        os._exit(1)

    Thread(target=wait, name="dovetail-lifeline", daemon=True).start()
