"""Runs flows in memory, in this process, within milliseconds: `run`, and a `Harness` where a test wants more.

The engine, the journal and the artifacts are those of every run; only the backends keep nothing, and every task runs
in the thread that calls, whatever isolation it asks for. Time limits of attempts are off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.client import Client
from dovetail.engine.launch import RunRequest, start_run
from dovetail.engine.resume import ResumeRequest, resume_run
from dovetail.engine.session import FlowSource
from dovetail.interfaces.clock import Clock, use_clock
from dovetail.interfaces.errors import RunFailedError, UsageError
from dovetail.interfaces.tasks import ErrorReport
from dovetail.runner._body import Body, RunOver
from dovetail.settings import Settings
from dovetail.testing._thread_driver import CrashError, Drive
from dovetail.testing.memory_metadata import MemoryMetadata
from dovetail.testing.memory_store import MemoryStore
from dovetail.testing.virtual_clock import VirtualClock
from dovetail.worker.describing import describe_flow

if TYPE_CHECKING:
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.client import Run
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["Harness", "MemoryRun", "run", "run_crashing"]


@dataclass(frozen=True, kw_only=True)
class MemoryRun:
    """A run that ended."""

    id: str
    """Run id."""
    state: str
    """Its final state, such as `succeeded`."""
    value: Any = None
    """What a flow function returned, the object itself."""
    error: BaseException | None = None
    """Why it did not succeed."""
    executed: tuple[str, ...] = ()
    """Paths of the attempts that ran, in the order in which they ended."""
    recorded: int = 0
    """How many tasks ended with a value."""
    reused: tuple[str, ...] = ()
    """Paths of the tasks that were recorded already."""
    notes: tuple[str, ...] = ()
    """What the engine remarked."""
    output: Mapping[str, str] = field(default_factory=dict)
    """Path → what was printed there."""
    client: Run = field(repr=False)
    """The run as the client shows it."""


class Harness:
    """Backends in memory for any number of runs.

    ```python
    from dovetail import flow, task
    from dovetail.testing import CrashError, Harness


    @task
    def double(n: int) -> int:
        return 2 * n


    @flow
    def sums(upto: int) -> int:
        return sum(double(n) for n in range(upto))


    harness = Harness()
    harness.crash_after = 2
    try:
        harness.run(sums, 5)
    except CrashError:
        pass
    run = harness.resume()
    assert run.value == 20
    assert len(run.reused) == 2
    ```

    Args:
        clock: What waiting goes by; by default a `VirtualClock`, by which waiting takes no time.
        set: Settings, as those of `--set`.
        with_: Decorators for every step and task, as those of `--with`.
    """

    def __init__(self, *, clock: Clock | None = None, set: Sequence[str] = (), with_: Sequence[str] = ()) -> None:
        self.clock = VirtualClock() if clock is None else clock
        """What waiting goes by."""
        self.crash_after: int | None = None
        """The next run dies after so many tasks were recorded (0: before the first); it counts for one run."""
        self._name = os.urandom(8).hex()
        # The contents live as long as something has them open.
        self._store = MemoryStore(self._name)
        self._provider = MemoryMetadata(self._name)
        self._settings = Settings.load(cwd=os.sep, env={"DOVETAIL_HOME": os.devnull}, set_=set, with_=with_)
        self._last: tuple[Any, dict[str, Any], str] | None = None

    def run(self, flow: type[FlowSpec] | FlowFunction[..., Any], /, *args: Any, **parameters: Any) -> MemoryRun:
        """Run a flow to its end.

        Args:
            flow: A class or a function.
            args: Of a function: its arguments by position.
            parameters: Its parameters.

        Raises:
            CrashError: As asked for by `crash_after`.
            RunFailedError: A step of a class flow failed; of a flow function whatever its body raised.
            ValidationError: The flow has problems; nothing was run.
        """
        given = _given(flow, args, parameters)

        def start(session_of: Any, listener: Any) -> Any:
            return start_run(
                session_of(self._settings, source), RunRequest(parameters=given, pause_after=0.0), listener
            )

        description = _described(flow)
        source = _source(description)
        return self._drive(flow, description, given, start)

    def resume(self, run: str = "") -> MemoryRun:
        """Go on with the last run, or with one of an id, with the same flow and arguments."""
        if self._last is None:
            raise UsageError("there is no run to resume", hint="Call run first.")
        flow, given, last = self._last
        description = _described(flow)
        request = ResumeRequest(run=run or last, file=_source(description).file, pause_after=0.0)

        def start(session_of: Any, listener: Any) -> Any:
            return resume_run(self._settings, request, listener, session_of=session_of)

        return self._drive(flow, description, given, start)

    def signal(self, value: Any = True, *, name: str | None = None) -> None:
        """Answer what the last run waits for; `resume` goes on with it. See `Run.signal`.

        A run that waits for nothing else comes back at once, with the state `paused`.
        """
        if self._last is None:
            raise UsageError("there is no run to answer", hint="Call run first.")
        with use_clock(self.clock):
            self.client.run(self._last[2]).signal(value, name=name)

    @property
    def client(self) -> Client:
        """A client of everything that ran here."""
        from dovetail.artifacts.manifest import open_store

        return Client(provider=self._provider, stores={open_store(self._store): self._store}, namespace=None)

    # -- one run --------------------------------------------------------------------------------------------------

    def _drive(
        self, flow: Any, description: FlowDescription, given: dict[str, Any], start: Callable[[Any, Any], Any]
    ) -> MemoryRun:
        crash_after, self.crash_after = self.crash_after, None
        with use_clock(self.clock):
            drive = Drive(self._name, self._name, description, crash_after, start)
            body = Body(
                drive.connection,
                flow=flow,
                description=description,
                given=given,
                to_save={},
                stores=_Stores(self._store),
            )
            try:
                body.serve()
            except RunOver:
                pass
            finally:
                body.close()
                drive.join()
        if body.run:
            self._last = flow, given, body.run
        return self._ended(drive, body, description)

    def _ended(self, drive: Drive, body: Body, description: FlowDescription) -> MemoryRun:
        result, watch = drive.result, drive.watch
        if result is None:
            assert drive.error is not None
            raise drive.error
        error: BaseException | None = None
        if result.state.value not in ("succeeded", "paused"):
            error = body.failure
            if error is None or isinstance(error, RunOver):
                path, report = result.root_cause or ("", ErrorReport(type="", message="", kind=""))
                error = RunFailedError(f"{description.name} {result.state.value}: {path}: {report}")
        client = self.client.run(result.run)
        value = body.value
        if description.style == "function" and description.start in watch.reused:
            value = client[description.start].task.data.result
        run = MemoryRun(
            id=result.run,
            state=result.state.value,
            value=value,
            error=error,
            executed=tuple(watch.executed),
            recorded=watch.recorded,
            reused=tuple(watch.reused),
            notes=tuple(watch.notes),
            output={path: bytes(data).decode(errors="replace") for path, data in watch.output_of.items()},
            client=client,
        )
        if error is not None:
            error.run = run  # type: ignore[attr-defined]
            raise error
        return run


def run(flow: type[FlowSpec] | FlowFunction[..., Any], /, *args: Any, **parameters: Any) -> MemoryRun:
    """Run a flow in memory, with a clock of its own; see `Harness.run`."""
    return Harness().run(flow, *args, **parameters)


def run_crashing(flow: type[FlowSpec] | FlowFunction[..., Any], /, *args: Any, **parameters: Any) -> list[MemoryRun]:
    """Run a flow undisturbed, then once for each of its tasks with a crash behind that one, and resume it each time.

    Returns:
        The undisturbed run, and the resumed ones in the order of their crashes. That they gave the same is for the
        test to say, as in `assert len({run.value for run in runs}) == 1`.
    """
    runs = [run(flow, *args, **parameters)]
    for n in range(runs[0].recorded + 1):
        harness = Harness()
        harness.crash_after = n
        try:
            runs.append(harness.run(flow, *args, **parameters))
        except CrashError:
            runs.append(harness.resume())
    return runs


class _Stores(dict[str, Any]):
    """Whichever store is asked for, it is this one."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, uuid: str) -> MemoryStore:
        return self._store


def _described(flow: Any) -> FlowDescription:
    return replace(describe_flow(flow, gated=False), fork_hazards=())


def _given(flow: Any, args: tuple[Any, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    if isinstance(flow, type):
        if args:
            raise UsageError(f"{flow.__name__} takes its parameters by name", hint=f"As in run({flow.__name__}, n=3).")
        return dict(parameters)
    from dovetail.authoring.signature import coerce_arguments

    return dict(coerce_arguments(flow.fn, flow.shape.bind(*args, **parameters)))


def _source(description: FlowDescription) -> FlowSource:
    return FlowSource(file=Path(description.file or __file__), name=description.name)
