"""What an attempt asks the driver, and what comes back, over the connection that brought its assignment."""

from __future__ import annotations

import _thread
import os
import time
from typing import TYPE_CHECKING, Any

from dovetail.worker.wire import Kind, answer_from_plain, new_packer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dovetail.interfaces.workers import Answer
    from dovetail.worker.child import Inbox

__all__ = ["Channel", "Reply"]


_TOGETHER = 64
"""Messages that are sent together at most."""
_PATIENCE = 0.1
"""Seconds after which no more are kept with the first."""


class Reply:
    """An answer that is to come. One thread waits for it, or a function is called with it."""

    __slots__ = ("_lock", "answer", "on_answer")

    def __init__(self, on_answer: Callable[[Answer], None] | None = None) -> None:
        self.answer: Answer | None = None
        self.on_answer = on_answer
        """Called instead of waking somebody, on the thread that reads."""
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def give(self, answer: Answer) -> None:
        """Hand over the answer."""
        if self.on_answer is not None:
            self.on_answer(answer)
            return
        self.answer = answer
        self._lock.release()

    def wait(self) -> Answer:
        """The answer, once another thread has read it."""
        self._lock.acquire()
        return self.take()

    def take(self) -> Answer:
        """The answer, which is there; the next one may come."""
        answer, self.answer = self.answer, None
        assert answer is not None
        self._lock.acquire(False)
        return answer


class Channel:
    """Calls of all attempts of this process. Thread-safe.

    While there is one thread that waits, it reads for itself. As soon as a second one waits, or answers may come for
    nobody who waits, a thread of its own does (`read_always`). Where the main thread of the process reads all the time
    anyhow, that one does.

    Args:
        connection: To the driver.
        inbox: Takes what is no answer: further assignments. None: the main thread reads, and gives answers to `take`.
    """

    def __init__(self, connection: socket.socket, inbox: Inbox | None) -> None:
        self._connection = connection
        self._inbox = inbox
        self._sending = _thread.allocate_lock()
        self._unsent: list[bytes] = []
        self._unsent_since = 0.0
        self._reading = _thread.allocate_lock()
        self._packer = new_packer()
        self._replies: dict[int, Reply] = {}
        self._numbers = iter(range(1, 1 << 62))
        self._always = inbox is None
        self._beginning = _thread.allocate_lock()

    def number(self) -> int:
        """A number for a call."""
        return next(self._numbers)

    def send(self, *message: object) -> None:
        """Send a message whole."""
        with self._sending:
            if self._unsent:
                self._unsent.append(self._packer(message))
                self._send_unsent()
            else:
                self._connection.sendall(self._packer(message))

    def send_later(self, *message: object) -> None:
        """Send a message that nobody waits for along with others, ahead of the next one at the latest."""
        with self._sending:
            now = time.monotonic()
            if not self._unsent:
                self._unsent_since = now
            self._unsent.append(self._packer(message))
            if len(self._unsent) >= _TOGETHER or now > self._unsent_since + _PATIENCE:
                self._send_unsent()

    def flush(self) -> None:
        """Send what `send_later` kept."""
        with self._sending:
            if self._unsent:
                self._send_unsent()

    def _send_unsent(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        self._connection.sendall(data)

    def expect(self, number: int, reply: Reply) -> None:
        """Have the answers of a call go to `reply`; before it is sent."""
        self._replies[number] = reply

    def forget(self, number: int) -> None:
        """Expect no further answer of a call."""
        self._replies.pop(number, None)

    def wait(self, reply: Reply) -> Answer:
        """The answer of a reply that is expected."""
        if not self._always:
            if self._reading.acquire(False):
                try:
                    while reply.answer is None:
                        self._read()
                    return reply.take()
                finally:
                    self._reading.release()
            self.read_always()  # the thread that reads goes when it has its own answer
        return reply.wait()

    def read_always(self) -> None:
        """Have a thread read from now on: answers may come for several threads, or for none."""
        with self._beginning:
            begun, self._always = self._always, True
        if begun:
            return
        assert self._inbox is not None
        self._inbox.read_by_thread()
        _thread.start_new_thread(self._read_forever, ())

    def take(self, message: list[Any]) -> None:
        """Give an answer to whom it is for."""
        answer = answer_from_plain(message)
        reply = self._replies.get(answer.number)
        if reply is not None:
            reply.give(answer)

    def _read_forever(self) -> None:
        with self._reading:
            while True:
                self._read()

    def _read(self) -> None:
        assert self._inbox is not None
        messages = self._inbox.read()
        if messages is None:
            self._gone()
            return
        for message in messages:
            if message[0] == Kind.ANSWER:
                self.take(message)
            else:
                self._inbox.take(message)

    def _gone(self) -> None:
        """The driver is gone: end this process, nobody would keep what it does."""
        os._exit(1)
