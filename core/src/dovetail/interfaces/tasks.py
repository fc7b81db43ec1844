"""What the engine executes: a task call, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import Any

from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.caching import CacheKey, CachePolicy
from dovetail.interfaces.dataclass import dataclass

__all__ = [
    "Arguments",
    "CallInputs",
    "CatchPolicy",
    "CodeRef",
    "ErrorReport",
    "Exit",
    "ForeachFrame",
    "Isolation",
    "JoinInput",
    "Next",
    "Policy",
    "Resources",
    "RetryPolicy",
    "Scope",
    "Sequenced",
    "TaskCall",
    "TaskOutcome",
    "Usage",
]


class Isolation(str, Enum):
    """In what kind of process or thread an attempt runs."""

    AUTO = "auto"
    FORK = "fork"
    SPAWN = "spawn"
    THREAD = "thread"
    INLINE = "inline"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRef:
    """Which code a task runs."""

    module: str
    """Canonical module name."""
    name: str
    """Qualified name inside the module, such as `DigitsFlow.train`."""
    key: bytes
    """Code key, 32 bytes: what the code is, in the sense of resume and caching."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is tried again."""

    times: int = 0
    """Further attempts after the first."""
    delay: float = 0.0
    """Seconds before the first retry."""
    backoff: float = 1.0
    """Factor on the delay for each further retry."""
    max_delay: float = 3600.0
    """Longest pause, seconds."""
    jitter: float = 0.0
    """Fraction of the delay that is drawn at random and added or taken, 0 to 1."""
    on: tuple[str, ...] = ()
    """Class names of exceptions that are retried (`ValueError` or `package.module.Error`); empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchPolicy:
    """What happens when the last attempt failed: the task succeeds and records the error."""

    var: str | None = None
    """Name of the artifact that holds the error, None on success; None: only the record tells."""
    print_exception: bool = True
    """Whether the traceback is printed to the task's stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the attempts of a task are made."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """When a failed attempt is tried again."""
    catch: CatchPolicy | None = None
    """Whether a failure becomes a value."""
    timeout: float | None = None
    """Seconds an attempt may take before it is killed."""
    reuse: int = 1
    """Tasks that one process may run; 0: as many as keep it busy for a short while ("auto")."""
    cache: CachePolicy | None = None
    """Whether a value that another run made is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a task asks of its backend."""

    cpu: float = 1.0
    """Cores."""
    memory_mb: int | None = None
    """Mebibytes; None: the backend's default."""
    gpu: int = 0
    """Devices."""
    disk_mb: int | None = None
    """Mebibytes; None: the backend's default."""
    shared_memory_mb: int | None = None
    """Mebibytes of /dev/shm; None: the backend's default."""

    def maximum(self, other: Resources) -> Resources:
        """The larger of each."""

        def larger(a: int | None, b: int | None) -> int | None:
            return b if a is None else a if b is None else max(a, b)

        return Resources(
            cpu=max(self.cpu, other.cpu),
            memory_mb=larger(self.memory_mb, other.memory_mb),
            gpu=max(self.gpu, other.gpu),
            disk_mb=larger(self.disk_mb, other.disk_mb),
            shared_memory_mb=larger(self.shared_memory_mb, other.shared_memory_mb),
        )


class Scope:
    """The artifacts that a class step's task can read: layers, the nearest last, shared by siblings.

    Immutable. One exists per committed task, so it is a bare slotted class and its layer stays packed.
    """

    __slots__ = ("digest", "layer", "parent")

    def __init__(self, parent: Scope | None, layer: bytes, digest: bytes) -> None:
        self.parent = parent
        """The scope below, or None for the parameters and constants of the run."""
        self.layer = layer
        """Packed outputs of one task and where its record is (see `dovetail.artifacts`)."""
        self.digest = digest
        """Identity of everything in the scope, 32 bytes."""

    def layers(self) -> list[bytes]:
        """Packed layers, the outermost (parameters) first."""
        found: list[bytes] = []
        scope: Scope | None = self
        while scope is not None:
            found.append(scope.layer)
            scope = scope.parent
        found.reverse()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequenced:
    """The value of a foreach: written once, read one item at a time. Shared by its tasks."""

    ref: ArtifactRef
    """The sequence artifact."""
    length: int
    """Number of items."""
    step: str
    """Step that split."""
    var: str
    """Artifact that was named, or empty when a value was given."""


