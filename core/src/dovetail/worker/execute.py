"""Makes one attempt: the user's step, with its inputs bound, and everything that it leaves behind."""

from __future__ import annotations

import time
from _thread import RLock  # not `threading`, see `dovetail.worker.forking.preload`
from typing import TYPE_CHECKING, Any

from dovetail.authoring.describe import step_methods
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.tasks import ErrorReport, TaskOutcome
from dovetail.worker.binding import TaskBinding
from dovetail.worker.reports import kind_of_ours, report_exception
from dovetail.worker.step_attempt import StepShared, attempt_step
from dovetail.worker.stores import RunStores
from dovetail.worker.transitions import StepTransitions
from dovetail.worker.usage import ProcessUsage, ThreadUsage
from dovetail.worker.wire import facts_to_plain

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from concurrent.futures import ThreadPoolExecutor

    from dovetail.artifacts.store import ArtifactStore
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.errors import PluginError
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.workers import RunFacts
    from dovetail.worker.assignments import Task
    from dovetail.worker.channel import Channel
    from dovetail.worker.child import Inbox
    from dovetail.worker.declarations import Declarations

__all__ = ["Executor", "debug"]

THREADS = 32
"""Threads at most for submitted tasks of one process: they wait for others more than they compute."""


class Executor:
    """Runs attempts of one flow in this process. Made before a fork; opens nothing until a task needs it.

    Args:
        flow_cls: The flow.
        description: The flow as plain data.
        facts: What every task may know of the run.
        own_process: Whether an attempt has the process to itself, so that its usage is the kernel's to tell.
        post_mortem: Whether pdb opens where a step fails.
    """

    def __init__(self, flow_cls: type[FlowSpec], description: FlowDescription, facts: RunFacts) -> None:
        self.flow_cls = flow_cls
        self.description = description
        self.facts = facts
        self.post_mortem = False
        settings = facts.settings
        given: Any = settings.get("environment_variables")
        environments: Mapping[str, Mapping[str, str]] = given or {}
        self._is_function = description.style == "function"
        methods = {} if self._is_function else step_methods(flow_cls)
        self._steps = {
            step.name: StepShared(
                methods[step.name],
                StepTransitions(step, is_end=step.name == description.end),
                environments.get(step.name) or {},
            )
            for step in description.steps
            if step.name in methods
        }
        self._run_store = str(settings.get("store") or next(iter(facts.stores), ""))
        self.printed: Any = None
        """Takes what the process prints, where nobody reads it from a pipe."""
        self.current_facts = facts_to_plain(facts)
        """What `current` tells of the run."""
        self._stores = RunStores(facts)
        hooks: Any = settings.get("child_hooks")
        self._hooks: Mapping[str, Any] = hooks or {}
        pinned: Any = settings.get("plugins")
        self._refusal = _refusal_of(facts.run, pinned) if pinned else None
        self._wrappers: list[Callable[..., Any]] | None = None if self._hooks.get("wrappers") else []
        self._serializers: Any = None
        self._connection: Any = None
        self._inbox: Any = None
        self._channel: Channel | None = None
        self._declarations: Declarations | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._making = RLock()  # of the three above, by threads that call at the same time
        self._artifacts: dict[str, ArtifactStore] = {}
        for uuid in facts.stores:  # nothing is opened; made here, children need not make it
            self.artifacts(uuid)

    def artifacts(self, uuid: str = "") -> ArtifactStore:
        """The artifact store that writes to a data store, by default the run's own."""
        uuid = uuid or self._run_store
        found = self._artifacts.get(uuid)
        if found is None:
            from dovetail.artifacts.store import ArtifactStore

            policy: Any = self.facts.settings.get("artifacts") or {}
            found = ArtifactStore(self._stores, self.serializers(), uuid, **policy)
            found = self._artifacts.setdefault(uuid, found)
        return found

    def is_run_store(self, uuid: str) -> bool:
        """Whether a data store is the run's own, so that small values go into records."""
        return not uuid or uuid == self._run_store

    # -- calls ----------------------------------------------------------------------------------------------------

    def connect(self, connection: socket.socket, inbox: Inbox | None) -> Executor:
        """Say where calls of the attempts go; None: the main thread reads, and gives answers to `channel().take`."""
        self._connection, self._inbox = connection, inbox
        return self

    def channel(self) -> Channel:
        """What calls go through."""
        with self._making:
            if self._channel is None:
                from dovetail.worker.channel import Channel

                self._channel = Channel(self._connection, self._inbox)
            return self._channel

    def declarations(self) -> Declarations:
        """Tasks that were called."""
        with self._making:
            if self._declarations is None:
                from dovetail.worker.declarations import Declarations
                from dovetail.worker.describing import TaskDescriber

                self._declarations = Declarations(self.channel(), TaskDescriber(self.description))
            return self._declarations

    def threads(self) -> ThreadPoolExecutor:
        """Threads for what is submitted."""
        with self._making:
            if self._threads is None:
                from concurrent.futures import ThreadPoolExecutor

                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dovetail-task")
            return self._threads

    # -- functions ------------------------------------------------------------------------------------------------

    def function_of(self, task: Task) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """(the user's function that an attempt runs, its arguments)."""
        from dovetail.worker.functions import find_task, given_arguments

        function: Any
        if task.arguments is None:
            function = self.flow_cls
            binding = TaskBinding(task, self.artifacts)
            given = {name: binding.load(name) for name in self.facts.parameters}
        else:
            function = find_task(task.template.code_module, task.template.code_name)
            given = given_arguments(task.arguments, self.artifacts())
        args, kwargs = function.unbind(given)
        return function.fn, args, kwargs

    def returned(self, task: Task, value: Any) -> None:
        """Told what a function returned, once it can be stored."""

    def raised(self, task: Task, error: BaseException) -> bool:
        """Told what a function raised. Whether to wait for what it submitted."""
        return True

    # -- before a fork --------------------------------------------------------------------------------------------

    def share_with_children(self) -> None:
        """Do in a warm parent what each child would otherwise do for itself, as far as a fork carries it over."""
        self._stores.open_before_fork()

    def share_sequence(self, ref: ArtifactRef) -> None:
        """Open the sequence of a foreach for the children that will each read an item of it."""
        try:
            if isinstance(ref.place, InlinePlace) or self._stores.is_open(ref.place.store):
                self.artifacts().open_sequence(ref).read_ahead()
        except (DovetailError, OSError):  # the children will say it
            return

    def serializers(self) -> Any:
        """The serializers of this process."""
        if self._serializers is None:
            from dovetail.artifacts.serializers.registry import SerializerRegistry

            extra: list[Any] = []
            if self._hooks.get("serializers"):
                from dovetail.plugins.child import ChildHooks

                extra = ChildHooks.from_plain(self._hooks).load_serializers()
            self._serializers = SerializerRegistry(extra)
        return self._serializers

    def run(self, task: Task, *, thread: bool = False, own_process: bool = False) -> tuple[TaskOutcome, int]:
        """Make an attempt; never raises.

        Args:
            task: The attempt.
            thread: Whether other attempts run in this process at the same time.
            own_process: Whether the process has no other attempt, so that the kernel tells its usage at the end.

        Returns:
            What came of it, and the exit code that a process of its own should have.
        """
        usage = None if own_process else ThreadUsage() if thread else ProcessUsage()
        started = time.time()
        try:
            if self._refusal is not None:
                raise self._refusal
            outcome, code = self._attempt(task, started, thread)
        except BaseException as error:  # not the step's fault, or no memory is left
            report = report_exception(error, kind=kind_of_ours(error))
            outcome = TaskOutcome(
                path=task.path, attempt=task.attempt, started=started, finished=time.time(), error=report
            )
            code = 1
        if self._channel is not None:
            self._channel.flush()
        if usage is not None:
            outcome.usage = usage.read()
        return outcome, code

    def _attempt(self, task: Task, started: float, thread: bool) -> tuple[TaskOutcome, int]:
        if self._is_function or task.arguments is not None:
            from dovetail.worker.function_attempt import attempt_function

            return attempt_function(self, task, started, thread)
        return attempt_step(self, self._steps[task.template.step], task, started, thread)

    @property
    def is_wrapped(self) -> bool:
        """Whether plugins wrap user code."""
        return self._wrappers != []

    def run_wrapped(self, task: Task, run: Callable[[], object]) -> None:
        """Run user code inside of what plugins put around it."""
        from dovetail.plugins.child import ChildHooks, run_wrapped
        from dovetail.plugins.observed import TaskInfo

        if self._wrappers is None:
            self._wrappers = ChildHooks.from_plain(self._hooks).load_wrappers()
        info = TaskInfo(
            run=self.facts.run,
            flow=self.facts.flow,
            path=task.path,
            step=task.template.step,
            attempt=task.attempt,
        )
        run_wrapped(self._wrappers, info, run)

    def graph(self) -> Any:
        from dovetail.planning.graph import Graph

        return Graph(self.description).to_plain()

    def save_constants(self) -> ErrorReport | None:
        """Store the class constants that were too large to travel in the description."""
        from dovetail.worker.constants import save

        try:
            save(self.flow_cls, self.description, self.artifacts())
        except BaseException as error:
            return report_exception(error, kind=kind_of_ours(error, "start"))
        return None


def _refusal_of(run: str, pinned: Mapping[str, Any]) -> PluginError | None:
    """Why no attempt is made here: an installed plugin is not the one that the run pins.

    One that is not installed is no reason yet, since a step's own environment holds few: what needs it says so.
    """
    from dovetail.interfaces.errors import PluginError
    from dovetail.plugins.closure import check_closure

    otherwise = f"Or go on with what is installed: dovetail resume {run} --ignore plugins"
    try:
        check_closure(pinned, missing=False, asker=f"a worker of run {run} runs no task", otherwise=otherwise)
    except PluginError as error:
        return error
    return None


def debug(error: BaseException) -> None:
    """Open pdb where an exception was raised."""
    import pdb
    import traceback

    traceback.print_exception(error)
    pdb.post_mortem(error.__traceback__)
