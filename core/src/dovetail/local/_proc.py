"""What /proc tells of processes. Where there is none, nothing is known and nothing is found."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["children_of", "has_pidfds", "start_time"]


def has_pidfds() -> bool:
    """Whether the kernel (Linux 5.3) has descriptors that tell the end of any process."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True


def start_time(pid: int) -> str:
    """When a process began, in the kernel's ticks since boot: with the id it names one process. Empty: unknown."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def children_of(pid: int) -> list[int]:
    """Processes that a process has started or was handed."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found
