"""`Step`: the tasks of one step of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.client.clock import aware_or_none
from dovetail.client.pathspec import Pathspec, parse_pathspec
from dovetail.client.unknown import unknown
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.paths import format_node

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.client.client import Client
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["Step"]


class Step:
    """The tasks of one step of a run.

    Args:
        pathspec: `Flow/run/step`, or `run/step`, or `Flow/step` for the flow's newest run.
        client: Where to look; the default home otherwise.

    Raises:
        UnknownNameError: No task of such a step is on record.
    """

    __slots__ = ("name", "run")

    run: Run
    """The run."""
    name: str
    """Name of the step."""

    def __init__(self, pathspec: str, *, client: Client | None = None) -> None:
        from dovetail.client.client import connection_of
        from dovetail.client.lookup import find_run
        from dovetail.client.run import Run

        spec: Pathspec = parse_pathspec(pathspec)
        if len(spec.rest) != 1:
            raise UsageError(f"{pathspec!r} does not name a step", hint="Write Flow/run/step.")
        connection = connection_of(client)
        found = Run._of(connection, find_run(connection, spec))[spec.rest[0]]
        self.run, self.name = found.run, found.name

    @classmethod
    def _of(cls, run: Run, name: str) -> Step:
        self = cls.__new__(cls)
        self.run = run
        self.name = name
        return self

    @property
    def id(self) -> str:
        """Name of the step."""
        return self.name

    @property
    def parent(self) -> Run:
        """The run."""
        return self.run

    @property
    def pathspec(self) -> str:
        """`Flow/run/step`."""
        return f"{self.run.pathspec}/{self.name}"

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return [*self.run.path_components, self.name]

    # -- tasks ----------------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The newest task: the only one of a step that is not repeated."""
        task = next(self.tasks(limit=1), None)
        if task is None:
            raise unknown("task", self.name, [], where=f"run {self.run.pathspec}")
        return task

    def tasks(
        self, *, state: str | Iterable[str] = (), limit: int | None = None, oldest_first: bool = False
    ) -> Iterator[Task]:
        """Tasks of the step, newest first (see `Run.tasks`)."""
        return self.run.tasks(step=self.name, state=state, limit=limit, oldest_first=oldest_first)

    def __iter__(self) -> Iterator[Task]:
        return self.tasks()

    def __getitem__(self, key: str | int | tuple[int, ...]) -> Task:
        """A task by its path, its number in the run as text, or its foreach index or indexes."""
        if isinstance(key, int):
            key = (key,)
        if isinstance(key, tuple):
            key = format_node(self.name, key)
        from dovetail.client.find_task import find_task

        return find_task(self.run, key, step=self.name)

    def __len__(self) -> int:
        return sum(count for state, count in self.counts().items() if state != "expected")

    def __bool__(self) -> bool:
        return True

    def counts(self) -> dict[str, int]:
        """State → number of tasks; `expected` counts those that are known to come."""
        return self.run.counts().get(self.name, {})

    # -- many at once ---------------------------------------------------------------------------------------------

    def values(self, name: str, *, default: Any = None) -> list[Any]:
        """One artifact of every task, by foreach index: the fast way to gather results.

        Args:
            name: Name of the artifact, as an output of the step.
            default: Stands for the artifact of a task that has none, as one that failed.

        Raises:
            UnknownNameError: No task of the step has such an output.
        """
        from dovetail.client.columns import read_values

        return read_values(self, name, default)

    def table(self, columns: Sequence[str] = ()) -> dict[str, list[Any]]:
        """Columns of all tasks, oldest first (see `Run.table`)."""
        return self.run.table(columns, step=self.name)

    # -- in time and in the graph ---------------------------------------------------------------------------------

    @property
    def created_at(self) -> datetime | None:
        """When its first task began."""
        times = [time for time in self.table(["started"])["started"] if time is not None]
        return aware_or_none(min(times)) if times else None

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended; None while one has not."""
        times = self.table(["finished"])["finished"]
        return aware_or_none(max(times)) if times and None not in times else None

    @property
    def parent_steps(self) -> Iterator[Step]:
        """Steps that lead here, in the order of the flow."""
        return (Step._of(self.run, step.name) for step in self.run.graph.steps if self.name in step.targets)

    @property
    def child_steps(self) -> Iterator[Step]:
        """Steps that can follow."""
        step = self.run.graph.by_name.get(self.name)
        return (Step._of(self.run, name) for name in (step.targets if step else ()))

    # -- as a value -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Step({self.pathspec!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and (other.run, other.name) == (self.run, self.name)

    def __hash__(self) -> int:
        return hash((self.run.id, self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        return Step._of, (self.run, self.name)
