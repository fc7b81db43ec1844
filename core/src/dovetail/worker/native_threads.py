"""Which libraries the threads of this process belong to, told from their stacks.

A pool that is created inside a library waits in the kernel with that library's return addresses on its stack, so a
look at the stack (`/proc/self/mem`, from the stack pointer in `/proc/self/task/<id>/syscall`) says whose it is. The
thread's name does not: most libraries leave it as it was.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from typing import NamedTuple

__all__ = ["NativeThread", "native_threads"]

_STACK_BYTES = 64 * 1024


class NativeThread(NamedTuple):
    """A thread other than the one that asks."""

    id: int
    """Native id."""
    name: str
    """Its name, at most 15 characters."""
    waits: bool
    """Whether it waits in a system call."""
    libraries: tuple[str, ...]
    """Names of the files whose code is on its stack, the innermost first; empty when it can't be known."""


class _Code:
    """Executable mappings of files."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._names: list[str] = []
        self._stacks: list[tuple[int, int]] = []
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                span, permissions, _, _, _, *path = line.split(None, 5)
                start, end = (int(part, 16) for part in span.split("-"))
                if "x" in permissions and path and path[0].startswith("/"):
                    self._starts.append(start)
                    self._ends.append(end)
                    self._names.append(os.path.basename(path[0].strip()))
                elif "w" in permissions:
                    self._stacks.append((start, end))

    def name_at(self, address: int) -> str | None:
        """The file whose code is at an address."""
        place = bisect_right(self._starts, address) - 1
        return self._names[place] if place >= 0 and address < self._ends[place] else None

    def end_of(self, address: int) -> int:
        """End of the writable mapping around an address."""
        return next((end for start, end in self._stacks if start <= address < end), address)


def native_threads() -> list[NativeThread]:
    """Every thread of this process but the main one."""
    code = _Code()
    return [_look(int(name), code) for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]


def _look(thread: int, code: _Code) -> NativeThread:
    folder = f"/proc/self/task/{thread}"
    try:
        with open(f"{folder}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
        with open(f"{folder}/syscall", encoding="ascii") as file:
            call = file.read().split()
    except OSError:
        return NativeThread(thread, "", False, ())
    if len(call) < 9:  # it runs
        return NativeThread(thread, name, False, ())
    pointer, at = int(call[-2], 16), int(call[-1], 16)
    return NativeThread(thread, name, True, _libraries(pointer, at, code))


def _libraries(pointer: int, at: int, code: _Code) -> tuple[str, ...]:
    length = min(code.end_of(pointer) - pointer, _STACK_BYTES) // 8 * 8
    words = array("Q", [at])
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(pointer)
            words.frombytes(memory.read(length))
    except (OSError, ValueError):
        return ()
    found: dict[str, None] = {}
    for word in words:
        name = code.name_at(word)
        if name is not None:
            found.setdefault(name)
    return tuple(found)