@dataclass(frozen=True, slots=True)
class ForeachFrame:
    """One level of foreach around a task."""

    sequence: Sequenced
    """What is iterated."""
    index: int
    """Which item, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinInput:
    """One of the tasks that a join brings together."""

    path: str
    """Path of the predecessor."""
    scope: Scope | None
    """What it left; None when it failed under `on_error="collect"`."""
    frames: tuple[ForeachFrame, ...] = ()
    """Its foreach levels."""
    error: ErrorReport | None = None
    """Why it failed."""


class Arguments:
    """What a function is called with. Immutable; made for every call, so a bare slotted class."""

    __slots__ = ("digest", "table")

    def __init__(self, table: bytes, digest: bytes) -> None:
        self.table = table
        """Packed name → reference (see `dovetail.artifacts.arguments`)."""
        self.digest = digest
        """Identity of all of them, or of the call's explicit key; 32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInputs:
    """What a task is given."""

    scope: Scope
    """What `self` of a step reads; for a join only the run's parameters and constants."""
    frames: tuple[ForeachFrame, ...] = ()
    """Foreach levels, outermost first."""
    joined: Sequence[JoinInput] | None = None
    """Of a join: the predecessors in index order, possibly none."""
    arguments: Arguments | None = None
    """Of a function that another task called: what it was called with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """One task, ready to be executed."""

    path: str
    """Coordinate in the run."""
    step: str
    """Name of the step."""
    code: CodeRef
    """What runs."""
    inputs: CallInputs
    """What it is given."""
    digest: bytes
    """Call digest, 32 bytes: code, inputs and environment. A record made for another digest is ignored."""
    environment: str
    """Id of the locked environment."""
    resources: Resources
    """What it asks of the backend."""
    backend: str
    """Name of the compute instance."""
    datastore: str
    """UUID of the data store that takes the values."""
    isolation: Isolation
    """Process or thread."""
    policy: Policy
    """Retries, time limit, catch, reuse, caching."""
    cache_key: CacheKey | None = None
    """Of a task that is cached: under what other runs have left its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The transition that a task took."""

    targets: tuple[str, ...]
    """Steps that follow; empty at the end."""
    condition: str | None = None
    """Of a switch: JSON text of the value that chose."""
    sequence: ArtifactRef | None = None
    """Of a foreach: the sequence."""
    length: int | None = None
    """Of a foreach: number of items."""
    var: str = ""
    """Of a foreach: the artifact that was named."""
    on_error: str = "fail"
    """Of a foreach: `fail` or `collect`."""

    def to_plain(self, ref: Any = None) -> list[Any]:
        """As stored in a commit record; `ref` is the sequence as plain data."""
        return [list(self.targets), self.condition, ref, self.length, self.var, self.on_error]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """Why an attempt failed."""

    type: str
    """Qualified name of the exception, or empty when the process died."""
    message: str
    """First line of the message, with the next where it ends in a colon; or what happened to the process."""
    traceback: str = ""
    """The user's own traceback, without Dovetail's frames."""
    bases: tuple[str, ...] = ()
    """Qualified names of the exception's classes, its own first; what `retry(on=)` matches."""
    kind: str = "exception"
    """`exception`, `exit`, `signal`, `timeout`, `memory`, `lost` (the worker's host process died), `start`
    (it could not begin), `store` (the data store failed while what the step left was saved) or `cancelled`."""

    def __str__(self) -> str:
        """In one line, with the plain name of the class: `ValueError: bad`."""
        return _one_line(self.type.rpartition(".")[2], self.message)

    def to_plain(self) -> dict[str, Any]:
        """This report as JSON-able data."""
        return {
            "type": self.type,
            "message": self.message,
            "traceback": self.traceback,
            "bases": list(self.bases),
            "kind": self.kind,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> ErrorReport:
        """The inverse of `to_plain`."""
        return cls(**{**data, "bases": tuple(data["bases"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an attempt used, from the kernel. None where it can't be known, never a guess."""

    cpu: float | None = None
    """User and system CPU seconds."""
    memory: int | None = None
    """Peak resident bytes; a forked process's include pages shared with the warm parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the process of an attempt ended."""

    code: int | None = None
    """Exit code, or None when a signal ended it."""
    signal: int | None = None
    """Signal number."""
    out_of_memory: bool = False
    """Whether a cgroup's counter of memory kills rose."""
    last_memory: int | None = None
    """Resident bytes before the end: by the kernel, when last looked at, or at their peak where a signal ended it."""


@dataclass(slots=True, kw_only=True)
class TaskOutcome:
    """What a worker sends when an attempt ended by itself. Not frozen: made once for every task, so cheap."""

    path: str
    """Path of the task."""
    attempt: int
    """Attempt, from 1."""
    started: float
    """Seconds since the epoch when user code began."""
    finished: float
    """Seconds since the epoch when it ended."""
    error: ErrorReport | None = None
    """Why it failed; None when it is to be committed."""
    caught: ErrorReport | None = None
    """The failure that `@catch` turned into a value."""
    body: bytes = b""
    """The worker's half of the commit record: outputs, reads, next (see `dovetail.artifacts`)."""
    values: bytes = b""
    """Packed values that live in the record; offsets in `body` count from its first byte."""
    outputs: bytes = b""
    """The outputs of `body` alone, packed: a layer of a scope."""
    outputs_digest: bytes = b""
    """Identity of the outputs, 32 bytes."""
    index: str = "{}"
    """JSON text of the outputs as the metadata index shows them."""
    next: Next | None = None
    """The transition taken."""
    objects: tuple[str, ...] = ()
    """Keys of objects that were written or reused."""
    usage: Usage | None = None
    """What the attempt used, where the worker itself knows (reused processes, threads)."""


def _one_line(type_name: str, message: str) -> str:
    return f"{type_name}: {message}" if type_name and message else type_name or message
