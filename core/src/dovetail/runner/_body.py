"""The body of a flow in the process that calls it: serves what the driver assigns, with the caller's own objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.tasks import ErrorReport
from dovetail.interfaces.workers import Answer
from dovetail.runner._printing import Printed, printing
from dovetail.worker.channel import Channel
from dovetail.worker.child import Inbox
from dovetail.worker.execute import Executor
from dovetail.worker.stores import RunStores
from dovetail.worker.wire import Kind, facts_from_plain, outcome_to_plain

if TYPE_CHECKING:
    import socket

    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.workers import RunFacts
    from dovetail.worker.assignments import Task

__all__ = ["Body", "RunOver"]


class RunOver(BaseException):
    """The run has ended under a body that still goes on. No `except Exception` of the user's is to take it for a
    failure of a task."""


class Body:
    """Runs one flow's steps in this thread until the run has ended.

    Args:
        connection: To the driver, which has been sent a request.
        flow: A class or function.
        description: The flow as plain data; None: nothing of it will run here.
        given: Arguments of a function flow, as its hints have them.
        to_save: Those of them that only this process can store.
        call: Calls the body of a function flow.
        stores: Opened data stores; None: the worker opens what the run pins.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        flow: Any,
        description: FlowDescription | None,
        given: Mapping[str, Any],
        to_save: Mapping[str, Any],
        call: Callable[..., Any] | None = None,
        stores: Mapping[str, Any] | None = None,
    ) -> None:
        self._connection = connection
        self._flow = flow
        self._description = description
        self._given = given
        self._to_save = to_save
        self._call = call
        self._stores = stores
        self._inbox = _Inbox(self)
        self._channel = _Channel(connection, self._inbox)
        self._executor: _Executor | None = None
        self._interrupted = False
        self.run = ""
        """Run id, once the run has begun."""
        self.home = ""
        """Folder of its local state."""
        self.end: list[Any] | None = None
        """What the driver said at the end; None when it is gone."""
        self.on_begin: Callable[[], None] | None = None
        """Called when the run has begun."""

    def serve(self) -> None:
        """Make every attempt that the driver assigns; returns when the run has ended, or the driver is gone."""
        while self._inbox.wait():
            task = self._inbox.queue.popleft()
            executor = self._executor
            assert executor is not None
            self._channel.send(Kind.STARTED, os.getpid(), task.seq)
            executor.printed = Printed(partial(self._channel.tell, Kind.OUTPUT, task.seq))
            printing.begin()
            try:
                outcome, _ = executor.run(task, thread=True)
            finally:
                printing.end()
                executor.printed.finish()
            if self._interrupted:
                raise KeyboardInterrupt
            if self.end is None:
                self._channel.tell(*outcome_to_plain(task.seq, 0, outcome))

    def interrupt(self) -> None:
        """The user does not want it to go on."""
        if not self._interrupted:
            self._interrupted = True
            self._channel.tell(Kind.INTERRUPT)

    @property
    def value(self) -> Any:
        """What the body returned."""
        return None if self._executor is None else self._executor.value

    @property
    def failure(self) -> BaseException | None:
        """What the last attempt of the body raised."""
        return None if self._executor is None else self._executor.failure

    @property
    def is_clean(self) -> bool:
        """Whether nothing of this run will come over the connection any more."""
        return self.end is not None and not self._interrupted and not self._channel.has_open

    def wait_end(self) -> None:
        """Wait until the run has ended, without running anything."""
        while self._inbox.wait():
            self._inbox.queue.clear()

    def close(self) -> None:
        """Let threads of the run go."""
        self._channel.abandon()
        if self._executor is not None:
            self._executor.close()

    # -- what the driver tells ------------------------------------------------------------------------------------

    def take(self, message: list[Any]) -> bool:
        """Handle what is about the run as a whole; False when it is something else."""
        kind = message[0]
        if kind == Kind.BEGIN:
            self._begin(facts_from_plain(message[1]))
        elif kind == Kind.STORES:
            self._save_parameters(*message[1:])
        elif kind == Kind.SHOW:
            printing.show(message[1], message[2])
        elif kind == Kind.CANCEL:
            self._channel.abandon()
        elif kind in (Kind.RUN_ENDED, Kind.REFUSED):
            self.end = message
            self._inbox.finish()
            self._channel.abandon()
        else:
            return False
        return True

    def _begin(self, facts: RunFacts) -> None:
        self.run, self.home = facts.run, facts.home
        if self._description is not None:
            self._prepare(facts, self._description)
        if self.on_begin is not None:
            self.on_begin()

    def _prepare(self, facts: RunFacts, description: FlowDescription) -> None:
        executor = self._executor = _Executor(self._flow, description, facts, self._given, self)
        executor.call = self._call
        if self._stores is not None:
            executor.use(self._stores)
        executor.use_channel(self._channel)

    def _save_parameters(self, uuid: str, stores: Mapping[str, Any], home: str) -> None:
        from dovetail.artifacts.packing import ref_to_plain
        from dovetail.artifacts.store import ArtifactStore
        from dovetail.interfaces.workers import RunFacts

        facts = RunFacts(run="", flow="", stores=stores, home=home)
        artifacts = ArtifactStore(RunStores(facts) if self._stores is None else self._stores, default=uuid)
        refs = {name: ref_to_plain(artifacts.save(value)) for name, value in self._to_save.items()}
        self._channel.send(Kind.PARAMETERS, refs)


