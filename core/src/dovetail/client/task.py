"""`Task`: one execution of a step, what it left and how it went."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dovetail.client.artifact import DataArtifact
from dovetail.client.clock import aware, aware_or_none
from dovetail.client.data import Artifacts, Data
from dovetail.client.pages import TaskPage, single
from dovetail.client.pathspec import parse_pathspec
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.events import TASK_COLUMNS
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.paths import parse_path, step_of
from dovetail.interfaces.states import RunState, TaskState
from dovetail.interfaces.tasks import ErrorReport, Exit

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.client.attempts import Attempt
    from dovetail.client.client import Client
    from dovetail.client.logs import LogLine
    from dovetail.client.run import Run
    from dovetail.client.step import Step

__all__ = ["Task"]

_AT = {name: i for i, name in enumerate(TASK_COLUMNS)}
_COMMITTED = {state.value: state for state in TaskState if state.committed}


class Task:
    """One execution of a step at one coordinate of a run.

    What a committed task says never changes and is read once. The state of another is looked up again when what is
    known is older than half a second.

    Args:
        pathspec: `Flow/run/path`, such as `DigitsFlow/01k5/train[3]`, or shorter where that fits one task only.
        client: Where to look; the default home otherwise.

    Raises:
        UnknownNameError: There is no such task.
        UsageError: Several fit.
    """

    __slots__ = ("_at", "_page", "run")

    run: Run
    """The run."""
    _page: TaskPage
    _at: int

    def __init__(self, pathspec: str, *, client: Client | None = None) -> None:
        from dovetail.client.client import connection_of
        from dovetail.client.find_task import find_task
        from dovetail.client.lookup import find_run
        from dovetail.client.run import Run

        spec = parse_pathspec(pathspec)
        if not spec.rest:
            raise UsageError(f"{pathspec!r} does not name a task", hint="Write Flow/run/path, such as Flow/01k5/start.")
        connection = connection_of(client)
        found = find_task(Run._of(connection, find_run(connection, spec)), "/".join(spec.rest))
        self.run, self._page, self._at = found.run, found._page, found._at

    @classmethod
    def _of(cls, run: Run, page: TaskPage, at: int) -> Task:
        self = cls.__new__(cls)
        self.run = run
        self._page = page
        self._at = at
        return self

    def refresh(self) -> Task:
        """Read everything anew; this task."""
        query = Query(kind="tasks", run=self.run.id, path=self.path, limit=1)
        rows = self.run._connection.provider.query(query, columns=TASK_COLUMNS).rows
        if rows:
            self._page, self._at = single(rows[0], query), 0
        return self

    def _column(self, name: str) -> Any:
        """A column of the row, read again where it may have changed by itself."""
        self.state  # noqa: B018 - looks again where it is time to
        return self._page.wide(self._at, self.run._connection)[_AT[name]]

    def _json(self, name: str) -> Any:
        text = self._column(name)
        return json.loads(text) if text else None

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Coordinate in the run, such as `train[3]`."""
        path: str = self._page.rows[self._at][0]
        return path

    @property
    def id(self) -> str:
        """The path."""
        return self.path

    @property
    def step_name(self) -> str:
        """Name of the step."""
        return step_of(self.path)

    @property
    def step(self) -> Step:
        """The step."""
        from dovetail.client.step import Step

        return Step._of(self.run, self.step_name)

    @property
    def parent(self) -> Step:
        """The step."""
        return self.step

    @property
    def pathspec(self) -> str:
        """`Flow/run/path`."""
        return f"{self.run.pathspec}/{self.path}"

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return [*self.run.path_components, *self.path.split("/")]

    @property
    def indexes(self) -> tuple[int, ...]:
        """Foreach indexes, outermost first."""
        return parse_path(self.path)[-1].indexes

    @property
    def index(self) -> int | None:
        """Innermost foreach index; None outside of a foreach."""
        indexes = self.indexes
        return indexes[-1] if indexes else None

    @property
    def number(self) -> int:
        """Numeric alias: which task of the run it is, from 1, in the order of the journal."""
        query = Query(kind="tasks", run=self.run.id, oldest_first=True)
        paths = self.run._connection.provider.query(query, columns=("path",)).rows
        return paths.index((self.path,)) + 1

    # -- how it goes ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> TaskState:
        """What it is now."""
        text = self._page.rows[self._at][1]
        committed = _COMMITTED.get(text)
        if committed is not None:
            return committed
        from dovetail.client.run_row import STALE

        if time.monotonic() - self._page.fetched > STALE:
            self.refresh()
            text = self._page.rows[self._at][1]
        return TaskState(text)

    @property
    def successful(self) -> bool:
        """Whether it was committed, in this run or in the one that it was reused from."""
        return self._page.rows[self._at][1] in _COMMITTED or self.state.committed

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state.final

    @property
    def started_at(self) -> datetime | None:
        """When the user code of the last attempt began, or None."""
        return aware_or_none(self._column("started"))

    @property
    def created_at(self) -> datetime | None:
        """The same as `started_at`."""
        return self.started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, or None."""
        return aware_or_none(self._column("finished"))

    @property
    def duration(self) -> float | None:
        """Seconds that the last attempt took, or None."""
        started, finished = self._column("started"), self._column("finished")
        return None if started is None or finished is None else max(0.0, finished - started)

    @property
    def attempt(self) -> int:
        """Number of the last attempt, from 1; 0 before the first."""
        return self._column("attempt") or 0

    @property
    def current_attempt(self) -> int:
        """Number of the last attempt."""
        return self.attempt

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt, first to last: those that failed by their reports, then the present one."""
        from dovetail.client.attempts import read_attempts

        return read_attempts(self)

    @property
    def cpu(self) -> float | None:
        """CPU seconds of the last attempt; None where they can't be known."""
        cpu: float | None = self._column("cpu")
        return cpu

    @property
    def memory(self) -> int | None:
        """Peak resident bytes of the last attempt; None where they can't be known. See `Usage` for forked ones."""
        memory: int | None = self._column("memory")
        return memory

    @property
    def error(self) -> ErrorReport | None:
        """Why it failed, or why it waits for another attempt; None otherwise."""
        if self.state.committed:  # the row may still tell of an attempt before
            return None
        data = self._json("error")
        return None if data is None else ErrorReport.from_plain(data)

    @property
    def caught(self) -> ErrorReport | None:
        """The failure that `@catch` turned into a value; None otherwise."""
        data = self.metadata.get("caught")
        return ErrorReport.from_plain(data) if isinstance(data, dict) else None

    @property
    def exception(self) -> ErrorReport | None:
        """Why it failed, or what `@catch` caught; None when neither happened."""
        return self.error or self.caught

    @property
    def exit(self) -> Exit | None:
        """How the process of the last attempt ended; None where it ended well, or that is not on record."""
        data = self.metadata.get("exit")
        return Exit(**data) if isinstance(data, dict) else None

    @property
    def metadata(self) -> dict[str, Any]:
        """What else is on record: exit, origin, reason of a re-run, isolation, what was caught."""
        found = dict(self._json("info") or {})
        if "exit" in found and self.state.committed and self.attempt > 1 and "caught" not in found:
            del found["exit"]  # of an attempt before: who commits without a failure has exited well
        if "limit" in found and self.state is not TaskState.WAITING:
            del found["limit"]
        return found

    @property
    def limit(self) -> str | None:
        """Name of the limit that it waits for; None when it waits for none."""
        name: str | None = self.metadata.get("limit") if self.run.state is RunState.RUNNING else None
        return name

    # -- what it left ---------------------------------------------------------------------------------------------

    @property
    def data(self) -> Data:
        """Values of the artifacts that the task could see at its end, as attributes. Each is loaded when read."""
        return Data(self)

    @property
    def artifacts(self) -> Artifacts:
        """The artifacts that the task could see at its end: its own outputs first, then what it inherited."""
        return Artifacts(self, own=False)

    @property
    def outputs(self) -> Artifacts:
        """The artifacts that this task itself assigned."""
        return Artifacts(self, own=True)

    def values(self, *, own: bool = False) -> dict[str, Any]:
        """Name → value of all artifacts that the task could see at its end, each loaded: the fast way to thousands.

        Args:
            own: Only what the task itself assigned.
        """
        return {name: artifact.data for name, artifact in Artifacts(self, own=own).items()}

    def __getitem__(self, name: str) -> DataArtifact:
        entry = self._page.outputs(self._at).get(name)
        return self.artifacts[name] if entry is None else DataArtifact._of_entry(self, name, entry)

    def __contains__(self, name: object) -> bool:
        return name in self.artifacts

    def __iter__(self) -> Iterator[DataArtifact]:
        return iter(self.artifacts.values())

    # -- what it wrote --------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        """What all its attempts wrote to stdout."""
        return "".join(line.text + "\n" for line in self.log(stream="stdout"))

    @property
    def stderr(self) -> str:
        """What all its attempts wrote to stderr, `logging` included."""
        return "".join(line.text + "\n" for line in self.log(stream="stderr"))

    def loglines(self, stream: str) -> Iterator[tuple[datetime, str]]:
        """(time, text) of each line of `stdout` or `stderr`, of all attempts."""
        return ((aware(line.time), line.text) for line in self.log(stream=stream))

    def log(self, *, stream: str | None = None, attempt: int | None = None) -> Iterator[LogLine]:
        """Lines that it wrote, in the order of time.

        Args:
            stream: `stdout` or `stderr`; None: both.
            attempt: Of one attempt; None: of all.
        """
        from dovetail.client.logs import task_lines

        return task_lines(self, stream=stream, attempt=attempt)

    # -- beside it in the graph -----------------------------------------------------------------------------------

    @property
    def parent_task_paths(self) -> list[str]:
        """Paths of the tasks that it follows, in index order."""
        return self.run.lineage.parents(self)

    @property
    def child_task_paths(self) -> list[str]:
        """Paths of the tasks that follow it."""
        return self.run.lineage.children(self)

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that it follows; of a join all that it brings together."""
        return self.run.lineage.tasks(self.parent_task_paths)

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that follow it."""
        return self.run.lineage.tasks(self.child_task_paths)

    # -- as a value -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Task({self.pathspec!r})"

    def _repr_html_(self) -> str:
        from dovetail.client.html import task_html

        return task_html(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and (other.run.id, other.path) == (self.run.id, self.path)

    def __hash__(self) -> int:
        return hash((self.run.id, self.path))

    def __reduce__(self) -> tuple[Any, ...]:
        wide = self._page.wide(self._at, self.run._connection)
        return _unpickled, (self.run, wide, self._page.query)


def _unpickled(run: Run, wide: tuple[Any, ...], query: Query) -> Task:
    return Task._of(run, single(wide, query), 0)
