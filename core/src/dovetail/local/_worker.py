"""One worker of a group, as the driver keeps it: what it was given, what it sent, how it ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.flow import StepDescription
from dovetail.interfaces.tasks import Arguments, ErrorReport, Exit, Isolation, Next, TaskOutcome, Usage
from dovetail.interfaces.workers import (
    Answer,
    Assignment,
    Called,
    CallEnded,
    Declared,
    Ended,
    Exited,
    Output,
    Started,
    WorkerEvent,
)
from dovetail.local._link import Ending, Link, Source
from dovetail.worker.assignments import AssignmentWriter
from dovetail.worker.streams import MarkReader
from dovetail.worker.wire import Kind, Mode, answer_to_plain, outcome_from_plain, pack, unpacker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]

_STREAMS = ("stdout", "stderr")
_PATIENCE = 2.0
"""Seconds that a result waits for the marks in its logs, which a step that closed its output never writes."""


class Worker:
    """State of one worker.

    Args:
        number: Its number in the group.
        mode: One of `Mode`.
        isolation: What it really is.
        nonce: Of the marks in its logs.
        nexts: Transitions that the group has seen.
        tell: Takes an event for the engine.
    """

    __slots__ = (
        "_backlog",
        "_calls",
        "_decoder",
        "_held",
        "_late",
        "_next",
        "_nexts",
        "_outcome",
        "_patience",
        "_readers",
        "_tasks",
        "_tell",
        "_threads",
        "_told",
        "_writer",
        "begun",
        "ended",
        "isolation",
        "killed",
        "last_memory",
        "link",
        "mode",
        "nonce",
        "number",
        "on_saved",
        "pid",
        "refusal",
        "spawned",
        "strays",
    )

    def __init__(
        self,
        number: int,
        mode: int,
        isolation: Isolation,
        nonce: bytes,
        nexts: dict[bytes, Next],
        tell: Callable[[WorkerEvent], None],
    ) -> None:
        self.number = number
        self.mode = mode
        self.isolation = isolation
        self.nonce = nonce
        self.link: Link | None = None
        """Its process; None until there is one."""
        self.spawned = False
        """Whether the driver itself started the process."""
        self.pid = 0
        self.killed = False
        """Whether this driver asked for its end."""
        self.last_memory: int | None = None
        """Resident bytes when last looked at."""
        self.strays: list[tuple[int, str]] = []
        """Descendants outside of its process group, seen when it was killed."""
        self.on_saved: Callable[[Any], None] | None = None
        self.refusal: ErrorReport | None = None
        """Why it will have no process; every assignment is answered with it."""
        self.begun = 0
        """The assignment that began last; 0: none did."""
        self.ended = 0
        """How many assignments ended."""
        marked = mode == Mode.MANY
        self._readers = (MarkReader(nonce if marked else None), MarkReader(nonce if marked else None))
        self._decoder = unpacker()
        self._writer = AssignmentWriter()
        self._tasks: dict[int, tuple[str, int]] = {}
        self._calls: dict[int, str] = {}
        self._next = 1
        self._nexts = nexts
        self._tell = tell
        self._told = False
        self._threads: set[int] = set()
        self._outcome: TaskOutcome | None = None
        self._backlog: list[Iterator[bytes]] = []
        self._held: list[tuple[int, str, bytes]] = []
        self._late: deque[list[Any]] | None = None
        self._patience: float | None = None

    # -- what goes out --------------------------------------------------------------------------------------------

    def assign(self, assignments: Sequence[Assignment]) -> None:
        """Send attempts, or keep them until there is a process."""
        if self.refusal is not None:
            for assignment in assignments:
                self._refuse(assignment, self.refusal)
            return
        plain: list[bytes] = []
        for assignment in assignments:
            seq = self._next
            self._next += 1
            self._tasks[seq] = (assignment.call.path, assignment.attempt)
            messages = self._writer.write(seq, assignment)
            if assignment.call.inputs.joined is None:
                plain += messages
            else:
                if plain:
                    self._send(iter(plain))
                    plain = []
                self._send(messages)
        if plain:
            self._send(iter((b"".join(plain),)))

    def finish(self) -> None:
        """Let it end when its queue is empty."""
        self._send(iter((pack((Kind.FINISH,)),)))

    def save_constants(self, then: Callable[[Any], None]) -> None:
        """Ask it to store the flow's large constants."""
        self.on_saved = then
        self._send(iter((pack((Kind.SAVE,)),)))

    def _refuse(self, assignment: Assignment, error: ErrorReport) -> None:
        path, attempt = assignment.call.path, assignment.attempt
        self._tell(Ended(self.number, _outcome_of(path, attempt, error), path, attempt))

    def _send(self, chunks: Iterator[bytes]) -> None:
        if self.link is None:
            self._backlog.append(chunks)
        else:
            self.link.send(chunks)

    def connect(self, link: Link, *, spawned: bool, first: bytes = b"") -> None:
        """There is a process now, or will be."""
        self.link = link
        self.spawned = spawned
        if not link.prompt and self.mode == Mode.MANY:
            self._late = deque()
        if spawned:
            self.pid = link.pid
            if self.mode in (Mode.ONE, Mode.MANY):
                self._readers = (MarkReader(self.nonce, 0), MarkReader(self.nonce, 0))
        if first:
            link.send((first,))
        for chunks in self._backlog:
            link.send(chunks)
        self._backlog.clear()

    # -- what comes in --------------------------------------------------------------------------------------------

    def on_data(self, source: Source, data: bytes) -> None:
        """Take in what was read from it."""
        if source is Source.CONTROL:
            self._on_control(data)
        else:
            self._on_stream(source, data)

    def _on_control(self, data: bytes) -> None:
        self._decoder.feed(data)
        if self._late is None:
            for message in self._decoder:
                self._on_message(message)
        else:
            self._late += self._decoder
            self.settle()

    def settle(self, *, now: float = 0.0) -> float | None:
        """Where logs may come later than results: take in the results whose logs are here.

        Args:
            now: By `time.monotonic`; results that waited too long for their logs are taken in anyhow.

        Returns:
            When to call again, if nothing else comes.
        """
        late = self._late
        while late:
            message = late[0]
            if message[0] == Kind.DONE and any(reader.seq <= message[1] for reader in self._readers):
                if self._patience is None:
                    self._patience = time.monotonic() + _PATIENCE
                if now < self._patience:
                    return self._patience
            self._patience = None
            late.popleft()
            self._on_message(message)
        return None

    def _on_message(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == Kind.DONE:
            self._on_done(message)
        elif kind == Kind.STARTED:
            self._on_started(message[1], message[2])
        elif kind == Kind.OUTPUT:
            _, seq, stream, piece = message
            path, attempt = self._tasks.get(seq, ("", 0))
            self._tell(Output(self.number, path, attempt, _STREAMS[stream], time.time(), piece))
        elif kind == Kind.CALL:
            self._on_call(message)
        elif kind == Kind.CALL_DONE:
            path = self._calls.get(message[1], "")
            outcome = outcome_from_plain(message, path, message[2], self._nexts)
            self._tell(CallEnded(self.number, message[1], outcome))
        elif kind == Kind.DECLARE:
            self._tell(Declared(self.number, message[1], StepDescription.from_plain(message[2])))
        elif kind == Kind.SAVED and self.on_saved is not None:
            self.on_saved(message[1])

    def _on_call(self, message: list[Any]) -> None:
        _, seq, number, slot, path, table, digest, after, here, asks, looks, known = message
        if here and not known:
            self._calls[number] = path
        caller = self._tasks[seq][0]
        given = Arguments(table, digest)
        self._tell(Called(self.number, caller, number, slot, path, given, tuple(after), here, asks, looks, known))

    def answer(self, answer: Answer) -> None:
        """Answer what it called or declared."""
        if answer.attempt == 0:
            self._calls.pop(answer.number, None)
        self._send(iter((pack(answer_to_plain(answer)),)))

    def _on_started(self, pid: int, seq: int) -> None:
        self.pid = pid
        self.begun = seq
        self._threads.add(seq)
        if not self._told:
            self._told = True
            self._tell(Started(self.number, pid, self.isolation))

    def _on_done(self, message: list[Any]) -> None:
        seq, following = message[1], message[2]
        path, attempt = self._tasks[seq]
        outcome = outcome_from_plain(message, path, attempt, self._nexts)
        if self.mode == Mode.ONE:
            self._outcome = outcome
            return
        if self.mode == Mode.MANY:
            self._drain_to_mark(seq)
        del self._tasks[seq]
        self.ended += 1
        self._tell(Ended(self.number, outcome, path, attempt))
        if following:
            self.begun = following
        if self._held:
            self._release(seq + 1)

    def _drain_to_mark(self, seq: int) -> None:
        """Read the logs up to the mark that the worker wrote before its result."""
        assert self.link is not None
        for reader, source in zip(self._readers, (Source.STDOUT, Source.STDERR), strict=True):
            if reader.seq <= seq:
                self._on_stream(source, self.link.drain(source))
            if reader.seq <= seq:  # the step closed the descriptor, so there is no mark
                reader.seq = seq + 1

    def _on_stream(self, source: Source, data: bytes) -> None:
        pieces = self._readers[source - 1].feed(data)
        if pieces:
            self._output(_STREAMS[source - 1], pieces)
        if self._late:
            self.settle()

    def _output(self, stream: str, pieces: list[tuple[int, bytes]]) -> None:
        now = time.time()
        for seq, piece in pieces:
            if self.mode == Mode.MANY and seq > self.ended + 1:
                self._held.append((seq, stream, piece))  # the engine does not know yet that this task runs
                continue
            path, attempt = ("", 0) if self.mode == Mode.THREADS else self._tasks.get(seq, ("", 0))
            self._tell(Output(self.number, path, attempt, stream, now, piece))

    def _release(self, up_to: int) -> None:
        held, self._held = self._held, []
        for seq, stream, piece in held:
            if seq > up_to:
                self._held.append((seq, stream, piece))
            else:
                self._output(stream, [(seq, piece)])

    # -- the end --------------------------------------------------------------------------------------------------

    def on_exit(self, ending: Ending | None, *, out_of_memory: bool = False, lost: ErrorReport | None = None) -> None:
        """Its process is gone.

        Args:
            ending: How; None when nobody knows.
            out_of_memory: Whether the kernel killed it for memory.
            lost: Why attempts that never began are told as failed, and not as free to be assigned again.
        """
        link = self.link
        if link is not None:
            self._on_control(link.drain(Source.CONTROL))
            for source in (Source.STDOUT, Source.STDERR):
                self._on_stream(source, link.drain(source))
                self._output(_STREAMS[source - 1], self._readers[source - 1].flush())
            link.close()
        self.settle(now=float("inf"))
        self._release(self._next)
        exit = usage = None
        if ending is not None:
            code = ending.code
            exit = Exit(
                code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                out_of_memory=out_of_memory,
                last_memory=self._memory_at(ending),
            )
            if self.mode == Mode.ONE:
                usage = Usage(cpu=ending.cpu, memory=ending.memory)
        unstarted: list[str] = []
        for seq, (path, attempt) in self._tasks.items():
            if seq == self.begun or (self.mode == Mode.THREADS and seq in self._threads):
                self._tell(Ended(self.number, self._outcome, path, attempt, exit, usage))
            elif lost is not None:
                self._tell(Ended(self.number, _outcome_of(path, attempt, lost), path, attempt, exit, usage))
            else:
                unstarted.append(path)
        self._tasks.clear()
        self._tell(Exited(self.number, tuple(unstarted)))

    def _memory_at(self, ending: Ending) -> int | None:
        """Memory to name with an end. One that lived for less than a look at it has the kernel's peak alone."""
        if ending.code >= 0:
            return self.last_memory
        looks = (ending.memory, self.last_memory)  # an attempt's own peak, where it had the process to itself
        return next(filter(None, looks if self.mode == Mode.ONE else reversed(looks)), None)


def _outcome_of(path: str, attempt: int, error: ErrorReport) -> TaskOutcome:
    """Of an attempt that never ran."""
    now = time.time()
    return TaskOutcome(path=path, attempt=attempt, started=now, finished=now, error=error)
