"""A board for systems without epoll and fork: threads read, and a socket wakes the event loop.

A process is started by `subprocess`, told in its environment where to connect, and talks over the loopback interface;
it ends when its standard input does. Nothing here needs a POSIX system.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, BinaryIO

from dovetail.local._link import Board, Ending, Link, Source
from dovetail.worker.main import CONNECT_VARIABLE, ENTRY

__all__ = ["ThreadBoard", "ThreadLink"]

_READ = 1 << 16
_ACCEPT_SECONDS = 0.5
_DRAIN_SECONDS = 2.0
_TOKEN_SECONDS = 10.0
_TOKEN_BYTES = 16
_SIGTERM = 15


class ThreadLink(Link):
    """A process with a connection and two pipes, each read by a thread."""

    prompt = False

    def __init__(self, board: ThreadBoard, owner: Any, process: subprocess.Popen[bytes]) -> None:
        self._board = board
        self.owner = owner
        self.pid = process.pid
        self.process = process
        self._outgoing: SimpleQueue[Iterable[bytes] | None] = SimpleQueue()
        self._control: socket.socket | None = None
        self._open = 3 if process.stdout is not None else 1
        self._ended = threading.Condition()

    def begin(self, listener: socket.socket, token: bytes) -> None:
        """Start the threads."""
        self._thread(self._talk, listener, token)
        for source, stream in ((Source.STDOUT, self.process.stdout), (Source.STDERR, self.process.stderr)):
            if stream is not None:
                self._thread(self._read_stream, source, stream)
        self._thread(self._wait)

    def _thread(self, target: Any, *args: Any) -> None:
        threading.Thread(target=target, args=args, name="dovetail-worker-io", daemon=True).start()

    def _talk(self, listener: socket.socket, token: bytes) -> None:
        with listener:
            control = self._accept(listener, token)
        if control is None:
            self._ended_source()
            return
        control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._control = control
        self._thread(self._write)
        while True:
            try:
                data = control.recv(_READ)
            except OSError:
                data = b""
            if not data:
                break
            self._board.put(self.owner_of, Source.CONTROL, data)
        self._ended_source()

    def _accept(self, listener: socket.socket, token: bytes) -> socket.socket | None:
        """The connection of the process; None when it dies first."""
        listener.settimeout(_ACCEPT_SECONDS)
        while self.process.returncode is None:
            with suppress(OSError):
                control, _ = listener.accept()
                control.settimeout(_TOKEN_SECONDS)
                with suppress(OSError):
                    if control.recv(len(token), socket.MSG_WAITALL) == token:
                        control.settimeout(None)
                        return control
                control.close()  # another program of this machine
        return None

    def owner_of(self) -> Any:
        """Whom the link belongs to when its data is taken in: a process may change hands."""
        return self.owner

    def _write(self) -> None:
        while (chunks := self._outgoing.get()) is not None:
            try:
                for chunk in chunks:
                    assert self._control is not None
                    self._control.sendall(chunk)
            except OSError:
                return

    def _read_stream(self, source: Source, stream: BinaryIO) -> None:
        descriptor = stream.fileno()
        while True:
            try:
                data = os.read(descriptor, _READ)
            except OSError:
                data = b""
            if not data:
                break
            self._board.put(self.owner_of, source, data)
        self._ended_source()

    def _ended_source(self) -> None:
        with self._ended:
            self._open -= 1
            self._ended.notify()

    def _wait(self) -> None:
        code = self.process.wait()
        # What it wrote before it ended is still on its way through the other threads. Something that it started
        # may hold the pipes open for ever, so the patience is bounded.
        with self._ended:
            self._ended.wait_for(lambda: self._open == 0, _DRAIN_SECONDS)
        self._board.put(self.owner_of, Source.EXIT, Ending(code))

    def send(self, chunks: Iterable[bytes]) -> None:
        self._outgoing.put(chunks)

    def drain(self, source: Source) -> bytes:
        return b""  # the threads have it, or will

    def signal(self, number: int) -> None:
        with suppress(OSError):
            if number == _SIGTERM:
                self.process.terminate()
            else:
                self.process.kill()

    def close(self) -> None:
        self._outgoing.put(None)
        if self._control is not None:
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()


class ThreadBoard(Board):
    """See the module."""

    def __init__(self) -> None:
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._found: deque[tuple[Any, Source, Any]] = deque()
        self._links: list[ThreadLink] = []
        self._closed = False

    def fileno(self) -> int:
        return self._wake_read.fileno()

    def put(self, owner_of: Any, source: Source, data: Any) -> None:
        """From the threads."""
        self._found.append((owner_of, source, data))
        with suppress(OSError):
            self._wake_write.send(b"\0")

    def poll(self) -> Iterator[tuple[Any, Source, Any]]:
        if self._closed:
            return
        with suppress(OSError):
            while self._wake_read.recv(4096):
                pass
        while self._found:
            owner_of, source, data = self._found.popleft()
            yield owner_of(), source, data

    def start(self, owner: Any, argv: Sequence[str], env: Mapping[str, str], *, terminal: bool = False) -> ThreadLink:
        listener = socket.create_server(("127.0.0.1", 0))
        token = os.urandom(_TOKEN_BYTES).hex().encode()
        streams = None if terminal else subprocess.PIPE
        process = subprocess.Popen(
            [*argv, "-c", ENTRY, "alone" if terminal else "connect"],
            stdin=None if terminal else subprocess.PIPE,
            stdout=streams,
            stderr=streams,
            env={**env, CONNECT_VARIABLE: f"{listener.getsockname()[1]} {token.decode()}"},
        )
        link = ThreadLink(self, owner, process)
        self._links.append(link)
        link.begin(listener, token)
        return link

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for link in self._links:
            link.signal(9)
            link.close()
        for link in self._links:
            link.process.wait()
            for stream in (link.process.stdout, link.process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        self._wake_read.close()
        self._wake_write.close()
