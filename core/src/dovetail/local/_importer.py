"""The process that imports a flow, seen from the driver: describes it, then forks workers where it may."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.tasks import ErrorReport, Sequenced
from dovetail.interfaces.workers import Launch, RunFacts
from dovetail.local._link import Board, Ending, Link, Source
from dovetail.local._worker import Worker
from dovetail.worker.main import Role
from dovetail.worker.wire import Kind, Mode, facts_to_plain, launch_to_plain, pack, ref_to_wire, unpacker

__all__ = ["Importer", "Listener"]

_SHARED_LENGTH = 8
"""From how many items on it pays to open a sequence once for all children."""


class Listener:
    """What an importer tells, set by whoever owns it."""

    described: Callable[[FlowDescription], None]
    """The flow was imported."""
    checked: Callable[[tuple[tuple[str, str], ...]], None]
    """Values of parameters were looked at: (parameter, what is wrong) of each wrong one."""
    failed: Callable[[ErrorReport], None]
    """It can't be, or the process died."""
    reaped: Callable[[int, Ending], None]
    """A forked worker ended."""
    not_forked: Callable[[int, str], None]
    """A worker could not be forked, and why."""
    printed: Callable[[str, bytes], None]
    """The import wrote something: stream, bytes."""


class Importer:
    """Starts processes for workers: forked from the one that imported the flow, or fresh ones.

    Args:
        board: What waits for the processes.
        launch: What to import.
        env: All variables of every process.
        portable: Whether to do without fork.
        listener: Told what happens.
    """

    def __init__(
        self, board: Board, launch: Launch, env: Mapping[str, str], *, portable: bool, listener: Listener
    ) -> None:
        self._board = board
        self._launch = launch
        self._env = env
        self._portable = portable
        self._listener = listener
        self._decoder = unpacker()
        self._plain: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._shared: Sequenced | None = None
        self._is_over = False
        self._is_asked = False
        self.hazards: tuple[str, ...] = ()
        """Why children can't be forked."""
        self._process: Link | None = self._start(self, Role.DESCRIBER if portable else Role.PARENT)
        self._spare: Link | None = None

    @property
    def can_fork(self) -> bool:
        """Whether workers can be forked."""
        return self._process is not None and not self.hazards and not self._portable

    @property
    def pid(self) -> int:
        """The process's id; 0 when it is gone."""
        return self._process.pid if self._process is not None else 0

    # -- what is asked of it --------------------------------------------------------------------------------------

    def begin(self, facts: RunFacts) -> None:
        """Tell the facts of the run."""
        self._facts = facts_to_plain(facts)
        if not self._portable:
            self._send(Kind.BEGIN, self._facts)  # one that can't be forked ends now

    def check(self, values: str) -> bool:
        """Have values of parameters looked at, given as JSON text; False when the process is gone."""
        self._is_asked = self._process is not None
        self._send(Kind.CHECK, values)
        return self._is_asked

    def fork(self, worker: Worker, tasks: int) -> None:
        """Have a worker forked."""
        from dovetail.local._epoll_board import EpollBoard, EpollLink

        assert isinstance(self._board, EpollBoard)
        assert isinstance(self._process, EpollLink)
        link, passed = self._board.fork_link(worker)
        request = pack((Kind.FORK, worker.number, worker.mode, tasks, worker.nonce))
        self._process.send_with((request,), passed)
        worker.connect(link, spawned=False)

    def spawn(self, worker: Worker, tasks: int) -> None:
        """Start a fresh interpreter for a worker, or take the one that described the flow and has nothing to do."""
        on_terminal = worker.mode == Mode.TERMINAL
        process = None if on_terminal else self._spare
        if process is None:
            process = self._start(worker, Role.WORKER, terminal=on_terminal)
        else:
            self._spare = None
            process.owner = worker
        serve = pack((Kind.SERVE, worker.mode, tasks, worker.nonce, self._plain, self._facts))
        worker.connect(process, spawned=True, first=serve)

    def share(self, sequence: Sequenced) -> None:
        """Open a sequence before those are forked that read from it."""
        if sequence is not self._shared:
            self._shared = sequence
            if sequence.length >= _SHARED_LENGTH:
                self._send(Kind.SEQUENCE, ref_to_wire(sequence.ref))

    def signal(self, worker: Worker, number: int) -> None:
        """Send a signal to a worker and its group. A forked one's id is safe to use only where it is reaped."""
        if not worker.spawned:
            self._send(Kind.KILL, worker.number, number)
        elif worker.link is not None:
            worker.link.signal(number)

    def _send(self, *message: object) -> None:
        if self._process is not None:
            self._process.send((pack(message),))

    def _start(self, owner: object, role: int, *, terminal: bool = False) -> Link:
        link = self._board.start(owner, self._launch.python, self._env, terminal=terminal)
        link.send((pack((Kind.LAUNCH, launch_to_plain(self._launch), role)),))
        return link

    # -- what it tells --------------------------------------------------------------------------------------------

    def on_data(self, source: Source, data: Any) -> None:
        """Take in what was read from the process."""
        if source is Source.EXIT:
            self._on_exit(data)
        elif source is Source.CONTROL:
            self._decoder.feed(data)
            for message in self._decoder:
                self._on_message(message)
        elif data:
            self._listener.printed("stdout" if source is Source.STDOUT else "stderr", data)

    def _on_message(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == Kind.REAPED:
            _, number, status, cpu, memory = message
            self._listener.reaped(number, Ending(os.waitstatus_to_exitcode(status), cpu, memory))
        elif kind == Kind.NOT_FORKED:
            self._listener.not_forked(message[1], message[2])
        elif kind == Kind.DESCRIBED:
            self._plain = message[1]
            flow = FlowDescription.from_plain(self._plain)
            self.hazards = flow.fork_hazards
            if self._portable:
                self._spare = self._process
            self._listener.described(flow)
        elif kind == Kind.CHECKED:
            self._is_asked = False
            self._listener.checked(tuple((name, text) for name, text in message[1]))
        elif kind == Kind.FAILED:
            self._is_over = True
            self._listener.failed(ErrorReport.from_plain(message[1]))

    def _on_exit(self, ending: Ending) -> None:
        process = self._process
        if process is None:
            return
        for source in (Source.CONTROL, Source.STDOUT, Source.STDERR):
            data = process.drain(source)
            if data:
                self.on_data(source, data)
        process.close()
        self._process = self._spare = None
        if (self.hazards and not self._is_asked) or self._is_over:  # it had nothing left to do
            return
        self._is_over = True
        how = f"was killed by {_signal_name(-ending.code)}" if ending.code < 0 else f"exited with code {ending.code}"
        kind = "lost" if self._plain else "start"
        self._listener.failed(ErrorReport(type="", message=f"the process that imports the flow {how}", kind=kind))


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
