"""`Flow`: the runs of one flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.client.lookup import find_run, require_flow, run_rows
from dovetail.client.pathspec import parse_pathspec
from dovetail.client.run import Run
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.client.client import Client
    from dovetail.client.connection import Connection

__all__ = ["Flow"]


class Flow:
    """The runs of a flow, newest first, read page by page.

    Args:
        name: Name of the flow.
        client: Where to look; the default home otherwise.

    Raises:
        UnknownNameError: No run of such a flow is on record.
    """

    __slots__ = ("_connection", "name")

    def __init__(self, name: str, *, client: Client | None = None) -> None:
        from dovetail.client.client import connection_of

        spec = parse_pathspec(name)
        if spec.flow is None or spec.run or spec.rest:
            raise UsageError(f"{name!r} is not the name of a flow", hint="For a run use Run, for a task Task.")
        self._connection = connection_of(client)
        self.name = spec.flow
        """Name of the flow."""
        require_flow(self._connection, self.name)

    @classmethod
    def _of(cls, connection: Connection, name: str) -> Flow:
        self = cls.__new__(cls)
        self._connection = connection
        self.name = name
        return self

    @property
    def id(self) -> str:
        """Name of the flow."""
        return self.name

    @property
    def pathspec(self) -> str:
        """Name of the flow."""
        return self.name

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return [self.name]

    @property
    def latest_run(self) -> Run | None:
        """The newest run in the namespace."""
        return next(self.runs(limit=1), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run in the namespace that succeeded."""
        return next(self.runs(state="succeeded", limit=1), None)

    @property
    def created_at(self) -> datetime | None:
        """When the oldest run in the namespace was made."""
        run = next(self.runs(oldest_first=True, limit=1), None)
        return None if run is None else run.created_at

    def runs(
        self,
        *tags: str,
        state: str | Iterable[str] = (),
        user: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        parameters: Mapping[str, Any] | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Run]:
        """Runs in the namespace, newest first. Filters are evaluated where the runs are kept.

        Args:
            tags: All of these tags, user or system.
            state: In this state of `RunState` (`lost` included), or one of these.
            user: Who started them.
            since: Created at or after; a datetime or seconds since the epoch.
            until: Created before.
            parameters: With these values.
            limit: At most as many.
            oldest_first: Oldest first instead.
        """
        return runs_in(
            self._connection,
            flow=self.name,
            tags=tags,
            state=state,
            user=user,
            since=since,
            until=until,
            parameters=parameters,
            limit=limit,
            oldest_first=oldest_first,
        )

    def __iter__(self) -> Iterator[Run]:
        return self.runs()

    def __getitem__(self, run: str) -> Run:
        spec = parse_pathspec(str(run))
        if spec.flow is not None or spec.rest:
            raise UsageError(f"{run!r} is not a run id", hint="A run id starts with a digit; a unique prefix will do.")
        return Run._of(self._connection, find_run(self._connection, spec, flow=self.name))

    def __contains__(self, run: object) -> bool:
        try:
            self[str(run)]
        except LookupError:
            return False
        except UsageError:
            return False
        return True

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flow) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Flow._of, (self._connection, self.name)


def runs_in(
    connection: Connection,
    *,
    flow: str | None = None,
    tags: tuple[str, ...] = (),
    state: str | Iterable[str] = (),
    user: str | None = None,
    since: float | datetime | None = None,
    until: float | datetime | None = None,
    parameters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    oldest_first: bool = False,
) -> Iterator[Run]:
    """Runs in the connection's namespace (see `Flow.runs`)."""
    if connection.empty:
        return iter(())
    namespace = connection.namespace
    if namespace is not None and namespace.startswith("user:") and user in (None, namespace[5:]):
        user = namespace[5:]
    elif namespace is not None:
        tags = (*tags, namespace)
    query = Query(
        kind="runs",
        flow=flow,
        tags=tags,
        states=(str(state),) if isinstance(state, str) else tuple(map(str, state)),
        user=user,
        since=_seconds(since),
        until=_seconds(until),
        parameters=parameters or {},
        limit=limit,
        oldest_first=oldest_first,
    )
    return (Run._of(connection, row) for row in run_rows(connection, query))


def _seconds(when: float | datetime | None) -> float | None:
    return when if when is None or isinstance(when, (int, float)) else when.timestamp()
