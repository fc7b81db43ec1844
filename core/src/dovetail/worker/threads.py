"""Serves assignments as threads of one process, all at the same time."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from dovetail.worker.assignments import AssignmentReader, Task
from dovetail.worker.thread_streams import Sink, ThreadStream
from dovetail.worker.wire import Kind, outcome_to_plain, pack, unpacker

if TYPE_CHECKING:
    import socket

    from dovetail.interfaces.tasks import TaskOutcome
    from dovetail.worker.execute import Executor

__all__ = ["serve_threads"]


class _Outbox:
    """Sends for all threads; a message is never torn by another."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, *message: object) -> None:
        with self._lock:
            self._connection.sendall(pack(message))

    def send_outcome(self, seq: int, outcome: TaskOutcome) -> None:
        with self._lock:
            self._connection.sendall(pack(outcome_to_plain(seq, 0, outcome)))


class _TaskSink:
    """Output of one task, as messages."""

    def __init__(self, outbox: _Outbox, seq: int) -> None:
        self._outbox = outbox
        self._seq = seq

    def send(self, stream: int, data: bytes) -> None:
        self._outbox.send(Kind.OUTPUT, self._seq, stream, data)


class _Sinks:
    """Whose output a thread writes. A thread that a task started belongs to the only running task, if there is one."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._active: list[Sink] = []

    def begin(self, sink: Sink) -> None:
        self._own.sink = sink
        self._active.append(sink)

    def end(self, sink: Sink) -> None:
        self._own.sink = None
        self._active.remove(sink)

    def __call__(self) -> Sink | None:
        own: Sink | None = getattr(self._own, "sink", None)
        if own is not None:
            return own
        active = self._active
        return active[0] if len(active) == 1 else None


def serve_threads(connection: socket.socket, executor: Executor, decoder: Any) -> int:
    """Run each assignment on a thread of its own until the driver wants no more; waits for all of them."""
    outbox = _Outbox(connection)
    sinks = _Sinks()
    streams = [ThreadStream(0, sinks, sys.stdout), ThreadStream(1, sinks, sys.stderr)]
    sys.stdout, sys.stderr = streams

    def run(task: Task) -> None:
        sink = _TaskSink(outbox, task.seq)
        sinks.begin(sink)
        outbox.send(Kind.STARTED, os.getpid(), task.seq)
        outcome, _ = executor.run(task, thread=True)
        for stream in streams:
            stream.flush()
        sinks.end(sink)
        outbox.send_outcome(task.seq, outcome)

    channel = executor.connect(connection, None).channel()
    decoder = unpacker() if decoder is None else decoder
    reader = AssignmentReader()
    running: set[threading.Thread] = set()
    finished = False
    while not finished:
        for message in decoder:
            task = reader.read(message)
            if task is not None:
                running = {thread for thread in running if thread.is_alive()}
                thread = threading.Thread(target=run, args=(task,), name=f"dovetail-{task.path}", daemon=True)
                running.add(thread)
                thread.start()
            elif message[0] == Kind.ANSWER:
                channel.take(message)
            elif message[0] == Kind.FINISH:
                finished = True
        if not finished:
            data = connection.recv(1 << 18)
            if not data:
                break
            decoder.feed(data)
    for thread in running:
        thread.join()
    return 0
