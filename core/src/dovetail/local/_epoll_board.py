"""A board for Linux: one epoll instance, processes started by posix_spawn(3) and watched by pidfds."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dovetail.local._link import Board, Ending, Link, Source
from dovetail.local._proc import has_pidfds
from dovetail.worker.main import CONTROL, ENTRY, LIFELINE

__all__ = ["EpollBoard", "EpollLink"]

_READ = 1 << 18
_IN = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR if hasattr(select, "epoll") else 0


class EpollLink(Link):
    """A process with a socket and two pipes."""

    __slots__ = ("_board", "_control", "_descriptors", "_exit", "_outbox", "_rest", "_waiting", "owner", "pid")

    def __init__(self, board: EpollBoard, owner: Any, control: socket.socket, streams: tuple[int, int] | None) -> None:
        self._board = board
        self.owner = owner
        self.pid = 0
        self._control = control
        self._exit = -1
        self._outbox: deque[tuple[Iterator[bytes], Sequence[int]]] = deque()
        self._rest: memoryview | None = None
        self._waiting = False
        self._descriptors = {Source.CONTROL: control.fileno()}
        if streams is not None:
            self._descriptors[Source.STDOUT], self._descriptors[Source.STDERR] = streams
        for source, descriptor in self._descriptors.items():
            os.set_blocking(descriptor, False)
            board.watch(descriptor, self, source)

    def watch_exit(self, pid: int) -> None:
        """Wait for a process that this one started."""
        self.pid = pid
        self._exit = os.pidfd_open(pid) if has_pidfds() else _waited_for(pid)
        self._board.watch(self._exit, self, Source.EXIT)

    def send(self, chunks: Iterable[bytes]) -> None:
        self.send_with(chunks, ())

    def send_with(self, chunks: Iterable[bytes], descriptors: Sequence[int]) -> None:
        """Send, and pass descriptors along, which are closed afterwards."""
        if Source.CONTROL not in self._descriptors:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        self._outbox.append((iter(chunks), descriptors))
        if not self._waiting:
            self.flush()

    def flush(self) -> None:
        """Send as much as the process takes now."""
        try:
            while self._rest is not None or self._outbox:
                if self._rest is None:
                    chunks, descriptors = self._outbox[0]
                    chunk = next(chunks, None)
                    if chunk is None:
                        self._outbox.popleft()
                        continue
                    self._rest = memoryview(chunk)
                else:
                    descriptors = self._outbox[0][1] if self._outbox else ()
                if descriptors:
                    sent = socket.send_fds(self._control, [self._rest], list(descriptors))
                    self._outbox[0] = (self._outbox[0][0], ())
                    for descriptor in descriptors:
                        os.close(descriptor)
                else:
                    sent = self._control.send(self._rest)
                self._rest = self._rest[sent:] if sent < len(self._rest) else None
        except BlockingIOError:
            if not self._waiting:
                self._waiting = True
                self._board.modify(self._descriptors[Source.CONTROL], writing=True)
            return
        except OSError:  # the process is gone, which will be told as such
            self._drop()
        if self._waiting and Source.CONTROL in self._descriptors:
            self._waiting = False
            self._board.modify(self._descriptors[Source.CONTROL], writing=False)

    def drain(self, source: Source) -> bytes:
        descriptor = self._descriptors.get(source)
        if descriptor is None:
            return b""
        pieces = []
        while True:
            try:
                data = os.read(descriptor, _READ)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.close_source(source)
                break
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read(self, source: Source) -> bytes | Ending | None:
        """What epoll says is there; None when it was read meanwhile."""
        if source is Source.EXIT:
            return self._reap()
        descriptor = self._descriptors.get(source)
        if descriptor is None:
            return None
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close_source(source)
        return data

    def _reap(self) -> Ending | None:
        if self._exit < 0:
            return None
        # Not reaped yet, so the id can't be anyone else's: what the process left in its group goes now.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:  # reaped by someone else, who knows how it ended
            ending = Ending(0)
        else:
            ending = Ending(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        self._board.forget(self._exit)
        os.close(self._exit)
        self._exit = -1
        return ending

    def signal(self, number: int) -> None:
        if self._exit < 0:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close_source(self, source: Source) -> None:
        """Stop reading one of them."""
        descriptor = self._descriptors.pop(source, None)
        if descriptor is None:
            return
        self._board.forget(descriptor)
        if source is Source.CONTROL:
            self._control.close()
        else:
            os.close(descriptor)

    def close(self) -> None:
        for source in (Source.CONTROL, Source.STDOUT, Source.STDERR):
            self.close_source(source)
        self._drop()

    def _drop(self) -> None:
        self._rest = None
        while self._outbox:
            for descriptor in self._outbox.popleft()[1]:
                os.close(descriptor)


class EpollBoard(Board):
    """See the module."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._links: dict[int, tuple[EpollLink, Source]] = {}
        self._life_read, self._life_write = os.pipe()
        self._closed = False

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch(self, descriptor: int, link: EpollLink, source: Source) -> None:
        """Tell when a descriptor is readable."""
        self._links[descriptor] = (link, source)
        self._epoll.register(descriptor, _IN)

    def modify(self, descriptor: int, *, writing: bool) -> None:
        """Tell also when it is writable."""
        self._epoll.modify(descriptor, _IN | select.EPOLLOUT if writing else _IN)

    def forget(self, descriptor: int) -> None:
        """Before a descriptor is closed."""
        if self._links.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def poll(self) -> Iterator[tuple[Any, Source, Any]]:
        if self._closed:
            return
        for descriptor, events in self._epoll.poll(0):
            known = self._links.get(descriptor)
            if known is None:
                continue
            link, source = known
            if events & select.EPOLLOUT:
                link.flush()
            if events & _IN:
                data = link.read(source)
                if data is not None:
                    yield link.owner, source, data

    def fork_link(self, owner: Any) -> tuple[EpollLink, list[int]]:
        """A link to a process that another one will fork, and the descriptors that this other one must be sent."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        return EpollLink(self, owner, ours, (out_read, err_read)), [theirs.detach(), out_write, err_write]

    def start(self, owner: Any, argv: Sequence[str], env: Mapping[str, str], *, terminal: bool = False) -> EpollLink:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        streams: tuple[int, int] | None = None
        passed = [_high(theirs.detach()), _high(os.dup(self._life_read))]
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_DUP2, passed[0], CONTROL),
            (os.POSIX_SPAWN_DUP2, passed[1], LIFELINE),
        ]
        if not terminal:
            out_read, out_write = os.pipe()
            err_read, err_write = os.pipe()
            streams = (out_read, err_read)
            passed += [_high(out_write), _high(err_write)]
            actions += [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, passed[2], 1),
                (os.POSIX_SPAWN_DUP2, passed[3], 2),
            ]
        link = EpollLink(self, owner, ours, streams)
        try:
            pid = os.posix_spawnp(
                argv[0],
                [*argv, "-c", ENTRY, "inherited"],
                dict(env),
                file_actions=actions,
                setsid=not terminal,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD),
            )
        except BaseException:
            link.close()
            raise
        finally:
            for descriptor in passed:
                os.close(descriptor)
        link.watch_exit(pid)
        return link

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # The kernel kills every process that was started, and all below them.
        os.close(self._life_write)
        os.close(self._life_read)
        for link, source in list(self._links.values()):
            if source is Source.EXIT:
                link.signal(signal.SIGKILL)
                link.read(source)
        for link, _ in list(self._links.values()):
            link.close()
        self._epoll.close()


def _waited_for(pid: int) -> int:
    """What a pidfd is, by a thread: the read end of a pipe that ends with a process. Does not reap it."""
    from threading import Thread

    read, write = os.pipe()

    def wait() -> None:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(write)

    Thread(target=wait, name="dovetail-wait", daemon=True).start()
    return read


def _high(descriptor: int) -> int:
    """The same descriptor under a number that no `dup2` of a starting process overwrites."""
    if descriptor > LIFELINE:
        return descriptor
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    moved = fcntl(descriptor, F_DUPFD_CLOEXEC, LIFELINE + 1)
    os.close(descriptor)
    return moved
