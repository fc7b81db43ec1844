"""Task calls of the attempts of this process: keys, records instead of runs, inline and threaded execution."""

from __future__ import annotations

import _thread
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import ArgumentWriter
from dovetail.artifacts.packing import RESULT
from dovetail.authoring.arguments import futures_in, resolved
from dovetail.authoring.futures import settled
from dovetail.interfaces.paths import format_node
from dovetail.worker.async_reply import AsyncReply
from dovetail.worker.call_attempt import Call, give_up, make_attempt, make_attempt_async
from dovetail.worker.channel import Reply
from dovetail.worker.failures import failure_of
from dovetail.worker.futures import Submitted, Unfinished
from dovetail.worker.submitting import run_beside, send_to_driver
from dovetail.worker.wire import Kind, outcome_to_plain

if TYPE_CHECKING:
    from dovetail.authoring.futures import TaskFuture
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.interfaces.workers import Answer
    from dovetail.worker.declarations import Kept
    from dovetail.worker.execute import Executor

__all__ = ["Calls"]


class Calls:
    """A `dovetail.authoring.calling.Caller`: the calls that one attempt makes, or one task that runs inside of it.
    Thread-safe.

    Args:
        executor: Of this process.
        seq: The assignment.
        path: Path of the calling task; empty for the body of a function flow, whose calls are at the top.
        asks: Whether there may be records of what it calls.
    """

    __slots__ = ("_asks", "_lock", "_ordinals", "_seq", "_unfinished", "executor", "path")

    def __init__(self, executor: Executor, seq: int, path: str, *, asks: bool) -> None:
        self.executor = executor
        self._seq = seq
        self.path = path
        self._asks = asks
        self._ordinals: dict[tuple[str, bytes], int] = {}
        self._unfinished: Unfinished | None = None
        self._lock = _thread.allocate_lock()

    @property
    def printed(self) -> Any:
        """Takes what the task prints, where nobody reads it from a pipe."""
        return self.executor.printed

    # -- what tasks ask for ---------------------------------------------------------------------------------------

    def call(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> Any:
        """See `Caller`."""
        return self.record(task, given, wait_for=wait_for, key=key)[1]

    def record(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> tuple[str, Any]:
        """As `call`: (path that the task has, its value)."""
        kept = self.executor.declarations().get(task)
        if kept.isolation == "driver":
            future = self.submit(task, given, wait_for=wait_for, key=key)
            value = future.result()
            return future.path, value
        waited, given = self._wait_for_inputs(given, wait_for)
        made = self.prepare(task, kept, given, waited, key)
        known = self.recall(made)
        if known is not None:
            return made.path, self.load(known)
        self.tell(made)
        return made.path, self._run_here(made, asked=self._asks or kept.asks)

    async def call_async(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> Any:
        """See `Caller`."""
        return (await self.record_async(task, given, wait_for=wait_for, key=key))[1]

    async def record_async(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
    ) -> tuple[str, Any]:
        """As `call_async`: (path that the task has, its value)."""
        kept = self.executor.declarations().get(task)
        if kept.isolation in ("driver", "thread"):
            future = self.submit(task, given, wait_for=wait_for, key=key)
            value = await future
            return future.path, value
        for future in (*wait_for, *futures_in(given)):
            if not future.done():
                await settled(future)
        waited, given = self._wait_for_inputs(given, wait_for)
        self.executor.channel().read_always()
        from asyncio import get_running_loop

        loop = get_running_loop()
        made = self.prepare(task, kept, given, waited, key, reply=AsyncReply(loop))
        known = self.recall(made)
        if known is not None:
            return made.path, self.load(known)
        self.tell(made)
        return made.path, await self._run_async(made, asked=self._asks or kept.asks)

    def submit(
        self,
        task: TaskFunction[..., Any],
        given: Mapping[str, Any],
        *,
        wait_for: Sequence[TaskFuture[Any]] = (),
        key: str | None = None,
        index: tuple[int, ...] = (),
    ) -> TaskFuture[Any]:
        """See `Caller`."""
        kept = self.executor.declarations().get(task)
        future: Submitted[Any] = Submitted(task.name)
        with self._lock:
            if self._unfinished is None:
                self._unfinished = Unfinished()
        self._unfinished.add(future)
        inputs = [*wait_for, *futures_in(given)]

        def start() -> None:
            future.begin = None
            try:
                waited, ready = self._wait_for_inputs(given, wait_for)
                if kept.isolation == "driver":
                    send_to_driver(self, future, task, kept, ready, waited, key, index)
                elif kept.isolation == "inline" and (self._asks or kept.asks):
                    made = self.prepare(task, kept, ready, waited, key, index=index)
                    future.path = made.path
                    if self.recalled(future, made):
                        return
                    self.tell(made)
                    future.succeed(self._run_here(made, asked=True))
                else:
                    run_beside(self, future, task, kept, ready, waited, key, index)
            except BaseException as error:
                future.fail(error)

        self.executor.channel().read_always()
        if kept.isolation == "inline":
            start()
            return future
        future.begin = start
        if kept.isolation == "driver" and not inputs:
            future.run()
        else:
            future.run_after(inputs, self.executor.threads())
        return future

    def within(self, path: str) -> Calls:
        """The same caller, whose calls lie below another path."""
        return Calls(self.executor, self._seq, path, asks=self._asks)

    @property
    def replays(self) -> bool:
        """Whether there may be records of what it calls."""
        return self._asks

    def lookup(self, task: TaskFunction[..., Any], *, key: str | None = None) -> tuple[Any] | None:
        """(value,) that is recorded of a call without arguments; None where nothing is. Nothing is run.

        Args:
            task: A task that is run in the process that calls it.
            key: Of the call; by default the task's name.
        """
        made = self.prepare(task, self.executor.declarations().get(task), {}, (), key or task.name)
        self.tell(made, looks=True)
        channel = self.executor.channel()
        answer = channel.wait(made.reply)
        channel.forget(made.number)
        if answer.value is None:
            with self._lock:
                self._ordinals[task.name, made.arguments.digest] -= 1
            return None
        return (self.load(answer.value),)

    def room(self) -> None:
        """See `Caller`."""
        if self._unfinished is not None:
            self._unfinished.wait_for_room()

    def finish(self) -> None:
        """Wait for everything that was submitted.

        Raises:
            BaseException: Of the first task that failed and that nobody asked about.
        """
        if self._unfinished is not None:
            self._unfinished.finish()

    # -- inputs and identity --------------------------------------------------------------------------------------

    def _wait_for_inputs(
        self, given: Mapping[str, Any], wait_for: Sequence[TaskFuture[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        """(paths of the tasks before, the arguments with every future replaced by its value)."""
        inputs = futures_in(given)
        for future in wait_for:
            future.result()
        if not inputs:
            return tuple(dict.fromkeys(one.path for one in wait_for)), given
        ready = {name: resolved(value, _result) for name, value in given.items()}
        return tuple(dict.fromkeys(one.path for one in (*inputs, *wait_for) if one.path)), ready

    def prepare(
        self,
        task: TaskFunction[..., Any],
        kept: Kept,
        given: Mapping[str, Any],
        after: tuple[str, ...],
        key: str | None,
        *,
        index: tuple[int, ...] = (),
        reply: Reply | None = None,
        keep: bool = False,
    ) -> Call:
        """A call, its path and identity known; the driver is not told yet.

        Args:
            keep: Another process will run it, so its arguments are stored.
        """
        writer = ArgumentWriter(self.executor.artifacts(kept.datastore), keep=keep)
        for name, value in given.items():
            writer.add(name, value)
        arguments = writer.finish(key)
        path = self._path(task.name, arguments.digest, index)
        return Call(task, kept, self.executor.channel().number(), path, given, arguments, after, reply or Reply(), keep)

    def tell(self, call: Call, *, looks: bool = False) -> None:
        """Tell the driver of a call. From now on it may be answered, on the thread that reads."""
        channel = self.executor.channel()
        channel.expect(call.number, call.reply)
        channel.send(*self._message(call, looks=looks))

    def _message(self, call: Call, *, looks: bool = False, known: bool = False) -> tuple[object, ...]:
        return (
            Kind.CALL,
            self._seq,
            call.number,
            call.kept.slot,
            call.path,
            b"" if known else call.arguments.table,
            call.arguments.digest,
            call.after,
            not call.keep,
            looks or call.keep or self._asks or call.kept.asks,
            looks,
            known,
        )

    def recall(self, call: Call) -> ArtifactRef | None:
        """Where the value of a call is, when the driver told of its record beforehand; the driver counts the call."""
        ref = call.kept.recall(call.path, call.arguments.digest)
        if ref is not None:
            self.executor.channel().send_later(*self._message(call, known=True))
        return ref

    def recalled(self, future: Submitted[Any], call: Call) -> bool:
        """Whether a call is known, so that its future has succeeded."""
        ref = self.recall(call)
        if ref is None:
            return False
        future.succeed_later(ref, lambda: self.load(ref))
        return True

    def _path(self, name: str, digest: bytes, index: tuple[int, ...]) -> str:
        known = (name, digest)
        with self._lock:
            ordinal = self._ordinals[known] = self._ordinals.get(known, 0) + 1
        node = format_node(name, index, call=digest[:8].hex(), ordinal=ordinal)
        return f"{self.path}/{node}" if self.path else node

    # -- running --------------------------------------------------------------------------------------------------

    def _run_here(self, call: Call, *, asked: bool) -> Any:
        """Run a call in this thread, unless it is recorded, as often as the driver says; its value."""
        channel = self.executor.channel()
        attempt, last = 1, True
        error: BaseException | None = None
        value: Any = None
        answer = channel.wait(call.reply) if asked else None
        while True:
            if answer is not None:
                if answer.value is not None:
                    channel.forget(call.number)
                    return self.load(answer.value) if asked else value
                if answer.error is not None:
                    channel.forget(call.number)
                    raise error if error is not None else failure_of(answer.error, call.path)
                attempt, last = answer.attempt, answer.last
            outcome, value, error = make_attempt(self.executor, self.inside(call, attempt), call, attempt, last)
            asked = False
            channel.send(*outcome_to_plain(call.number, attempt, outcome, kind=Kind.CALL_DONE))
            answer = channel.wait(call.reply)

    async def _run_async(self, call: Call, *, asked: bool) -> Any:
        reply: Any = call.reply
        try:
            return await self._run_awaited(call, reply, asked=asked)
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled: what is answered from now on, nobody would hear
                started, cancelled = time.time(), error

                def decline(answer: Answer) -> None:
                    if answer.value is None and answer.error is None:
                        give_up(self.executor, call, answer.attempt, cancelled, started)
                    else:
                        self.executor.channel().forget(call.number)

                reply.leave(decline)
            raise

    async def _run_awaited(self, call: Call, reply: Any, *, asked: bool) -> Any:
        channel = self.executor.channel()
        attempt, last = 1, True
        error: BaseException | None = None
        value: Any = None
        answer = await reply.arrived() if asked else None
        while True:
            if answer is not None:
                if answer.value is not None:
                    channel.forget(call.number)
                    return self.load(answer.value) if asked else value
                if answer.error is not None:
                    channel.forget(call.number)
                    raise error if error is not None else failure_of(answer.error, call.path)
                attempt, last = answer.attempt, answer.last
            outcome, value, error = await make_attempt_async(
                self.executor, self.inside(call, attempt), call, attempt, last
            )
            asked = False
            channel.send(*outcome_to_plain(call.number, attempt, outcome, kind=Kind.CALL_DONE))
            answer = await reply.arrived()

    def inside(self, call: Call, attempt: int) -> Calls:
        """The caller of what the task calls that a call runs."""
        return Calls(self.executor, self._seq, call.path, asks=self._asks or attempt > 1)

    def load(self, ref: ArtifactRef) -> Any:
        """The value that a called task returned."""
        return self.executor.artifacts().load(ref, name=RESULT)


def _result(future: TaskFuture[Any]) -> Any:
    return future.result()
