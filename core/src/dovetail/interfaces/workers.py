"""Direct workers: how a compute backend of this host runs task calls beside the driver.

An ability of a `ComputeBackend` (`ComputeCapability.DIRECT`). A `WorkerGroup` stands for one imported flow in
one environment. Its methods never block; whatever happens comes out of `read`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol, TypeAlias, runtime_checkable

from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.flow import FlowDescription, StepDescription
from dovetail.interfaces.tasks import Arguments, CatchPolicy, ErrorReport, Exit, Isolation, TaskCall, TaskOutcome, Usage

__all__ = [
    "Answer",
    "Assignment",
    "CallEnded",
    "Called",
    "Checked",
    "Declared",
    "Described",
    "Ended",
    "Exited",
    "Failed",
    "Launch",
    "Output",
    "RunFacts",
    "Started",
    "SupportsDirectWorkers",
    "WorkerEvent",
    "WorkerGroup",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Which flow to import, and how."""

    file: str
    """Absolute path of the flow's file."""
    flow: str | None = None
    """Name of the class, where the file has several."""
    python: tuple[str, ...]
    """Interpreter and its options."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables over the driver's own; no secrets."""
    cwd: str
    """Working directory."""
    terminal: bool = False
    """Whether inline tasks get the driver's terminal instead of pipes (`--debug`)."""
    post_mortem: bool = False
    """Whether pdb opens where an inline task fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What every task of a run may know: the fields of `current`, and where values are kept."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    origin: str | None = None
    """Run that this one resumes."""
    namespace: str = ""
    """The caller's namespace, such as `user:ada`."""
    username: str = ""
    """Who started the run."""
    tags: tuple[str, ...] = ()
    """User tags at the start."""
    parameters: tuple[str, ...] = ()
    """Names of the parameters."""
    stores: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Store uuid → {instance, backend, target, settings}: how a worker opens it; no credentials."""
    home: str = ""
    """Folder of local state."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Resolved settings that workers need, JSON-able."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt that a worker shall make."""

    call: TaskCall
    """What to run."""
    attempt: int
    """Attempt, from 1."""
    last: bool
    """Whether no retry follows, so that `@catch` applies."""
    replays: bool = False
    """Whether there may be records of tasks that it calls."""


@dataclass(frozen=True, slots=True)
class Described:
    """The flow was imported."""

    flow: FlowDescription
    """What it is."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The flow can't be imported, or the process that imported it died. No worker of the group lives."""

    error: ErrorReport
    """Why; the traceback is the user's own."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Values of parameters were looked at, see `WorkerGroup.check`."""

    wrong: tuple[tuple[str, str], ...]
    """(parameter, what is wrong with its value); empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker's process runs."""

    worker: int
    """Which worker."""
    pid: int
    """Its process."""
    isolation: Isolation
    """What it really is: `fork`, `spawn`, `thread` or `inline`."""


@dataclass(frozen=True, slots=True)
class Output:
    """A task wrote something."""

    worker: int
    """Which worker."""
    path: str
    """Which task; empty where no task was running."""
    attempt: int
    """Which attempt; 0 where no task was running."""
    stream: str
    """`stdout` or `stderr`."""
    time: float
    """Seconds since the epoch when it was read."""
    data: bytes
    """The bytes; lines may be cut."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended. All of its `Output` came before."""

    worker: int
    """Which worker."""
    outcome: TaskOutcome | None
    """What the worker sent; None when its process died first, or was killed."""
    path: str
    """Which task."""
    attempt: int
    """Which attempt."""
    exit: Exit | None = None
    """How the attempt's process ended, where it had one of its own or died."""
    usage: Usage | None = None
    """What the attempt used, from the kernel."""


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker's process is gone."""

    worker: int
    """Which worker."""
    unstarted: tuple[str, ...]
    """Paths of assignments that never began: they may be assigned again without using an attempt."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A worker is about to call a task that it did not call before; it waits for an answer."""

    worker: int
    """Which worker."""
    slot: int
    """Number that its calls of this task will name, from 0."""
    step: StepDescription
    """The task, with the options of the call site."""


