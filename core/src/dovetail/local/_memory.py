"""What the kernel tells of memory: resident sizes, and kills for want of it."""

from __future__ import annotations

import os
import time

__all__ = ["MemoryKills", "resident_bytes"]

_FRESH_SECONDS = 10.0


def resident_bytes(pid: int) -> int | None:
    """Resident size of a process, or None when it is gone or the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError, AttributeError):
        return None


class MemoryKills:
    """The counter of memory kills of this process's own control group, which its workers share."""

    def __init__(self) -> None:
        self._file = _counter_file()
        self._seen = self._count()
        self._unclaimed: list[float] = []

    def look(self) -> None:
        """Notice new kills. One that no ended worker claims within seconds was of something that a worker started."""
        if not self._file:
            return
        count = self._count()
        now = time.monotonic()
        self._unclaimed = [at for at in self._unclaimed if now - at < _FRESH_SECONDS]
        self._unclaimed += [now] * (count - self._seen)
        self._seen = max(self._seen, count)

    def rose(self) -> bool:
        """Whether a kill was counted that no other worker's end accounts for; claims it."""
        self.look()
        if not self._unclaimed:
            return False
        self._unclaimed.pop(0)
        return True

    def _count(self) -> int:
        if not self._file:
            return 0
        try:
            with open(self._file) as file:
                for line in file:
                    name, _, value = line.partition(" ")
                    if name == "oom_kill":
                        return int(value)
        except (OSError, ValueError):
            return 0
        return 0


def _counter_file() -> str:
    """`memory.events` (cgroup v2) or `memory.oom_control` (v1) of this process's group; empty: there is none."""
    try:
        with open("/proc/self/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    candidates = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            # Inside a container the path may be the host's, and the group is mounted at the root.
            candidates += [
                f"/sys/fs/cgroup/memory{path}/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control",
            ]
        elif not controllers:
            for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                candidates += [f"{root}{path}/memory.events", f"{root}/memory.events"]
    candidates.sort(key=lambda path: "unified" in path)
    return next((path for path in candidates if os.path.isfile(path)), "")
