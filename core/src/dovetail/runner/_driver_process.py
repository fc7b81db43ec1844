"""Driver children of this process: started when a flow is called, kept for the calls that follow."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import socket
import sys
from typing import Final

from dovetail.authoring.calling import caller
from dovetail.interfaces.errors import UnsupportedOperationError

__all__ = ["DriverPool", "DriverProcess", "drivers"]

_CONTROL: Final = 3  # as in `live_driver`, which is not imported here
_ENTRY: Final = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "  # no file of the working directory may pass for a module
    "from dovetail.runner.live_driver import main; main()"
)
KEPT: Final = 4
"""Drivers that are kept without work."""


class DriverProcess:
    """A driver child. It ends when its connection does, so also with this process."""

    def __init__(self) -> None:
        if not hasattr(os, "posix_spawn"):
            raise UnsupportedOperationError(
                f"a flow can't be called on {sys.platform}: its driver can't be handed a connection",
                hint="Run it from a command line: dovetail run FILE.",
            )
        self.connection, theirs = socket.socketpair()
        passed = _high(theirs.detach())
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-c", _ENTRY],
                dict(os.environ),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, passed, _CONTROL),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,  # Ctrl-C is for the caller, who tells it
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD),
            )
        except BaseException:
            self.connection.close()
            raise
        finally:
            os.close(passed)

    def is_alive(self) -> bool:
        """Whether it can be given work: it says nothing of its own accord, so anything to read is its end."""
        try:
            self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Have it end."""
        self.connection.close()


class DriverPool:
    """The driver children of this process: one for each run that goes on, some kept. Thread-safe."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._idle: list[DriverProcess] = []
        self._busy: set[DriverProcess] = set()
        self._ended: list[int] = []

    def prepare(self) -> None:
        """Start a driver for a run that is to come."""
        with self._lock:
            if not self._idle:
                self._idle.append(DriverProcess())

    def take(self) -> DriverProcess:
        """A driver for one run."""
        with self._lock:
            self._reap()
            while self._idle:
                driver = self._idle.pop()
                if driver.is_alive():
                    break
                self._end(driver)
            else:
                driver = DriverProcess()
            self._busy.add(driver)
        return driver

    def give_back(self, driver: DriverProcess, *, usable: bool) -> None:
        """The run is over."""
        with self._lock:
            self._busy.discard(driver)
            if usable and len(self._idle) < KEPT:
                self._idle.append(driver)
            else:
                self._end(driver)

    def close(self) -> None:
        """End those that have nothing to do."""
        with self._lock:
            while self._idle:
                self._end(self._idle.pop())

    def forget(self) -> None:
        """In a forked child: these belong to the parent, and must see its end as theirs."""
        self._lock = _thread.allocate_lock()
        for driver in (*self._idle, *self._busy):
            driver.connection.close()
        self._idle.clear()
        self._busy.clear()
        self._ended.clear()
        caller.reset()

    def _end(self, driver: DriverProcess) -> None:
        driver.close()
        self._ended.append(driver.pid)

    def _reap(self) -> None:
        for pid in list(self._ended):
            try:
                done, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # somebody else reaped it
                done = pid
            if done:
                self._ended.remove(pid)


drivers = DriverPool()
"""Those of this process."""
atexit.register(drivers.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=drivers.forget)


def _high(descriptor: int) -> int:
    """The same descriptor under a number that no `dup2` of a starting process overwrites."""
    if descriptor > _CONTROL:
        return descriptor
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    moved = fcntl(descriptor, F_DUPFD_CLOEXEC, _CONTROL + 1)
    os.close(descriptor)
    return moved
