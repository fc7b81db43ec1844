"""Processes of other processes, as Linux tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["alive", "children", "descendants"]


def children(pid: int) -> list[int]:
    """Child processes of a process that may be dying."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> Iterator[int]:
    """They and theirs."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def alive(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
