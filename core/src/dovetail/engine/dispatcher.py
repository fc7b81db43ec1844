"""Places attempts on direct workers: starts them, keeps their queues short, enforces time limits."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from dovetail.engine.exits import report_exit, report_timeout
from dovetail.interfaces.tasks import ErrorReport, Exit, Isolation, TaskOutcome, Usage
from dovetail.interfaces.workers import (
    Answer,
    Assignment,
    Called,
    CallEnded,
    Declared,
    Ended,
    Exited,
    Failed,
    Output,
    Started,
    WorkerGroup,
)

if TYPE_CHECKING:
    from dovetail.engine.machine import Attempt

__all__ = ["DispatchListener", "Dispatcher"]

QUEUE_SECONDS = 0.05
"""How much work a reused worker may have waiting: enough to keep it busy, little to lose or to balance."""
QUEUE_LIMIT = 256
IDLE_SECONDS = 0.25
"""How long a worker is kept without work."""
SPARES = 4
"""Processes at most that are started ahead of the tasks that will have one of their own."""


class DispatchListener(Protocol):
    """Told what happens to attempts, in order."""

    def began(self, attempt: Attempt, isolation: Isolation, pid: int) -> None: ...
    def output(self, output: Output) -> None: ...
    def ended(
        self,
        attempt: Attempt,
        outcome: TaskOutcome | None,
        error: ErrorReport | None,
        exit: Exit | None,
        usage: Usage | None,
        isolation: Isolation,
    ) -> None: ...
    def returned(self, attempt: Attempt) -> None: ...
    def declared(self, key: tuple[str, int], callers: Iterable[Attempt], event: Declared) -> None: ...
    def called(self, key: tuple[str, int], caller: Attempt, event: Called) -> None: ...
    def call_ended(self, key: tuple[str, int], event: CallEnded, isolation: Isolation) -> None: ...
    def worker_gone(self, key: tuple[str, int]) -> None: ...
    def group_failed(self, name: str, error: ErrorReport) -> None: ...


class _Worker:
    __slots__ = (
        "exclusive",
        "fresh",
        "group",
        "isolation",
        "killed",
        "left",
        "number",
        "pace",
        "pid",
        "pool",
        "queue",
        "since",
        "tasks",
    )

    def __init__(self, group: str, number: int, pool: tuple[str, ...], left: int, isolation: Isolation) -> None:
        self.group = group
        self.number = number
        self.pool = pool
        self.tasks = left
        self.left = left  # tasks that it may still be given; -1: any number
        self.isolation = isolation
        self.exclusive = isolation is not Isolation.THREAD
        self.queue: deque[Attempt] = deque()
        self.fresh: list[Attempt] = []  # of `queue`, not sent yet
        self.pid = 0
        self.since = time.monotonic()  # when the head of the queue began, or the last task ended
        self.pace = 0.0  # seconds a task, smoothed; 0: unknown
        self.killed: ErrorReport | None = None

    @property
    def window(self) -> int:
        if not self.exclusive:
            return QUEUE_LIMIT
        if self.pace == 0.0 or self.isolation is Isolation.INLINE:
            return 1
        return max(1, min(QUEUE_LIMIT, int(QUEUE_SECONDS / self.pace)))


class Dispatcher:
    """Places attempts on the workers of one or more groups.

    Args:
        groups: Name → group, begun already.
        slots: Attempts that may run at the same time.
        listener: Told what happens.
        grace: Seconds between SIGTERM and SIGKILL.
        replays: Whether there may be records of tasks that a first attempt calls.
    """

    def __init__(
        self,
        groups: Mapping[str, WorkerGroup],
        *,
        slots: int,
        listener: DispatchListener,
        grace: float = 5.0,
        replays: bool = False,
    ) -> None:
        self._groups = groups
        self._slots = slots
        self._listener = listener
        self._grace = grace
        self._replays = replays
        self._waiting: dict[Attempt, int] = {}  # attempts → tasks in other processes that they wait for
        self._workers: dict[tuple[str, int], _Worker] = {}
        self._pools: dict[tuple[str, ...], list[_Worker]] = {}
        self._deadlines: list[tuple[float, int, _Worker, Attempt]] = []
        self._unsent: set[_Worker] = set()
        self._spares: dict[tuple[str, Isolation], deque[_Worker]] = {}
        self._forking: tuple[str, Isolation] | None = None  # where the latest task was forked
        self._tick = 0
        self.busy = 0

    def replay(self) -> None:
        """From now on there may be records of whatever a first attempt calls."""
        self._replays = True

    # -- placing --------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Attempts that could be placed now."""
        return self._slots - self.busy

    def place(self, group: str, attempt: Attempt) -> bool:
        """Give an attempt to a worker; False when there is no room now."""
        call = attempt.call
        isolation, reuse = call.isolation, call.policy.reuse
        if isolation in (Isolation.THREAD, Isolation.INLINE):
            pool: tuple[str, ...] = (group, isolation.value)
            limit = -1
        elif reuse == 1:
            spares = self._spares.setdefault((group, isolation), deque())
            if self.busy >= self._slots:
                if len(spares) < min(SPARES, self._slots):
                    spares.append(self._start(group, (), isolation, 1))
                return False
            self._give(spares.popleft() if spares else self._start(group, (), isolation, 1), attempt)
            return True
        else:
            pool = (group, isolation.value, call.step)
            limit = -1 if reuse == 0 else reuse
        worker = self._choose(pool, isolation)
        if worker is None:
            if self.busy >= self._slots or (pool[1] in ("thread", "inline") and self._pools.get(pool)):
                return False
            worker = self._start(group, pool, isolation, limit)
        self._give(worker, attempt)
        return True

    def _choose(self, pool: tuple[str, ...], isolation: Isolation) -> _Worker | None:
        """The worker of a pool that takes the next task, or None when a new one should."""
        best: _Worker | None = None
        for worker in self._pools.get(pool, ()):
            waiting = len(worker.queue)
            if worker.left == 0 or worker.killed is not None or waiting >= worker.window:
                continue
            if worker.exclusive and worker.queue and worker.queue[0] in self._waiting:
                continue  # what it waits for may be this
            if best is None or waiting < len(best.queue):
                best = worker
        if best is None:
            return None
        if not best.exclusive:
            return best if self.busy < self._slots else None
        # A second task on a worker only when no slot is free for a worker of its own.
        if best.queue and self.busy < self._slots and isolation is not Isolation.INLINE:
            return None
        return best

    def _start(self, group: str, pool: tuple[str, ...], isolation: Isolation, tasks: int) -> _Worker:
        number = self._groups[group].start(isolation, tasks=max(tasks, 0))
        worker = _Worker(group, number, pool, tasks, isolation)
        self._workers[group, number] = worker
        if pool:
            self._pools.setdefault(pool, []).append(worker)
        return worker

    def _give(self, worker: _Worker, attempt: Attempt) -> None:
        if not worker.queue or not worker.exclusive:
            self.busy += 1
        if worker.left > 0:
            worker.left -= 1
        worker.queue.append(attempt)
        worker.fresh.append(attempt)
        self._unsent.add(worker)

    def send(self) -> None:
        """Send what was placed, one message a worker."""
        for worker in self._unsent:
            group = self._groups[worker.group]
            fresh, worker.fresh = worker.fresh, []
            group.assign(
                worker.number,
                [Assignment(a.call, a.number, a.last, self._replays or a.replays) for a in fresh],
            )
            if worker.pid:
                for attempt in fresh if not worker.exclusive else fresh[:1] if worker.queue[0] is fresh[0] else ():
                    self._begin(worker, attempt)
        self._unsent.clear()
        if self.busy and self._forking is not None and not self._spares[self._forking]:
            # A fork costs little, and whatever follows from the running tasks need not wait for one.
            self._spares[self._forking].append(self._start(self._forking[0], (), self._forking[1], 1))

    def _retire_idle(self, now: float) -> None:
        """Let workers go that have had nothing to do for a while."""
        for spares in self._spares.values():
            while spares and now - spares[0].since > IDLE_SECONDS and not self.busy:
                spare = spares.popleft()
                self._groups[spare.group].finish(spare.number)
        for pool, workers in self._pools.items():
            if pool[1] in ("thread", "inline"):
                continue
            for worker in workers:
                if not worker.queue and worker.left != 0 and now - worker.since > IDLE_SECONDS:
                    worker.left = 0
                    self._groups[worker.group].finish(worker.number)

    # -- what happens ---------------------------------------------------------------------------------------------

    def read(self, name: str) -> None:
        """Take in what a group tells."""
        for event in self._groups[name].read():
            if isinstance(event, Output):
                self._listener.output(event)
            elif isinstance(event, Ended):
                self._ended(self._workers[name, event.worker], event)
            elif isinstance(event, Started):
                self._started(self._workers[name, event.worker], event)
            elif isinstance(event, Exited):
                self._exited(self._workers.pop((name, event.worker)), event)
            elif isinstance(event, Called):
                key = (name, event.worker)
                self._listener.called(key, _find(self._workers[key], event.caller), event)
            elif isinstance(event, CallEnded):
                key = (name, event.worker)
                self._listener.call_ended(key, event, self._workers[key].isolation)
            elif isinstance(event, Declared):
                key = (name, event.worker)
                self._listener.declared(key, self._workers[key].queue, event)
            elif isinstance(event, Failed):
                self._listener.group_failed(name, event.error)

    def answer(self, key: tuple[str, int], answer: Answer) -> None:
        """Answer a call or declaration of a worker."""
        self._groups[key[0]].answer(key[1], answer)

    def waits(self, attempt: Attempt, begins: bool) -> None:
        """An attempt begins or ends to wait for a task in another process: meanwhile it needs no slot."""
        count = self._waiting.get(attempt, 0) + (1 if begins else -1)
        if count == (1 if begins else 0):
            self.busy += -1 if begins else 1
        if count > 0:
            self._waiting[attempt] = count
        else:
            self._waiting.pop(attempt, None)

    def _started(self, worker: _Worker, event: Started) -> None:
        worker.pid = event.pid
        if event.isolation is Isolation.FORK and worker.tasks == 1:
            self._forking = (worker.group, worker.isolation)
        worker.isolation = event.isolation
        for attempt in list(worker.queue) if not worker.exclusive else list(worker.queue)[:1]:
            if attempt not in worker.fresh:
                self._begin(worker, attempt)

    def _begin(self, worker: _Worker, attempt: Attempt) -> None:
        now = worker.since = time.monotonic()
        if attempt.call.policy.timeout is not None:
            self._tick += 1
            heapq.heappush(self._deadlines, (now + attempt.call.policy.timeout, self._tick, worker, attempt))
        self._listener.began(attempt, worker.isolation, worker.pid)

    def _ended(self, worker: _Worker, event: Ended) -> None:
        attempt = self._remove(worker, event.path)
        outcome = event.outcome
        error = outcome.error if outcome is not None else worker.killed or report_exit(event.exit)
        now = time.monotonic()
        if outcome is not None and worker.exclusive:
            spent = now - worker.since
            worker.pace = spent if worker.pace == 0.0 else 0.8 * worker.pace + 0.2 * spent
        usage = event.usage or (outcome.usage if outcome is not None else None)
        if worker.exclusive and worker.queue and worker.pid and worker.queue[0] not in worker.fresh:
            self._begin(worker, worker.queue[0])
        else:
            worker.since = now
        self._listener.ended(attempt, outcome, error, event.exit, usage, worker.isolation)

    def _remove(self, worker: _Worker, path: str) -> Attempt:
        attempt = _find(worker, path)
        if self._waiting.pop(attempt, 0):
            self.busy += 1
        worker.queue.remove(attempt)
        if not worker.queue or not worker.exclusive:
            self.busy -= 1
        return attempt

    def _exited(self, worker: _Worker, event: Exited) -> None:
        self._listener.worker_gone((worker.group, worker.number))
        if worker.pool:
            self._pools[worker.pool].remove(worker)
        for spares in self._spares.values():
            if worker in spares:
                spares.remove(worker)
        self._unsent.discard(worker)
        for attempt in worker.queue:
            if worker.killed is not None and worker.killed.kind == "cancelled":
                self._listener.ended(attempt, None, worker.killed, None, None, worker.isolation)
            else:
                self._listener.returned(attempt)
        if worker.queue:
            self.busy -= 1 if worker.exclusive else len(worker.queue)
            worker.queue.clear()

    # -- time and ending ------------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When `enforce` or a group must be looked at, by `time.monotonic`."""
        wakes = [wake for group in self._groups.values() if (wake := group.next_wake()) is not None]
        if self._deadlines:
            wakes.append(self._deadlines[0][0])
        return min(wakes, default=None)

    def enforce(self) -> None:
        """Kill what is over its time."""
        now = time.monotonic()
        self._retire_idle(now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, worker, attempt = heapq.heappop(self._deadlines)
            if attempt in worker.queue and worker.killed is None and attempt.call.policy.timeout is not None:
                self._kill(worker, report_timeout(attempt.call.policy.timeout))
        for name, group in self._groups.items():
            wake = group.next_wake()
            if wake is not None and wake <= now:
                self.read(name)

    def kill_all(self, message: str, *, grace: float | None = None) -> None:
        """End every attempt that runs; called again with a shorter `grace`, at once."""
        self._forking = None
        for worker in list(self._workers.values()):
            if worker.queue and (worker.killed is None or grace is not None):
                self._kill(worker, ErrorReport(type="", message=message, kind="cancelled"), grace)

    def abandon(self, name: str, error: ErrorReport) -> None:
        """A group is gone with all of its workers: what ran ends with `error`, what waited goes back."""
        for key in [key for key in self._workers if key[0] == name]:
            worker = self._workers.pop(key)
            began = list(worker.queue)[: 1 if worker.exclusive else None] if worker.pid else []
            for attempt in began:
                self._remove(worker, attempt.call.path)
                self._listener.ended(attempt, None, worker.killed or error, None, None, worker.isolation)
            self._exited(worker, Exited(worker.number, ()))

    def _kill(self, worker: _Worker, why: ErrorReport, grace: float | None = None) -> None:
        worker.killed = why
        self._groups[worker.group].kill(worker.number, grace=self._grace if grace is None else grace)


def _find(worker: _Worker, path: str) -> Attempt:
    for attempt in worker.queue:  # the head, but for threads
        if attempt.call.path == path:
            return attempt
    raise AssertionError(f"worker {worker.number} tells of {path}, which it was not given")
