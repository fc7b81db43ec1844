"""Drives a run in a thread of the process that calls the flow, with backends in its memory."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.engine.listener import RunListener
from dovetail.engine.session import FlowSource, Session
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.workers import Described
from dovetail.local._caller_group import CallerGroup
from dovetail.testing.memory_metadata import MemoryMetadata
from dovetail.testing.memory_store import MemoryStore
from dovetail.worker.wire import Kind, pack

if TYPE_CHECKING:
    from dovetail.engine.execute import RunResult
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import Output, WorkerGroup
    from dovetail.settings import Selection, Settings

__all__ = ["CrashError", "Drive", "Watch"]


class CrashError(Exception):
    """The driver of a run was made to die, as `kill -9` would have it: what was under way is not recorded."""


class Watch(RunListener):
    """Keeps what happened, and dies when it is told to.

    Args:
        crash_after: After so many tasks were recorded; None: never.
        die: Makes sure that nothing is written any more.
    """

    def __init__(self, crash_after: int | None, die: Callable[[], None]) -> None:
        self._crash_after = crash_after
        self.recorded = 0
        self._die = die
        self.executed: list[str] = []
        self.reused: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.output_of: dict[str, bytearray] = {}

    def run_started(self, manifest: Any, *, continued: bool) -> None:
        if self._crash_after == 0:
            self._crash()

    def task_ended(self, path: str, state: TaskState, attempt: int, error: ErrorReport | None, seconds: float) -> None:
        if state is TaskState.CACHED:
            self.reused.append(path)
            return
        self.executed.append(path)
        if error is not None:
            self.failed.append((path, str(error)))
        if state is TaskState.SUCCEEDED:
            self.recorded += 1
            if self.recorded == self._crash_after:
                self._crash()

    def task_known(self, path: str) -> None:
        self.reused.append(path)

    def output(self, output: Output) -> None:
        self.output_of.setdefault(output.path, bytearray()).extend(output.data)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def _crash(self) -> None:
        self._die()
        raise CrashError("the driver was made to crash here")


class _Mortal:
    """Whether the driver still lives."""

    def __init__(self) -> None:
        self.dead = False

    def die(self) -> None:
        self.dead = True

    def check(self) -> None:
        if self.dead:
            raise CrashError("the driver is dead")


class _Store(MemoryStore):
    mortal: _Mortal

    def put(self, *args: Any, **kwargs: Any) -> Any:
        self.mortal.check()
        return super().put(*args, **kwargs)

    def append(self, *args: Any, **kwargs: Any) -> int:
        self.mortal.check()
        return super().append(*args, **kwargs)


class _Metadata(MemoryMetadata):
    mortal: _Mortal

    def append(self, *args: Any, **kwargs: Any) -> int:
        self.mortal.check()
        return super().append(*args, **kwargs)


class _Group(CallerGroup):
    """The flow is imported already."""

    def __init__(self, connection: socket.socket, flow: FlowDescription) -> None:
        super().__init__(connection, interrupted=lambda: None)
        self._events.append(Described(flow))


class _MemorySession(Session):
    """Data store and metadata are the given ones whatever is chosen; the caller runs every task."""

    def __init__(
        self, settings: Settings, source: FlowSource, store: MemoryStore, provider: MemoryMetadata, group: WorkerGroup
    ) -> None:
        super().__init__(settings, source)
        self.here = "everything"
        self._store = store
        self._provider = provider
        self._group = group

    def open(self, selection: Selection) -> Any:
        if selection.kind == "datastore":
            return self._store
        if selection.kind == "metadata":
            return self._provider
        return super().open(selection)

    def begin_import(self) -> WorkerGroup:
        return self._group


class Drive:
    """A driver's thread, and the connection to it.

    Args:
        store: Name of the data store in memory.
        metadata: Name of the metadata provider in memory.
        settings: The resolved layers.
        flow: The flow as plain data.
        crash_after: See `Watch`.
        start: Starts or resumes the run, given what makes a session and the listener.
    """

    def __init__(
        self,
        store: str,
        metadata: str,
        flow: FlowDescription,
        crash_after: int | None,
        start: Callable[[Callable[[Settings, FlowSource], Session], RunListener], RunResult],
    ) -> None:
        self._mortal = _Mortal()
        self._store, self._provider = _Store(store), _Metadata(metadata)
        self._store.mortal = self._provider.mortal = self._mortal
        self.watch = Watch(crash_after, self._mortal.die)
        self.connection, self._own = socket.socketpair()
        self._group = _Group(self._own, flow)
        self._start = start
        self.result: RunResult | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dovetail-driver", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the driver has ended."""
        self.connection.close()
        self._thread.join()

    def _session(self, settings: Settings, source: FlowSource) -> Session:
        return _MemorySession(settings, source, self._store, self._provider, self._group)

    def _run(self) -> None:
        try:
            result = self.result = self._start(self._session, self.watch)
            path, error = result.root_cause or ("", None)
            plain = None if error is None else error.to_plain()
            self._group.tell(pack((Kind.RUN_ENDED, result.state.value, path, plain, 0)))
        except BaseException as error:
            self.error = error
        finally:
            self._group.close()
            self._own.close()
