"""`LocalWorkerGroup`: processes of this machine that run task calls beside the driver."""

from __future__ import annotations

import heapq
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.tasks import ErrorReport, Isolation, Next, Sequenced
from dovetail.interfaces.workers import (
    Assignment,
    Described,
    Failed,
    Launch,
    RunFacts,
    WorkerEvent,
    WorkerGroup,
)
from dovetail.local._link import Board, Ending, Link, Source
from dovetail.local._memory import MemoryKills, resident_bytes
from dovetail.local._orphans import GROUP_VARIABLE, Orphans
from dovetail.local._worker import Worker
from dovetail.worker.main import Role
from dovetail.worker.streams import NONCE_LENGTH
from dovetail.worker.wire import Kind, Mode, facts_to_plain, launch_to_plain, pack, ref_to_wire, unpacker

__all__ = ["FORCE_SPAWN", "LocalWorkerGroup"]

FORCE_SPAWN = "DOVETAIL_FORCE_SPAWN"
"""Variable that, set to 1, makes every worker a fresh interpreter and avoids every call that only POSIX has."""
_SIGTERM, _SIGKILL = 15, 9
_SAMPLE_SECONDS = 1.0
_STILLBORN_LIMIT = 3
_SHARED_LENGTH = 8
"""From how many items on it pays to open a sequence once for all children."""


