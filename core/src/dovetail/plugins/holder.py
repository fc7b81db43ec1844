"""Which process holds a lease, and whether it is known to be dead."""

from __future__ import annotations

import os
from functools import lru_cache

from dovetail.interfaces.metadata import Holder

__all__ = ["current_holder", "is_known_dead"]


def current_holder() -> Holder:
    """This process, as a lease names it. A forked child is another holder than its parent."""
    return _holder_of(os.getpid())


@lru_cache(maxsize=4)  # keyed by the process id, so a child never takes its parent's entry
def _holder_of(pid: int) -> Holder:
    return Holder(host=_host(), boot=_boot(), pid=pid, started=_started(pid) or "")


def is_known_dead(holder: Holder) -> bool:
    """Whether `holder` certainly runs no more.

    Only a process of this host and boot (and of this process's pid namespace) can be known to be dead; of all
    others, and where the kernel does not tell, the answer is False.
    """
    pid = os.getpid()
    mine = _holder_of(pid)
    if not mine.boot or (holder.host, holder.boot) != (mine.host, mine.boot) or holder.pid <= 0:
        return False
    if holder.pid == pid:
        return bool(holder.started) and holder.started != mine.started
    if os.name == "nt":
        return False  # os.kill would end the process there, whatever the signal
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it exists and belongs to someone else
    started = _started(holder.pid)
    if started is None or not holder.started:
        return False  # /proc is hidden or missing: it may be the same process or a later one
    return started != holder.started


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks since boot; "" for one that has ended but was not reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold spaces and brackets
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return "" if state in (b"Z", b"X") else started.decode()


@lru_cache(maxsize=1)
def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


@lru_cache(maxsize=1)
def _boot() -> str:
    """Id of the boot and of the pid namespace: process ids mean something only inside both. Empty if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
