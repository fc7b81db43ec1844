"""`ComputeBackend`: starts jobs somewhere and tells what becomes of them."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.tasks import Resources

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = [
    "ComputeBackend",
    "ComputeCapability",
    "Job",
    "JobEvent",
    "JobHandle",
    "JobState",
    "JobWatch",
    "LogChunk",
]


class ComputeCapability(enum.Flag):
    """Abilities beyond the abstract methods."""

    NONE = 0
    ARRAY = enum.auto()
    """Jobs of size > 1 start as one request. Without it they run all the same, by a request for each index."""
    GPU = enum.auto()
    """`Resources.gpu` is honoured. Without it `validate` refuses a job that asks for one."""
    LIVE_LOGS = enum.auto()
    """`logs` gives lines while the job runs. Without it they may come with its end."""
    REATTACH = enum.auto()
    """A handle works in another process. Without it, another process gets UnsupportedOperationError or
    NotFoundError."""
    DIRECT = enum.auto()
    """`SupportsDirectWorkers`: runs task calls in processes of this host that talk to the driver."""


class JobState(str, enum.Enum):
    """State of one index of a job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a backend starts: `size` indexes, each a process tree that runs `argv`."""

    key: str
    """Idempotency key: submitting it again gives the same handle."""
    group: str
    """What `watch` follows; a run's id."""
    size: int = 1
    """Number of indexes; each finds its own in the variable `DOVETAIL_JOB_INDEX`."""
    calls: ArtifactRef | None = None
    """The task calls that the indexes work on."""
    argv: tuple[str, ...]
    """Program and arguments, never a shell string."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables; no secrets."""
    secret_env: Mapping[str, SecretRef] = field(default_factory=dict)
    """Environment variables whose values the backend resolves where the job runs."""
    image: str | None = None
    """Container image, where the backend has containers."""
    resources: Resources = field(default_factory=Resources)
    """What each index asks for."""
    timeout: float | None = None
    """Seconds after which the backend ends an index."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For people and for cleaning up: flow, run, step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHandle:
    """Names a submitted job. Plain JSON: a new process can go on with it."""

    backend: str
    """Name of the instance that submitted it."""
    id: str
    """The backend's name of the job."""
    key: str
    """The job's idempotency key."""
    size: int = 1
    """Number of indexes."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What else the backend needs, JSON-able."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A change of one index of a job."""

    handle: JobHandle
    """Which job."""
    index: int
    """Which index."""
    execution_id: str
    """Which execution: a platform that restarts a pod gives it another."""
    state: JobState
    """What it is now."""
    reason: str = ""
    """In words: image not found, unschedulable, out of memory, exit code 3."""
    exit_code: int | None = None
    """Exit code, where there is one."""
    signal: int | None = None
    """Signal that ended it."""
    platform_fault: bool = False
    """Whether the platform, not the user's code, is to blame: retried without using an attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of an index's output."""

    stream: str
    """`stdout` or `stderr`."""
    offset: int
    """Byte offset in the stream."""
    time: float
    """Seconds since the epoch when it was read."""
    data: bytes
    """The bytes."""
    cursor: str = ""
    """Pass it to `logs(after=)` to go on behind this chunk."""


class JobWatch(ABC):
    """Follows every job of a group, also later ones."""

    @abstractmethod
    def fileno(self) -> int | None:
        """A descriptor that is readable when `read` has something, or None when `read` must block."""

    @abstractmethod
    def read(self) -> list[JobEvent]:
        """What has changed. With a `fileno` it never blocks; without, it waits for the next change.

        A final state of an index is told once, and nothing of that index after it.
        """

    @abstractmethod
    def state(self) -> Any:
        """Where the watch stands, JSON-able, for `ComputeBackend.watch(resume=)`: that one tells what came after, and
        no final state again."""

    @abstractmethod
    def close(self) -> None:
        """Stop watching. Idempotent; a blocked `read` returns."""


class ComputeBackend(ABC):
    """Starts jobs. Never retries by itself. Synchronous, thread-safe, opened after any fork.

    No secret is in the `repr`, a handle, an event, an error or a log.
    """

    capabilities: ClassVar[ComputeCapability] = ComputeCapability.NONE
    """Abilities that this class implements."""

    @classmethod
    @abstractmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the backend (`target`: a cluster, queue or URL; empty: its default)."""

    def close(self) -> None:
        """Release what the backend holds; jobs run on. Idempotent."""
        return

    @abstractmethod
    def validate(self, job: Job) -> list[Problem]:
        """All that would keep the job from running, found without submitting it."""

    @abstractmethod
    def submit(self, jobs: Sequence[Job]) -> list[JobHandle]:
        """Start jobs; one handle a job, whatever its size. Idempotent by `Job.key`."""

    @abstractmethod
    def watch(self, group: str, *, resume: Any = None) -> JobWatch:
        """Follow every job of a group, from now or from a watch's `state()`.

        The first `read` tells the present state of jobs that were submitted before.
        """

    @abstractmethod
    def cancel(self, handle: JobHandle, indexes: Sequence[int] | None = None) -> None:
        """End a job, or some of its indexes, with everything that they started. Idempotent; no change after the end.

        Raises:
            NotFoundError: The backend does not know the job.
        """

    @abstractmethod
    def logs(self, handle: JobHandle, index: int, *, after: str | None = None) -> Iterator[LogChunk]:
        """Output of an index, from the beginning or behind a cursor; ends at what is there now.

        Raises:
            NotFoundError: The backend does not know the job.
        """
