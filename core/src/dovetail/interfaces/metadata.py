"""`MetadataProvider`: the journal of runs, the index that queries read, and leases."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.events import Event

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["Holder", "Lease", "MetadataCapability", "MetadataProvider", "Page", "Query", "RunRef"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """A run that exists in the provider."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    created: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for. Every field narrows; filters are evaluated by the provider."""

    kind: Literal["flows", "runs", "steps", "tasks"]
    """What a row is. `steps` gives (run, step, state, count) with one row for each state, `expected` included."""
    flow: str | None = None
    """Name of the flow."""
    run: str | None = None
    """Run id, or a prefix of one."""
    step: str | None = None
    """Of tasks: name of the step."""
    path: str | None = None
    """Of tasks: exact path."""
    states: tuple[str, ...] = ()
    """Any of these states."""
    tags: tuple[str, ...] = ()
    """Of runs: all of these tags, user or system."""
    user: str | None = None
    """Of runs: who started it."""
    since: float | None = None
    """Of runs: created at or after; of tasks: started at or after. Seconds since the epoch."""
    until: float | None = None
    """Of runs: created before; of tasks: started before."""
    cache: tuple[str, ...] | None = None
    """Of tasks: the newest finished one with each of these keys, as the column `cache` has them; the other filters of
    tasks, pages and their order don't apply."""
    besides: str | None = None
    """With `cache`: leave out the tasks of this run."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of runs: parameters with these values."""
    limit: int | None = None
    """Rows a page; None: all of them in one page."""
    cursor: str | None = None
    """Where the page before ended."""
    oldest_first: bool = False
    """Order by time of creation, or for tasks by first appearance in the journal; newest first by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows as columns, not objects: cheap for wide answers."""

    columns: tuple[str, ...]
    """Names, as asked."""
    rows: list[tuple[Any, ...]]
    """One tuple a row, in the order of `columns`."""
    cursor: str | None = None
    """Pass it on for the next page; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a lease: one of this host and boot that is dead frees it at once."""

    host: str
    """Host name."""
    boot: str
    """Id of the host's boot."""
    pid: int
    """Process id."""
    started: str
    """When the process began, as the kernel tells it: pids are reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to one slot of a name until `expires`."""

    name: str
    """What is leased, such as `run:<id>`."""
    slot: int
    """Which of its slots, from 0."""
    token: int
    """Fencing token: higher for each lease given of this name. Refuse work from a lower one."""
    ttl: float
    """Seconds that a renewal lasts."""
    expires: float
    """Seconds since the epoch, by the provider's clock."""
    holder: Holder
    """Who holds it."""


class MetadataCapability(enum.Flag):
    """Abilities beyond the abstract methods."""

    NONE = 0
    LIMITS = enum.auto()
    """`SupportsLimits`: named limits that all runs share."""


class MetadataProvider(ABC):
    """Journal, index and leases. Synchronous, thread-safe, opened after any fork.

    What a call has written, every later call sees, through any handle in any process.
    No secret is in the `repr`, an error or a log.
    """

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.NONE
    """Abilities that this class implements; a method of one that is not declared is left out or raises
    `UnsupportedOperationError`."""

    @classmethod
    @abstractmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the provider at `target` (a path or URL; empty: its default place)."""

    def close(self) -> None:
        """Release what the provider holds. Idempotent."""
        return

    @abstractmethod
    def create_run(self, flow: str, *, run_id: str | None = None, created: float | None = None) -> RunRef:
        """Register a run. Idempotent for a given id.

        Raises:
            AlreadyExistsError: The id exists for another flow.
        """

    @abstractmethod
    def append(self, run: str, events: Sequence[Event], *, fence: int | None = None) -> int:
        """Append events to a run's journal and apply their fold; the last sequence number.

        All of them are appended, or none. Power-durable when it returns. Events that are there already (by writer and
        n) change nothing.

        Args:
            run: Run id.
            events: In order.
            fence: The driver's fence; None allows inbox events only.

        Raises:
            NotFoundError: There is no such run.
            StaleFenceError: A higher fence was seen for this run. Nothing was appended.
            PreconditionError: Without `fence`, an event is not of an inbox kind.
        """

    @abstractmethod
    def read(self, run: str, *, since: int = 0) -> Iterator[Event]:
        """Events behind sequence number `since`, in order.

        Raises:
            NotFoundError: There is no such run.
        """

    @abstractmethod
    def watch(self, run: str, *, since: int = 0) -> Iterator[Event]:
        """As `read`, then wait for more; ends when the run's state is final and all is told.

        Raises:
            NotFoundError: There is no such run.
        """

    @abstractmethod
    def query(self, query: Query, *, columns: Sequence[str] | None = None) -> Page:
        """Rows of the index.

        Args:
            query: What to look for.
            columns: Of RUN_COLUMNS or TASK_COLUMNS (tasks also `run`, and `artifact:NAME` for one output's
                index entry as JSON text); None: all of them. `flows` gives (flow, runs, latest).

        Raises:
            UsageError: An unknown kind or column.
        """

    @abstractmethod
    def counts(self, run: str) -> dict[str, dict[str, int]]:
        """Step → state → number of tasks, `expected` included, zeros left out. O(steps)."""

    @abstractmethod
    def delete_run(self, run: str) -> None:
        """Forget a run: journal, rows, tags, fence. Idempotent."""

    @abstractmethod
    def lease(self, name: str, *, holder: Holder, slots: int = 1, ttl: float = 30.0) -> Lease | None:
        """Take a slot of a name; None when all are held. Never blocks."""

    @abstractmethod
    def renew(self, lease: Lease) -> Lease:
        """Extend a lease by its ttl from now.

        Raises:
            StaleFenceError: The slot expired and went to someone else.
        """

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Give a slot back. Idempotent; a lease that was lost changes nothing."""

    @abstractmethod
    def leases(self, prefix: str = "") -> list[Lease]:
        """Leases that are held now (not expired, holder not known to be dead), by name."""