class _Executor(Executor):
    """Gives the body the caller's own arguments, and keeps what came of it as it is. Whatever else is assigned, such as
    a hook, is run as any worker does."""

    def __init__(
        self, flow: Any, description: FlowDescription, facts: RunFacts, given: Mapping[str, Any], body: Body
    ) -> None:
        super().__init__(flow, description, facts)
        self.call: Callable[..., Any] | None = None
        self.value: Any = None
        self.failure: BaseException | None = None
        self._given = given
        self._body = body

    def use_channel(self, channel: Channel) -> None:
        """Have calls go through a channel that exists."""
        self._channel = channel

    def use(self, stores: Mapping[str, Any]) -> None:
        """Take values from stores that are open."""
        self._stores = stores  # type: ignore[assignment]
        self._artifacts.clear()

    def function_of(self, task: Task) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        if task.arguments is not None:
            return super().function_of(task)
        args, kwargs = self.flow_cls.shape.unbind(self._given)  # type: ignore[attr-defined]
        return self.call or self.flow_cls.fn, args, kwargs  # type: ignore[attr-defined]

    def returned(self, task: Task, value: Any) -> None:
        if task.arguments is None:
            self.value, self.failure = value, None

    def raised(self, task: Task, error: BaseException) -> bool:
        if task.arguments is None:
            self.failure = error
        if isinstance(error, KeyboardInterrupt):
            self._body.interrupt()
        return isinstance(error, Exception)

    def close(self) -> None:
        """Let the threads go that ran what was submitted."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


class _Inbox(Inbox):
    """What the driver sends."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._connection = body._connection
        self._body = body

    def take(self, message: list[Any]) -> None:
        if self._body.take(message):
            self.wake()
        else:
            super().take(message)

    def read(self) -> list[list[Any]] | None:
        try:
            return super().read()
        except OSError:
            return None

    @property
    def is_finished(self) -> bool:
        """Whether there will be no further assignment."""
        return self._finished

    def finish(self) -> None:
        """There will be no further assignment."""
        self._finished = True
        self.wake()


class _Channel(Channel):
    """Calls of the body; they end with the run, and not this process."""

    def __init__(self, connection: socket.socket, inbox: _Inbox) -> None:
        super().__init__(connection, inbox)
        self._of_body = inbox
        self.is_over = False

    @property
    def has_open(self) -> bool:
        """Whether something was sent that was not answered."""
        return bool(self._replies)

    def send(self, *message: object) -> None:
        if self.is_over:
            raise RunOver
        try:
            super().send(*message)
        except OSError:
            self._gone()

    def send_later(self, *message: object) -> None:
        if self.is_over:
            raise RunOver
        try:
            super().send_later(*message)
        except OSError:
            self._gone()

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def tell(self, *message: object) -> None:
        """Send what may be too late."""
        try:
            super().send(*message)
        except OSError:
            return

    def wait(self, reply: Any) -> Answer:
        if self.is_over:
            raise RunOver
        answer = super().wait(reply)
        if self.is_over:
            raise RunOver
        return answer

    def take(self, message: list[Any]) -> None:
        if not self.is_over:  # else everybody who waited has been let go
            super().take(message)

    def abandon(self) -> None:
        """Nothing will be answered any more."""
        if self.is_over:
            return
        self.is_over = True
        error = ErrorReport(type="", message="the run has ended", kind="lost")
        for number, reply in list(self._replies.items()):
            if reply.answer is None:
                reply.give(Answer(number, error=error))

    def _read(self) -> None:
        super()._read()
        if self.is_over:
            raise RunOver

    def _read_forever(self) -> None:
        with self._reading:
            while not self._of_body.is_finished:  # how the run ended comes behind its being over
                with suppress(RunOver):
                    super()._read()

    def _gone(self) -> None:
        self._of_body.finish()
        self.abandon()
        raise RunOver
