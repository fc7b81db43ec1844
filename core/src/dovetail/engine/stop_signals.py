"""Signals that ask a driver to stop."""

from __future__ import annotations

import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["stop_signals"]


@contextmanager
def stop_signals(
    selector: selectors.BaseSelector, interrupted: Callable[[], None], *, leave_sigint: bool
) -> Iterator[None]:
    """Take SIGINT, SIGTERM and SIGHUP as a wish to stop, and wake a selector. Off the main thread: nothing.

    Under nohup the end of the terminal means nothing.

    Args:
        selector: Gets a socket with None as its data, which is readable when a signal came.
        interrupted: Called for each.
        leave_sigint: Whether Ctrl-C is not for the driver: a debugger has the terminal.
    """
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    selector.register(reader, selectors.EVENT_READ, None)
    previous: dict[int, Any] = {}

    def handler(signum: int, frame: object) -> None:
        interrupted()

    try:
        try:
            for caught in _numbers():
                ignored = caught == signal.SIGINT and leave_sigint
                previous[caught] = signal.signal(caught, signal.SIG_IGN if ignored else handler)
            wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        except ValueError:  # not the main thread: signals are somebody else's
            yield
            return
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
        reader.close()
        writer.close()


def _numbers() -> list[signal.Signals]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers
