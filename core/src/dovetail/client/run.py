"""`Run`: one execution of a flow, and its steps and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.client.lookup import find_run
from dovetail.client.pages import task_pages
from dovetail.client.pathspec import parse_pathspec
from dovetail.client.run_row import RunRow
from dovetail.client.unknown import unknown
from dovetail.interfaces.errors import BackendError, StoreError, UsageError
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.client.client import Client
    from dovetail.client.data import Data
    from dovetail.client.lineage import Lineage
    from dovetail.client.logs import LogLine
    from dovetail.client.signals import Waiting
    from dovetail.client.step import Step
    from dovetail.client.task import Task
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["Run"]


class Run(RunRow):
    """One execution of a flow.

    What is final is read once; the state of a run that goes on is looked up again when what is known is older than
    half a second.

    Args:
        pathspec: `Flow/run`, a run id or a unique prefix of one, or `Flow` for its newest run.
        client: Where to look; the default home otherwise.

    Raises:
        UnknownNameError: There is no such run.
        UsageError: The prefix fits several.
    """

    __slots__ = ()

    def __init__(self, pathspec: str, *, client: Client | None = None) -> None:
        from dovetail.client.client import connection_of

        spec = parse_pathspec(pathspec)
        if spec.rest:
            raise UsageError(f"{pathspec!r} names more than a run", hint="For a step use Step, for a task Task.")
        connection = connection_of(client)
        self._set(connection, find_run(connection, spec))

    @property
    def failed_task(self) -> Task | None:
        """The task that made the run fail; None when there is none."""
        from dovetail.client.find_task import task_at

        path = (self.error or {}).get("path")
        return task_at(self, path) if path else None

    # -- steps and tasks ------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Steps that have had a task, the newest first."""
        from dovetail.client.step import Step

        for name in reversed(self._step_names()):
            yield Step._of(self, name)

    def __iter__(self) -> Iterator[Step]:
        return self.steps()

    def _step_names(self) -> list[str]:
        """Steps that have had a task, in the order of the flow where its data store can be read."""
        names = [
            name
            for name, states in self.counts().items()
            if any(count for state, count in states.items() if state != "expected")
        ]
        try:
            order = self._order
        except (BackendError, StoreError):
            return names
        return sorted(names, key=lambda name: order.get(name, len(order)))

    @property
    def _order(self) -> dict[str, int]:
        if "order" not in self._cache:
            from dovetail.client.order import step_order

            self._cache["order"] = step_order(self.graph)
        order: dict[str, int] = self._cache["order"]
        return order

    def __getitem__(self, step: str) -> Step:
        from dovetail.client.step import Step

        if step not in self:
            from dovetail.client.wording import node_of

            raise unknown(node_of(self), step, self._step_names(), where=f"run {self.pathspec}")
        return Step._of(self, step)

    def __contains__(self, step: object) -> bool:
        return any(count for state, count in self.counts().get(str(step), {}).items() if state != "expected")

    def step(self, name: str) -> Step:
        """A step by its name.

        Raises:
            UnknownNameError: No task of it is on record.
        """
        return self[name]

    def task(self, path: str) -> Task:
        """A task by its path, by a shorter one that fits only it, or by its number.

        Raises:
            UnknownNameError: There is none.
            UsageError: Several fit.
        """
        from dovetail.client.find_task import find_task

        return find_task(self, path)

    def tasks(
        self,
        *,
        step: str | None = None,
        state: str | Iterable[str] = (),
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Task]:
        """Tasks, newest first, a page a query: their states and inline artifacts need no further one.

        Args:
            step: Of this step only.
            state: In this state, or one of these.
            limit: At most as many.
            oldest_first: By first appearance instead.
        """
        from dovetail.client.task import Task

        states = (str(state),) if isinstance(state, str) else tuple(map(str, state))
        query = Query(kind="tasks", run=self.id, step=step, states=states, limit=limit, oldest_first=oldest_first)
        make = Task._of
        for page in task_pages(self._connection, query):
            for at in range(len(page.rows)):
                yield make(self, page, at)

    def table(self, columns: Sequence[str] = (), *, step: str | None = None) -> dict[str, list[Any]]:
        """Columns of all tasks, oldest first: the fast way to look at a wide run, and ready for a data frame.

        Args:
            columns: Of `TASK_COLUMNS`, and `artifact:NAME` for the value of an artifact (None where a task has
                none); path, step, state, attempt, started, finished, cpu and memory by default.
            step: Of this step only.
        """
        from dovetail.client.columns import read_table

        return read_table(self, columns, step=step)

    @property
    def end_task(self) -> Task | None:
        """The task that ended the flow; None while it has not."""
        return next(self.tasks(step=self.end_step, state=("succeeded", "cached"), limit=1), None)

    @property
    def end_step(self) -> str:
        """Name of the flow's last step."""
        name = (self._row["info"] or {}).get("end")
        return name if isinstance(name, str) else self.graph.end

    @property
    def data(self) -> Data:
        """The artifacts of the end task, as attributes.

        Raises:
            UnknownNameError: The run has not reached its end.
        """
        task = self.end_task
        if task is None:
            raise unknown(
                "end task",
                self.end_step,
                [],
                where=f"run {self.pathspec}",
                hint=f"The run is {self.state} and has not reached its end; "
                f"run.task(PATH).data reads what its tasks left.",
            )
        return task.data

    # -- what it waits for ----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[Waiting]:
        """What its tasks wait for, the oldest question first; of a run that has ended nothing."""
        from dovetail.client.signals import waiting_of

        return waiting_of(self)

    def signal(self, value: Any = True, *, name: str | None = None) -> Waiting | None:
        """Answer what a task of the run waits for, or send a message that one will take later.

        Power-durable when it returns; a driver acts on it within a second. A run whose driver has exited goes on
        with `dovetail resume`.

        Args:
            value: JSON-able, or a dataclass or pydantic model.
            name: Of the input that it is for; None: what the run waits for, which must be one thing.

        Returns:
            What was answered; None when nothing waits for it yet.

        Raises:
            UsageError: The run has ended; without a name, it waits for nothing or for several things.
            ValidationError: It is no answer to the question; says why, field by field. Nothing was sent.
        """
        from dovetail.client.signals import answer

        return answer(self, value, name)

    def _send(self, value: Any, name: str, *, once: str = "") -> None:
        """Send a message, checked against nothing: it may be for a later question."""
        from dovetail.client.signals import send

        send(self, value, name, once=once)

    # -- what is in the data store --------------------------------------------------------------------------------

    @property
    def manifest(self) -> RunManifest:
        """What the run was started with: `run.json` in its data store."""
        from dovetail.client.stores import manifest_of

        return manifest_of(self)

    @property
    def graph(self) -> FlowDescription:
        """The flow as it was when the run started."""
        if "graph" not in self._cache:
            from dovetail.interfaces.flow import FlowDescription

            self._cache["graph"] = FlowDescription.from_plain(self.manifest.description)
        graph: FlowDescription = self._cache["graph"]
        return graph

    @property
    def _store_uuid(self) -> str:
        from dovetail.client.stores import run_store

        return run_store(self)[0]

    @property
    def _store(self) -> DataStore:
        from dovetail.client.stores import run_store

        return run_store(self)[1]

    @property
    def _artifacts(self) -> ArtifactStore:
        from dovetail.client.stores import artifact_store

        return artifact_store(self)

    @property
    def lineage(self) -> Lineage:
        """Which task follows which."""
        from dovetail.client.lineage import Lineage

        if "lineage" not in self._cache:
            self._cache["lineage"] = Lineage(self)
        lineage: Lineage = self._cache["lineage"]
        return lineage

    def loglines(self, stream: str | None = None) -> Iterator[LogLine]:
        """What all tasks wrote, task by task, oldest first.

        Args:
            stream: `stdout` or `stderr`; None: both.
        """
        from dovetail.client.logs import run_lines

        return run_lines(self, stream=stream)

    def _repr_html_(self) -> str:
        from dovetail.client.html import run_html

        return run_html(self)