@dataclass(frozen=True, slots=True)
class Called:
    """A task calls another one."""

    worker: int
    """Which worker."""
    caller: str
    """Path of the assignment whose process calls."""
    number: int
    """Number of the call on this worker."""
    slot: int
    """Which task, see `Declared`."""
    path: str
    """Path that the called task has."""
    arguments: Arguments
    """What it is called with."""
    after: tuple[str, ...]
    """Paths of the tasks whose outputs it takes, or that it waits for."""
    here: bool
    """Whether the worker itself runs it."""
    asks: bool
    """Of a task that the worker itself runs: whether it waits for an answer before it does."""
    looks: bool = False
    """Whether it wants to know what is recorded and runs nothing: an answer that says nothing means that there is no
    record."""
    known: bool = False
    """Whether it has the value already, see `Answer.recorded`, and waits for nothing."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """An attempt of a called task that the worker itself ran has ended; it waits for an answer."""

    worker: int
    """Which worker."""
    number: int
    """Number of the call."""
    outcome: TaskOutcome
    """What came of it; its path is that of the called task."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker is told of a call, or of a declaration. One of these is given."""

    number: int
    """Number of the call, or minus one minus the slot of the declaration."""
    attempt: int = 0
    """Run the task yourself: attempt, from 1."""
    last: bool = True
    """Whether no retry follows that attempt."""
    value: ArtifactRef | None = None
    """The task is committed: where its result is."""
    error: ErrorReport | None = None
    """The task failed for good, or can't be called."""
    isolation: str = ""
    """Of a declaration: `inline`, `thread`, `either` (a call is inline, what is submitted a thread), or `driver`."""
    datastore: str = ""
    """Of a declaration: UUID of the data store that takes the values."""
    asks: bool = False
    """Of a declaration: whether to ask before a call is run here, since there may be a record of it."""
    catch: CatchPolicy | None = None
    """Of a declaration: whether a failure becomes a value."""
    recorded: Mapping[str, tuple[bytes, ArtifactRef]] = field(default_factory=dict)
    """Of a declaration: calls of the task that need not be asked about, path → (call digest that the record was made
    for, empty where any will do; where the value is)."""
    around: tuple[bytes, bytes] = (b"", b"")
    """Of a declaration: what is before and behind the digest of the arguments in what a call digest is made of."""


WorkerEvent: TypeAlias = (
    Described | Failed | Checked | Started | Output | Ended | Exited | Declared | Called | CallEnded
)
"""What a group tells."""


class WorkerGroup(ABC):
    """Workers that share one imported flow. Not thread-safe: one event loop owns it."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when `read` has something (an epoll instance, a socket)."""

    @abstractmethod
    def read(self) -> list[WorkerEvent]:
        """What has happened, in order. Never blocks."""

    @abstractmethod
    def next_wake(self) -> float | None:
        """When `read` must be called though nothing is readable, by `time.monotonic`; None: never."""

    def check(self, values: Mapping[str, object]) -> bool:
        """Have the process that imported a flow function look at values of its parameters, before `begin`: only there
        the classes are known that their hints name. `Checked` tells what is wrong.

        Args:
            values: Name → value, JSON-able.

        Returns:
            Whether it will be told: not every group has such a process, and then the run finds out.
        """
        return False

    @abstractmethod
    def begin(self, facts: RunFacts) -> None:
        """Tell the facts of the run; before the first `start`, once."""

    @abstractmethod
    def start(self, isolation: Isolation, *, tasks: int) -> int:
        """Start a worker; its number.

        Args:
            isolation: `AUTO` is fork where the gate allows it, else spawn.
            tasks: How many tasks it may run before it is replaced; 1: its process belongs to one attempt,
                0: any number.
        """

    @abstractmethod
    def assign(self, worker: int, assignments: Sequence[Assignment]) -> None:
        """Queue attempts on a worker; it runs them in order (`thread`: at the same time)."""

    @abstractmethod
    def answer(self, worker: int, answer: Answer) -> None:
        """Answer what a worker called or declared. Nothing happens when it is gone."""

    @abstractmethod
    def finish(self, worker: int) -> None:
        """Let a worker end when its queue is empty."""

    @abstractmethod
    def kill(self, worker: int, *, grace: float) -> None:
        """End a worker and everything that it started: SIGTERM, and SIGKILL after `grace` seconds."""

    @abstractmethod
    def close(self, *, grace: float = 0.0) -> None:
        """End the group and all of its workers. Idempotent."""


@runtime_checkable
class SupportsDirectWorkers(Protocol):
    """`ComputeCapability.DIRECT`."""

    def open_group(self, launch: Launch) -> WorkerGroup:
        """Begin to import a flow; `Described` or `Failed` is the first thing that `read` tells."""
        ...
