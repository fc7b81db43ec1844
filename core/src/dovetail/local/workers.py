"""`LocalWorkerGroup`: processes of this machine that run task calls beside the driver."""

from __future__ import annotations

import heapq
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.tasks import ErrorReport, Isolation, Next
from dovetail.interfaces.workers import (
    Answer,
    Assignment,
    Checked,
    Described,
    Failed,
    Launch,
    Output,
    RunFacts,
    WorkerEvent,
    WorkerGroup,
)
from dovetail.local._importer import Importer, Listener
from dovetail.local._link import Board, Ending, Source
from dovetail.local._memory import MemoryKills, resident_bytes
from dovetail.local._orphans import GROUP_VARIABLE, Orphans
from dovetail.local._worker import Worker
from dovetail.worker.streams import NONCE_LENGTH
from dovetail.worker.wire import Mode

__all__ = ["LocalWorkerGroup"]

FORCE_SPAWN = "DOVETAIL_FORCE_SPAWN"
"""Variable that, set to 1, makes every worker a fresh interpreter and avoids every call that only POSIX has."""
_SIGTERM, _SIGKILL = 15, 9
_SAMPLE_SECONDS = 1.0
_STILLBORN_LIMIT = 3


class LocalWorkerGroup(WorkerGroup):
    """Workers that share one imported flow.

    One process, the warm parent, imports the flow, describes it and forks a process for each worker. Where forking
    is unsafe, which the description says, each worker is a fresh interpreter that imports the flow itself. Whatever
    a worker started dies with it; all of them die with the warm parent, and the warm parent with this process.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._portable = os.environ.get(FORCE_SPAWN) == "1" or not sys.platform.startswith("linux")
        self._board = _board(self._portable)
        self._events: list[WorkerEvent] = []
        self._workers: dict[int, Worker] = {}
        self._last = 0
        self._nexts: dict[bytes, Next] = {}
        self._timers: list[tuple[float, int, Worker]] = []
        self._sampled = 0.0
        self._stillborn = 0
        self._failed = self._closed = False
        self._unsaved = False
        self._saver: Worker | None = None
        self._held: list[tuple[Worker, int, bool]] | None = None
        token = os.urandom(8).hex()
        listener = Listener()
        listener.described = self._described
        listener.checked = lambda wrong: self._tell(Checked(wrong))
        listener.failed = self._fail
        listener.reaped = self._reaped
        listener.not_forked = self._not_forked
        listener.printed = self._printed
        env = {**os.environ, **launch.env, GROUP_VARIABLE: token}
        self._importer = Importer(self._board, launch, env, portable=self._portable, listener=listener)
        # Only now: while the other process imports, there is time.
        self._kills = MemoryKills()
        self._orphans = Orphans(token, enabled=not self._portable)

    # -- what the engine calls ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._board.fileno()

    def check(self, values: Mapping[str, object]) -> bool:
        import json

        try:
            text = json.dumps(values)
        except (TypeError, ValueError):  # not from a command line
            return False
        return self._importer.check(text)

    def begin(self, facts: RunFacts) -> None:
        self._importer.begin(facts)
        if self._unsaved:
            self._held = []
            self._saver = self._new_worker(Mode.MANY, Isolation.AUTO, silent=True)
            self._saver.save_constants(self._constants_saved)
            self._connect(self._saver, 0, spawn=False)

    def start(self, isolation: Isolation, *, tasks: int) -> int:
        mode, real = Mode.MANY if tasks != 1 else Mode.ONE, isolation
        spawn = isolation is Isolation.SPAWN or self._portable or bool(self._importer.hazards)
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
            worker.refusal = _refusal(self._importer.hazards)
        elif self._held is not None:
            self._held.append((worker, tasks, spawn))
        else:
            self._connect(worker, tasks, spawn)
        return worker.number

    def assign(self, worker: int, assignments: Sequence[Assignment]) -> None:
        found = self._workers.get(worker)
        if found is None:
            return
        if found.mode == Mode.ONE and self._importer.can_fork:
            for assignment in assignments:
                if assignment.call.inputs.frames:
                    self._importer.share(assignment.call.inputs.frames[-1].sequence)
        found.assign(assignments)
        if found.refusal is not None and found.mode == Mode.ONE:
            self._exited(found, None)

    def answer(self, worker: int, answer: Answer) -> None:
        found = self._workers.get(worker)
        if found is not None:
            found.answer(answer)

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
            self._importer.signal(found, _SIGKILL)
        else:
            self._importer.signal(found, _SIGTERM)
            heapq.heappush(self._timers, (time.monotonic() + grace, worker, found))

    def next_wake(self) -> float | None:
        wakes = []
        if self._timers:
            wakes.append(self._timers[0][0])
        if self._workers:
            wakes.append(self._sampled + _SAMPLE_SECONDS)
        if self._portable:
            wakes += [wake for worker in self._workers.values() if (wake := worker.settle()) is not None]
        if self._events:
            wakes.append(0.0)
        return min(wakes, default=None)

    def read(self) -> list[WorkerEvent]:
        for owner, source, data in self._board.poll():
            if owner is self._importer:
                owner.on_data(source, data)
            elif source is Source.EXIT:
                self._exited(owner, data)
            elif owner.number in self._workers:
                owner.on_data(source, data)
        if self._workers:
            self._look_at_clock()
        events, self._events = self._events, []
        return events

    def close(self, *, grace: float = 0.0) -> None:
        if self._closed:
            return
        if grace > 0 and self._workers and not self._failed:
            self._ask_to_end(grace)
        self._closed = True
        self._adopt_workers()
        self._board.close()
        self._orphans.close()
        self._workers.clear()
        self._timers.clear()
        self._events.clear()

    # -- workers begin --------------------------------------------------------------------------------------------

    def _new_worker(self, mode: int, isolation: Isolation, *, silent: bool = False) -> Worker:
        self._last += 1
        tell = _ignore if silent else self._tell
        worker = Worker(self._last, mode, isolation, os.urandom(NONCE_LENGTH), self._nexts, tell)
        self._workers[worker.number] = worker
        return worker

    def _tell(self, event: WorkerEvent) -> None:
        self._events.append(event)

    def _connect(self, worker: Worker, tasks: int, spawn: bool) -> None:
        if self._failed:
            self._exited(worker, None)
        elif self._importer.can_fork and not spawn:
            self._importer.fork(worker, tasks)
        else:
            self._importer.spawn(worker, tasks)

    def _constants_saved(self, error: dict[str, Any] | None) -> None:
        assert self._saver is not None
        self._saver.finish()
        self._saver = None
        if error is not None:
            self._fail(ErrorReport.from_plain(error))
            return
        held, self._held = self._held or [], None
        for worker, tasks, spawn in held:
            self._connect(worker, tasks, spawn)

    # -- what the importing process tells ---------------------------------------------------------------------------

    def _described(self, flow: FlowDescription) -> None:
        self._unsaved = any(ref.get("object") == "" for ref in flow.constants.values())
        self._tell(Described(flow))

    def _printed(self, stream: str, data: bytes) -> None:
        self._tell(Output(0, "", 0, stream, time.time(), data))

    def _reaped(self, number: int, ending: Ending) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._exited(worker, ending)

    def _not_forked(self, number: int, reason: str) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._exited(worker, None, f"no process can be started: {reason}")

    def _fail(self, error: ErrorReport) -> None:
        """No worker of the group lives."""
        if self._failed:
            return
        self._failed = True
        self._held = None
        self._adopt_workers()
        for worker in list(self._workers.values()):
            if worker.spawned:
                self._importer.signal(worker, _SIGKILL)
            self._exited(worker, None)
        self._tell(Failed(error))

    # -- workers end ----------------------------------------------------------------------------------------------

    def _exited(self, worker: Worker, ending: Ending | None, why: str = "") -> None:
        if self._workers.pop(worker.number, None) is None:
            return
        by_kernel = ending is not None and ending.code == -_SIGKILL and not worker.killed
        lost = None
        if worker.begun or worker.killed:
            self._stillborn = 0
        elif worker.refusal is None and worker is not self._saver:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN_LIMIT:
                lost = _stillborn(ending, why)
        worker.on_exit(ending, out_of_memory=by_kernel and self._kills.rose(), lost=lost)
        self._orphans.end(worker.strays)
        if worker is self._saver:
            self._saver = None
            message = "the process that stores the flow's constants died"
            self._fail(ErrorReport(type="", message=message, kind="start"))

    def _adopt_workers(self) -> None:
        """Forked workers that lose their parent come to this process."""
        for worker in self._workers.values():
            if worker.pid and not worker.spawned:
                self._orphans.adopt(worker.pid)

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._portable:
            for worker in list(self._workers.values()):
                worker.settle(now=now)
        while self._timers and self._timers[0][0] <= now:
            _, number, worker = heapq.heappop(self._timers)
            if number in self._workers:
                worker.strays += self._orphans.outside_group(worker.pid)
                self._importer.signal(worker, _SIGKILL)
        if now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            self._kills.look()
            self._orphans.reap({self._importer.pid, *(w.pid for w in self._workers.values() if w.spawned)})
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


def _stillborn(ending: Ending | None, why: str) -> ErrorReport:
    """Why an attempt fails whose worker, like several before it, ended before it could begin."""
    if not why and ending is not None:
        how = f"exit code {ending.code}" if ending.code >= 0 else f"signal {-ending.code}"
        why = f"one process after another ended before the task began, the last with {how}"
    return ErrorReport(type="", message=why or "no process can be started", kind="start")


def _refusal(hazards: Sequence[str]) -> ErrorReport:
    message = f"the flow can't be forked: {'; '.join(hazards)}. Use isolation auto or spawn"
    return ErrorReport(type="", message=message, kind="start")


def _ignore(event: WorkerEvent) -> None:
    """What happens to a worker that the engine does not know."""
