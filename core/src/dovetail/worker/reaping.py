"""How a warm parent learns that a child has ended, without reaping it yet."""

from __future__ import annotations

import os
import select
import signal
from typing import Protocol

__all__ = ["Reaper", "make_reaper"]


class Reaper(Protocol):
    """Watches children."""

    def watch(self, pid: int) -> None:
        """A child was forked."""
        ...

    def wait(self, control: int) -> tuple[bool, list[int]]:
        """Block until `control` is readable, which is the first of the results, or children have ended; a child is
        told once and stays a zombie until it is waited for."""
        ...

    def leave(self) -> None:
        """In a forked child: let go of everything."""
        ...


def make_reaper() -> Reaper:
    """The best that the kernel has (pidfds since Linux 5.3)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return SignalReaper()
    return PidfdReaper()


class PidfdReaper:
    """By pidfds: no signal handler that a child would have to take down."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._pids: dict[int, int] = {}
        self._control = -1

    def watch(self, pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        self._pids[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)

    def wait(self, control: int) -> tuple[bool, list[int]]:
        if self._control != control:
            self._control = control
            self._poll.register(control, select.POLLIN)
        asked = False
        ended = []
        for descriptor, _ in self._poll.poll():
            if descriptor == control:
                asked = True
                continue
            self._poll.unregister(descriptor)
            os.close(descriptor)
            ended.append(self._pids.pop(descriptor))
        return asked, ended

    def leave(self) -> None:
        for descriptor in self._pids:
            os.close(descriptor)


class SignalReaper:
    """By SIGCHLD and a wake-up pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._told: set[int] = set()
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def watch(self, pid: int) -> None:
        self._told.add(pid)

    def wait(self, control: int) -> tuple[bool, list[int]]:
        ready = select.select([control, self._read], [], [])[0]
        if self._read in ready:
            os.read(self._read, 4096)
        ended = [pid for pid in self._told if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)]
        self._told.difference_update(ended)
        return control in ready, ended

    def leave(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._read)
        os.close(self._write)


def _ignore(number: int, frame: object) -> None:
    """Only the wake-up descriptor matters."""