class LocalWorkerGroup(WorkerGroup):
    """Workers that share one imported flow.

    One process, the warm parent, imports the flow, describes it and forks a process for each worker. Where forking
    is unsafe, which the description says, each worker is a fresh interpreter that imports the flow itself. Whatever
    a worker started dies with it; all of them die with the warm parent, and the warm parent with this process.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._portable = os.environ.get(FORCE_SPAWN) == "1" or not sys.platform.startswith("linux")
        self._board: Board = _board(self._portable)
        self._token = os.urandom(8).hex()
        self._env = {**os.environ, **launch.env, GROUP_VARIABLE: self._token}
        self._events: list[WorkerEvent] = []
        self._workers: dict[int, Worker] = {}
        self._last = 0
        self._nexts: dict[bytes, Next] = {}
        self._timers: list[tuple[float, int, Worker]] = []
        self._sampled = 0.0
        self._stillborn = 0
        self._failed = False
        self._closed = False
        self._plain: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._hazards: tuple[str, ...] = ()
        self._unsaved = False
        self._shared_sequence: Sequenced | None = None
        self._held: list[tuple[Worker, int, bool]] | None = None
        self._decoder = unpacker()
        self._spare: Link | None = None
        role = Role.DESCRIBER if self._portable else Role.PARENT
        self._parent: Link | None = self._start_process(self, role)
        self._kills = MemoryKills()
        self._orphans = Orphans(self._token, enabled=not self._portable)

    # -- what the engine calls ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._board.fileno()

    def begin(self, facts: RunFacts) -> None:
        self._facts = facts_to_plain(facts)
        if self._parent is not None and not self._portable and not self._hazards:
            self._parent.send((pack((Kind.BEGIN, self._facts)),))
        if self._unsaved:
            self._held = []
            saver = self._new_worker(Mode.MANY, Isolation.AUTO)
            saver.save_constants(lambda error: self._constants_saved(saver, error))
            self._connect(saver, 0, spawn=False)

    def start(self, isolation: Isolation, *, tasks: int) -> int:
        mode, real = Mode.MANY if tasks != 1 else Mode.ONE, isolation
        spawn = isolation is Isolation.SPAWN or bool(self._hazards) or self._portable
        if isolation is Isolation.THREAD:
            mode = Mode.THREADS
        elif isolation is Isolation.INLINE:
            mode = Mode.TERMINAL if self._launch.terminal else Mode.MANY
            spawn = spawn or self._launch.terminal
            tasks = 0
        elif isolation is Isolation.AUTO:
            real = Isolation.SPAWN if spawn else Isolation.FORK
        worker = self._new_worker(mode, real)
        if isolation is Isolation.FORK and spawn:
            worker.refusal = self._refusal()
        elif self._held is not None:
            self._held.append((worker, tasks, spawn))
        else:
            self._connect(worker, tasks, spawn)
        return worker.number

    def assign(self, worker: int, assignments: Sequence[Assignment]) -> None:
        found = self._workers.get(worker)
        if found is None:
            return
        if found.mode == Mode.ONE and self._parent is not None and not self._hazards and not self._portable:
            for assignment in assignments:
                if assignment.call.inputs.frames:
                    self._share_sequence(assignment.call.inputs.frames[-1].sequence)
        found.assign(assignments)
        if found.refusal is not None and found.mode == Mode.ONE:
            self._exited(found, None)

    def _share_sequence(self, sequence: Sequenced) -> None:
        """Let the warm parent open a sequence before it forks those that read from it."""
        if sequence is self._shared_sequence:
            return
        self._shared_sequence = sequence
        if sequence.length >= _SHARED_LENGTH and self._parent is not None:
            self._parent.send((pack((Kind.SEQUENCE, ref_to_wire(sequence.ref))),))

    def finish(self, worker: int) -> None:
        found = self._workers.get(worker)
        if found is None:
            return
        if found.refusal is not None:
            self._exited(found, None)
        else:
            found.finish()

    def kill(self, worker: int, *, grace: float) -> None:
        found = self._workers.get(worker)
        if found is None:
            return
        found.killed = True
        if found.link is None:  # held back, or refused
            self._held = None if self._held is None else [held for held in self._held if held[0] is not found]
            self._exited(found, None)
            return
        found.strays = self._orphans.outside_group(found.pid)
        if grace <= 0:
            self._signal(found, _SIGKILL)
        else:
            self._signal(found, _SIGTERM)
            heapq.heappush(self._timers, (time.monotonic() + grace, worker, found))

    def next_wake(self) -> float | None:
        wakes = []
        if self._timers:
            wakes.append(self._timers[0][0])
        if any(worker.pid for worker in self._workers.values()):
            wakes.append(self._sampled + _SAMPLE_SECONDS)
        if self._portable:
            wakes += [wake for worker in self._workers.values() if (wake := worker.settle()) is not None]
        if self._events:
            wakes.append(0.0)
        return min(wakes, default=None)

    def read(self) -> list[WorkerEvent]:
        for owner, source, data in self._board.poll():
            if owner is self:
                self._on_parent(source, data)
            elif source is Source.EXIT:
                self._exited(owner, data)
            elif owner.number in self._workers:
                owner.on_data(source, data)
        if self._timers or self._workers:
            self._look_at_clock()
        events, self._events = self._events, []
        return events

    def close(self, *, grace: float = 0.0) -> None:
        if self._closed:
            return
        if grace > 0 and self._workers and not self._failed:
            self._ask_to_end(grace)
        self._closed = True
        self._board.close()
        self._orphans.close()
        self._workers.clear()
        self._timers.clear()
        self._events.clear()

    # -- starting -------------------------------------------------------------------------------------------------

    def _new_worker(self, mode: int, isolation: Isolation) -> Worker:
        self._last += 1
        nonce = os.urandom(NONCE_LENGTH)
        worker = Worker(self._last, mode, isolation, nonce, self._nexts, self._events_append)
        self._workers[worker.number] = worker
        return worker

    def _events_append(self, event: WorkerEvent) -> None:
        self._events.append(event)

    def _start_process(self, owner: Any, role: int, *, terminal: bool = False) -> Link:
        launch = self._launch
        link = self._board.start(owner, launch.python, self._env, terminal=terminal)
        link.send((pack((Kind.LAUNCH, launch_to_plain(launch), role)),))
        return link

    def _connect(self, worker: Worker, tasks: int, spawn: bool) -> None:
        if self._failed:
            self._exited(worker, None)
            return
        if not spawn and not self._hazards and not self._portable:
            from dovetail.local._epoll_board import EpollBoard, EpollLink

            assert isinstance(self._board, EpollBoard)
            assert isinstance(self._parent, EpollLink)
            link, passed = self._board.fork_link(worker)
            request = pack((Kind.FORK, worker.number, worker.mode, tasks, worker.nonce))
            self._parent.send_with((request,), passed)
            worker.connect(link, spawned=False)
            return
        process = self._spare if worker.mode != Mode.TERMINAL else None
        if process is None:
            process = self._start_process(worker, Role.WORKER, terminal=worker.mode == Mode.TERMINAL)
        else:
            self._spare = None
            process.owner = worker
        first = pack((Kind.SERVE, worker.mode, tasks, worker.nonce, self._plain, self._facts))
        worker.connect(process, spawned=True, first=first)

    def _refusal(self) -> ErrorReport:
        return ErrorReport(
            type="",
            message=f"the flow can't be forked: {'; '.join(self._hazards)}. Use isolation auto or spawn",
            kind="start",
        )

    def _constants_saved(self, saver: Worker, error: dict[str, Any] | None) -> None:
        saver.finish()
        if error is not None:
            self._fail(ErrorReport.from_plain(error))
            return
        held, self._held = self._held or [], None
        for worker, tasks, spawn in held:
            self._connect(worker, tasks, spawn)

    # -- the process that imported --------------------------------------------------------------------------------

    def _on_parent(self, source: Source, data: Any) -> None:
        if source is Source.CONTROL:
            self._decoder.feed(data)
            for message in self._decoder:
                self._on_parent_message(message)
        elif source is Source.EXIT:
            self._on_parent_exit(data)
        elif data:
            self._events.append(_import_output(source, data))

    def _on_parent_message(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == Kind.REAPED:
            _, number, status, cpu, memory = message
            worker = self._workers.get(number)
            if worker is not None:
                self._exited(worker, Ending(os.waitstatus_to_exitcode(status), cpu, memory))
        elif kind == Kind.NOT_FORKED:
            worker = self._workers.get(message[1])
            if worker is not None:
                self._exited(worker, None)
        elif kind == Kind.DESCRIBED:
            self._plain = message[1]
            flow = FlowDescription.from_plain(self._plain)
            self._hazards = flow.fork_hazards
            self._unsaved = any(ref.get("object") == "" for ref in flow.constants.values())
            if self._portable:
                self._spare = self._parent
            self._events.append(Described(flow))
        elif kind == Kind.FAILED:
            self._fail(ErrorReport.from_plain(message[1]))

    def _on_parent_exit(self, ending: Ending) -> None:
        parent = self._parent
        if parent is None:
            return
        for source in (Source.CONTROL, Source.STDOUT, Source.STDERR):
            data = parent.drain(source)
            if data:
                self._on_parent(source, data)
        parent.close()
        self._parent = None
        self._spare = None
        if self._hazards or self._failed:  # it has nothing left to do
            return
        how = f"killed by signal {-ending.code}" if ending.code < 0 else f"exited with code {ending.code}"
        message = (
            f"the process that imports the flow was {how}"
            if ending.code < 0
            else (f"the process that imports the flow {how}")
        )
        self._fail(ErrorReport(type="", message=message, kind="lost" if self._plain else "start"))

    def _fail(self, error: ErrorReport) -> None:
        """No worker of the group lives."""
        if self._failed:
            return
        self._failed = True
        self._held = None
        for worker in list(self._workers.values()):
            if worker.spawned:
                self._signal(worker, _SIGKILL)
            self._exited(worker, None)
        self._events.append(Failed(error))

    # -- the end of workers ---------------------------------------------------------------------------------------

    def _exited(self, worker: Worker, ending: Ending | None) -> None:
        if self._workers.pop(worker.number, None) is None:
            return
        by_kernel = ending is not None and ending.code == -_SIGKILL and not worker.killed
        lost = False
        if worker.begun or worker.killed:
            self._stillborn = 0
        elif worker.refusal is None:
            self._stillborn += 1
            lost = self._stillborn >= _STILLBORN_LIMIT
        worker.on_exit(ending, out_of_memory=by_kernel and self._kills.rose(), unstarted_is_lost=lost)
        self._orphans.end(worker.strays)

    def _signal(self, worker: Worker, number: int) -> None:
        if worker.spawned:
            assert worker.link is not None
            worker.link.signal(number)
        elif self._parent is not None:
            self._parent.send((pack((Kind.KILL, worker.number, number)),))

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._portable:
            for worker in list(self._workers.values()):
                worker.settle(now=now)
        while self._timers and self._timers[0][0] <= now:
            _, number, worker = heapq.heappop(self._timers)
            if number in self._workers:
                worker.strays += self._orphans.outside_group(worker.pid)
                self._signal(worker, _SIGKILL)
        if now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            self._kills.look()
            for worker in self._workers.values():
                if worker.pid:
                    worker.last_memory = resident_bytes(worker.pid) or worker.last_memory

    def _ask_to_end(self, grace: float) -> None:
        import select

        for number in list(self._workers):
            self.kill(number, grace=grace)
        deadline = time.monotonic() + grace
        while self._workers and (left := deadline - time.monotonic()) > 0:
            select.select([self.fileno()], [], [], min(left, 0.1))
            self.read()


def _board(portable: bool) -> Board:
    if portable:
        from dovetail.local._thread_board import ThreadBoard

        return ThreadBoard()
    from dovetail.local._epoll_board import EpollBoard

    return EpollBoard()


def _import_output(source: Source, data: bytes) -> WorkerEvent:
    from dovetail.interfaces.workers import Output

    return Output(0, "", 0, "stdout" if source is Source.STDOUT else "stderr", time.time(), data)
