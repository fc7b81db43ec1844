"""`CallerGroup`: the process that calls a flow as the worker that runs its body."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from dovetail.interfaces.errors import BackendError
from dovetail.interfaces.tasks import Isolation, Next
from dovetail.interfaces.workers import Answer, Assignment, RunFacts, WorkerEvent, WorkerGroup
from dovetail.local._link import Link, Source
from dovetail.local._worker import Worker
from dovetail.worker.wire import Kind, Mode, facts_to_plain, pack, unpacker

__all__ = ["LATE", "CallerGroup"]

CALLER = 1
"""Number of the caller's process."""
LATE = 2
"""Number of the first worker of the group for processes of their own."""
_HERE = (Isolation.INLINE, Isolation.THREAD)
_READ = 1 << 16


class CallerGroup(WorkerGroup):
    """Attempts that may share a process run at the other end of a socket; a group of its own has the others.

    Args:
        connection: To the caller. Neither made nor closed here.
        late: Starts processes for tasks that must have their own, with numbers from `LATE`; None: there are none.
        interrupted: Called when the caller wants the run to end as interrupted.
    """

    def __init__(
        self, connection: socket.socket, late: WorkerGroup | None = None, *, interrupted: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._interrupted = interrupted
        self._selector = selectors.DefaultSelector()
        self._link = _CallerLink(connection, self._selector)
        self._late = late
        if late is not None:
            self._selector.register(late.fileno(), selectors.EVENT_READ, late)
        self._worker: _CallerWorker | None = None
        self._early: Any = unpacker()
        self._nexts: dict[bytes, Next] = {}
        self._events: list[WorkerEvent] = []
        self._given_up: float | None = None
        self._is_over = False

    # -- what the engine calls ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        selector: Any = self._selector  # epoll and kqueue have a descriptor
        number: int = selector.fileno()
        return number

    def begin(self, facts: RunFacts) -> None:
        self._link.send((pack((Kind.BEGIN, facts_to_plain(facts))),))
        if self._late is not None:
            self._late.begin(facts)

    def start(self, isolation: Isolation, *, tasks: int) -> int:
        if isolation not in _HERE and self._late is not None:
            return self._late.start(isolation, tasks=tasks)
        self._early = None
        self._worker = _CallerWorker(self._nexts, self._events.append, self._on_interrupt)
        self._worker.connect(self._link, spawned=False)
        return CALLER

    def assign(self, worker: int, assignments: Sequence[Assignment]) -> None:
        if worker >= LATE and self._late is not None:
            self._late.assign(worker, assignments)
        elif self._worker is not None:
            self._worker.assign(assignments)

    def answer(self, worker: int, answer: Answer) -> None:
        if worker >= LATE and self._late is not None:
            self._late.answer(worker, answer)
        elif self._worker is not None:
            self._worker.answer(answer)

    def finish(self, worker: int) -> None:
        if worker >= LATE and self._late is not None:
            self._late.finish(worker)

    def kill(self, worker: int, *, grace: float) -> None:
        """The caller's process is asked to leave the body, and given up after `grace`; nothing else can end it."""
        if worker >= LATE and self._late is not None:
            self._late.kill(worker, grace=grace)
            return
        if self._worker is None:
            return
        self._worker.killed = True
        if not self._is_over:
            self._link.send((pack((Kind.CANCEL,)),))
        self._given_up = 0.0 if self._is_over else time.monotonic() + grace

    def next_wake(self) -> float | None:
        wakes = [] if self._given_up is None else [self._given_up]
        if self._events:
            wakes.append(0.0)
        if self._late is not None and (late := self._late.next_wake()) is not None:
            wakes.append(late)
        return min(wakes, default=None)

    def read(self) -> list[WorkerEvent]:
        ready = {key.data for key, _ in self._selector.select(0)}
        if self._link in ready:
            self._link.flush()
            data = self._link.drain(Source.CONTROL)
            if data and self._worker is not None:
                self._worker.on_data(Source.CONTROL, data)
                if self._given_up is not None and self._worker.has_left:
                    self._given_up = 0.0
            elif data and self._early is not None:  # it runs nothing, but it may want the run to end
                self._early.feed(data)
                if any(message[0] == Kind.INTERRUPT for message in self._early):
                    self._on_interrupt()
        late = self._late
        if late is not None and (
            late in ready or ((wake := late.next_wake()) is not None and wake <= time.monotonic())
        ):
            self._events += late.read()
        if self._given_up is not None and self._given_up <= time.monotonic() and self._worker is not None:
            worker, self._worker, self._given_up = self._worker, None, None
            worker.on_exit(None)
        events = self._events[:]
        self._events.clear()
        return events

    def close(self, *, grace: float = 0.0) -> None:
        if self._late is not None:
            self._late.close(grace=grace)
        self._link.send_rest()
        self._selector.close()

    def tell(self, message: bytes) -> None:
        """Send the caller something that no worker is sent."""
        self._link.send((message,))

    def _on_interrupt(self) -> None:
        self._is_over = True
        self._interrupted()


class _CallerWorker(Worker):
    """The caller's process; beside what every worker sends, it may want the run to end."""

    __slots__ = ("_on_interrupt", "has_left")

    def __init__(
        self, nexts: dict[bytes, Next], tell: Callable[[WorkerEvent], None], on_interrupt: Callable[[], None]
    ) -> None:
        super().__init__(CALLER, Mode.TERMINAL, Isolation.INLINE, b"", nexts, tell)
        self._on_interrupt = on_interrupt
        self.has_left = False
        """Whether it left the body as it was asked to; what came of the body says nothing then."""

    def _on_message(self, message: list[Any]) -> None:
        if message[0] == Kind.INTERRUPT:
            self._on_interrupt()
        elif message[0] == Kind.DONE and self.killed:
            self.has_left = True
        else:
            super()._on_message(message)


class _CallerLink(Link):
    """The socket, of which nobody here knows the process."""

    pid = 0

    def __init__(self, connection: socket.socket, selector: selectors.BaseSelector) -> None:
        self._connection = connection
        self._selector = selector
        self._outbox: deque[Iterator[bytes]] = deque()
        self._rest = memoryview(b"")
        self._is_full = False
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, self)

    def send(self, chunks: Iterable[bytes]) -> None:
        self._outbox.append(iter(chunks))
        if not self._is_full:
            self.flush()

    def flush(self) -> None:
        """Send as much as the caller takes now."""
        full = False
        try:
            while self._rest or self._outbox:
                if not self._rest:
                    chunk = next(self._outbox[0], None)
                    if chunk is None:
                        self._outbox.popleft()
                        continue
                    self._rest = memoryview(chunk)
                self._rest = self._rest[self._connection.send(self._rest) :]
        except BlockingIOError:
            full = True
        except OSError:  # it is gone, which the next read tells
            self._rest = memoryview(b"")
            self._outbox.clear()
        if full != self._is_full:
            self._is_full = full
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if full else 0)
            self._selector.modify(self._connection, events, self)

    def send_rest(self) -> None:
        """Send what the caller did not take so far, however long that needs."""
        self._connection.setblocking(True)
        self.flush()

    def drain(self, source: Source) -> bytes:
        if source is not Source.CONTROL:
            return b""
        try:
            data = self._connection.recv(_READ)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            raise BackendError("the process that called the flow, which runs its body, has ended")
        return data

    def signal(self, number: int) -> None:
        """Nothing: it is not ours to end."""

    def close(self) -> None:
        """Nothing: whoever made the socket closes it."""
