"""Run a command and say what it cost (Linux, standard library only).

A measurement is one whole command, from spawn to exit:

* `wall`: seconds, spawn to exit of the command itself;
* `cpu`: user and system seconds of the command and of every descendant (orphans are re-parented to this process, a
  child subreaper, and reaped too);
* `rss`: the largest resident set of any one of its processes, MiB;
* `others`: cores that processes outside of the run kept busy meanwhile. Near 0 the wall time is that of a quiet
  machine; above 0.5 trust processor seconds and ratios;
* `pss`: the largest sampled sum of proportional set sizes over the live tree, MiB, only where asked;
* `peak`: the largest resident set of the command's own process (of Dovetail: the driver), MiB, only where asked;
* `cpu_driver`, `cpu_parent`: processor seconds of the command's own process and of its busiest child (of Dovetail: the
  warm parent, forking included), without those of their children; what is left of `cpu` is the tasks'. Only where
  asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LINGER_SECONDS = 30.0
NICE = int(os.environ.get("BENCH_NICE", "0"))


@dataclass(slots=True, kw_only=True)
class Measured:
    """What one command cost and printed."""

    exit: int
    """Exit code; negative for a signal."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Name → figure, as above; more are added by whoever measures."""
    output: str = ""
    """Standard output and standard error."""

    def marks(self) -> dict[str, float]:
        """Numbers that the program printed as `MARK name value`."""
        return {name: float(value) for name, value in re.findall(r"MARK (\w+) ([\d.e+-]+)", self.output)}


def become_subreaper() -> None:
    """Let orphans of measured commands come to this process, so that their processor time is counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path,
    timeout: float = 900,
    pss_every: float | None = None,
    watch_every: float | None = None,
) -> Measured:
    """Run one command and wait for it and for everything that it left behind.

    Args:
        command: Program and arguments.
        env: Variables added to this process's own.
        cwd: Working directory.
        timeout: Seconds after which the whole tree is killed.
        pss_every: Sample the tree's proportional set size at this interval, seconds. Costs processor time.
        watch_every: Sample the command's own memory, and where processor time goes, at this interval, seconds.
    """
    before = set(_children().get(os.getpid(), ()))
    busy, started = _busy_seconds(), time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_renice if NICE else None,
        )
        timer = threading.Timer(timeout, _kill_tree, [process.pid])
        timer.daemon = True
        timer.start()
        sampler = _Sampler(process.pid, before, pss_every, watch_every) if pss_every or watch_every else None
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: leave nothing running
            _kill_tree(process.pid)
            raise
        wall = time.monotonic() - started
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        late_cpu, late_rss = _reap_orphans(before)
        if sampler:
            sampler.stop()
        out.seek(0)
        output = out.read().decode(errors="replace")
    cpu = usage.ru_utime + usage.ru_stime + late_cpu
    elapsed = time.monotonic() - started
    measured = Measured(exit=process.returncode, output=output)
    measured.numbers = {
        "wall": wall,
        "cpu": cpu,
        "rss": max(usage.ru_maxrss, late_rss) / 1024,
        "others": max(0.0, _busy_seconds() - busy - cpu) / max(elapsed, 1e-9),
    }
    if sampler and pss_every:
        measured.numbers["pss"] = sampler.pss / 1024
        measured.numbers["processes"] = sampler.processes
    if sampler and watch_every:
        measured.numbers["peak"] = sampler.peak / 1024
        measured.numbers["cpu_driver"] = sampler.cpu
        measured.numbers["cpu_parent"] = max(sampler.cpu_of_children.values(), default=0.0)
    return measured


def disk(folder: Path) -> dict[str, float]:
    """Files below a folder, their bytes, and the bytes allocated for them."""
    files = size = allocated = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(parent, name))
                files, size, allocated = files + 1, size + status.st_size, allocated + status.st_blocks * 512
    return {"files": files, "bytes": size, "allocated": allocated}


def descendants(root: int) -> list[int]:
    """Every live process below one, children before grandchildren."""
    children, found, todo = _children(), [], [root]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.append(child)
            todo.append(child)
    return found


def _renice() -> None:
    """Set the priority of the session that a command begins; the kernel schedules sessions as groups."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
        group.write(str(NICE))


class _Sampler(threading.Thread):
    """Watches the tree of a command from a thread."""

    def __init__(self, root: int, before: set[int], pss_every: float | None, watch_every: float | None) -> None:
        super().__init__(daemon=True)
        self._root, self._before = root, before
        self._pss, self._interval = pss_every is not None, pss_every or watch_every or 1.0
        self._done = threading.Event()
        self.pss = self.peak = self.processes = 0
        self.cpu = 0.0
        self.cpu_of_children: dict[int, float] = {}
        self.start()

    def run(self) -> None:
        while not self._done.wait(self._interval):
            self.peak = max(self.peak, _field(self._root, "status", "VmHWM:"))
            self.cpu = max(self.cpu, _own_cpu(self._root))
            for child in _children_of(self._root):
                self.cpu_of_children[child] = max(self.cpu_of_children.get(child, 0.0), _own_cpu(child))
            if self._pss:
                mine = [child for child in _children().get(os.getpid(), ()) if child not in self._before]
                tree = [process for child in mine for process in (child, *descendants(child))]
                self.pss = max(self.pss, sum(_field(process, "smaps_rollup", "Pss:") for process in tree))
                self.processes = max(self.processes, len(tree))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _field(process: int, file: str, name: str) -> int:
    """A figure in KiB from a process's files; 0 once it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/{file}") as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def _own_cpu(process: int) -> float:
    """Processor seconds of a process without its children; 0 once it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
        line = file.read()
        user, system = line[line.rindex(")") + 2 :].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _children_of(process: int) -> list[int]:
    """Children of a process's main thread; none where the kernel does not list them."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/task/{process}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


def _children() -> dict[int, list[int]]:
    """Parent → children, of every process."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat") as file:
                line = file.read()
                found.setdefault(int(line[line.rindex(")") + 2 :].split()[1]), []).append(int(name))
    return found


def _busy_seconds() -> float:
    """Processor seconds that the whole machine spent since it started, steal included."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _kill_tree(root: int) -> None:
    for process in [root, *descendants(root)]:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _reap_orphans(before: set[int]) -> tuple[float, int]:
    """Wait for what a command left behind; its processor seconds and largest resident set."""
    cpu, rss, started = 0.0, 0, time.monotonic()
    while mine := [child for child in _children().get(os.getpid(), ()) if child not in before]:
        for child in mine:
            with contextlib.suppress(ChildProcessError):
                reaped, _, usage = os.wait4(child, os.WNOHANG)
                if reaped:
                    cpu, rss = cpu + usage.ru_utime + usage.ru_stime, max(rss, usage.ru_maxrss)
            if time.monotonic() - started > LINGER_SECONDS:
                _kill_tree(child)
        time.sleep(0.005)
    return cpu, rss
