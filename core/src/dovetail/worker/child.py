"""Serves assignments in a process that has imported the flow: a forked child or a fresh interpreter."""

from __future__ import annotations

import atexit
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from dovetail.worker.assignments import AssignmentReader, Task
from dovetail.worker.streams import mark
from dovetail.worker.wire import Kind, Mode, outcome_to_plain, pack, unpacker

if TYPE_CHECKING:
    import socket

    from dovetail.worker.execute import Executor

__all__ = ["Inbox", "flush", "leave", "serve", "write_mark"]

_READ = 1 << 16
"""Bytes read at once; larger buffers are mapped anew by malloc each time."""


def serve(
    connection: socket.socket,
    executor: Executor,
    mode: int,
    tasks: int,
    nonce: bytes,
    *,
    decoder: Any = None,
    inbox: Inbox | None = None,
) -> int:
    """Run assignments until the driver wants no more.

    Args:
        connection: To the driver.
        executor: Runs one attempt.
        mode: One of `Mode`.
        tasks: How many tasks end this process; 0: none does.
        nonce: Of the marks in the logs.
        decoder: Holds what was read from the connection already.
        inbox: One that was made before; a forked child saves the making.

    Returns:
        The exit code that the process should have.
    """
    if mode == Mode.THREADS:
        from dovetail.worker.threads import serve_threads

        return serve_threads(connection, executor, decoder)
    inbox = inbox or Inbox()
    inbox.begin(connection, executor, decoder)
    executor.connect(connection, inbox)
    left = tasks or -1
    code = 0
    following = 0
    while left:
        if following == 0:
            if not inbox.wait():
                break
            connection.sendall(pack((Kind.STARTED, os.getpid(), inbox.queue[0].seq)))
        task = inbox.queue.popleft()
        outcome, code = executor.run(task, own_process=mode == Mode.ONE)
        left -= 1
        following = inbox.queue[0].seq if inbox.queue and left else 0
        data = pack(outcome_to_plain(task.seq, following, outcome))
        flush()
        if mode == Mode.MANY:
            write_mark(mark(nonce, task.seq))
        connection.sendall(data)
    return code if mode == Mode.ONE else 0


class Inbox:
    """Assignments that came in."""

    _connection: socket.socket
    _executor: Executor

    def __init__(self) -> None:
        self.queue: deque[Task] = deque()
        self._decoder = unpacker()
        self._reader = AssignmentReader()
        self._finished = False
        self._arrived: Any = None

    def begin(self, connection: socket.socket, executor: Executor, decoder: Any) -> None:
        """Say where they come from, and who answers what is not one; take what was read already."""
        self._connection = connection
        self._executor = executor
        if decoder is not None:
            self._decoder = decoder
            for message in decoder:
                self.take(message)

    def wait(self) -> bool:
        """Block until there is an assignment; False when there will be none."""
        while not self.queue:
            if self._finished:
                return False
            if self._arrived is not None:
                self._arrived.acquire()
                continue
            messages = self.read()
            if messages is None:
                return False
            for message in messages:
                self.take(message)
        return True

    def read(self) -> list[list[Any]] | None:
        """Read once, which may wait: the messages that are whole now; None at the end."""
        data = self._connection.recv(_READ)
        if not data:
            return None
        self._decoder.feed(data)
        return list(self._decoder)

    def read_by_thread(self) -> None:
        """From now on a thread reads and calls `take`; `wait` does not."""
        from _thread import allocate_lock

        self._arrived = allocate_lock()
        self._arrived.acquire()

    def take(self, message: list[Any]) -> None:
        """Handle one message."""
        task = self._reader.read(message)
        if task is not None:
            self.queue.append(task)
        elif message[0] == Kind.FINISH:
            self._finished = True
        elif message[0] == Kind.SAVE:
            error = self._executor.save_constants()
            self._connection.sendall(pack((Kind.SAVED, None if error is None else error.to_plain())))
        self.wake()

    def wake(self) -> None:
        """Have `wait` look again, where a thread reads."""
        if self._arrived is not None and self._arrived.locked():
            self._arrived.release()


def flush() -> None:
    """Hand what was printed to the kernel."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or replaced by something that can't
            continue


def write_mark(data: bytes) -> None:
    """Write a mark into both logs."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, data)
        except OSError:  # the step closed it
            continue


def leave(code: int) -> NoReturn:
    """End this process as an interpreter does, but without tearing modules down: does not return.

    Threads that are no daemons are waited for and `atexit` callbacks are run, then everything is flushed.
    """
    try:
        threading = sys.modules.get("threading")
        if threading is not None and threading.active_count() > 1:
            threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    flush()
    os._exit(code)
