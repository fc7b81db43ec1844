"""What the index says of a run as a whole: identity, state, times, tags."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dovetail.client.clock import aware, aware_or_none
from dovetail.client.lookup import fresh_rows
from dovetail.client.pathspec import run_number
from dovetail.client.unknown import unknown
from dovetail.interfaces.events import RUN_COLUMNS, EventKind
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

    from dovetail.client.connection import Connection
    from dovetail.client.flow import Flow
    from dovetail.interfaces.events import Event

__all__ = ["STALE", "RunRow"]

STALE = 0.5
"""Seconds after which a state that is not final is looked up again."""


class RunRow:
    """A run's row of the index.

    What is final is read once; the state of a run that goes on is looked up again when what is known is older than
    half a second.
    """

    __slots__ = ("_cache", "_connection", "_fetched", "_row")

    @classmethod
    def _of(cls, connection: Connection, row: dict[str, Any]) -> Self:
        self = cls.__new__(cls)
        self._set(connection, row)
        return self

    def _set(self, connection: Connection, row: dict[str, Any]) -> None:
        self._connection = connection
        self._row = row
        self._fetched = time.monotonic()
        self._cache: dict[str, Any] = {}  # what never changes: run.json, open stores; and what keeps itself fresh

    def refresh(self) -> Self:
        """Read everything anew; this run."""
        rows = self._connection.provider.query(Query(kind="runs", run=self.id, limit=1), columns=RUN_COLUMNS).rows
        if not rows:
            raise unknown("run", self.id, [], hint="It was deleted.")
        row: dict[str, Any] = dict(zip(RUN_COLUMNS, rows[0], strict=True))
        self._set(self._connection, fresh_rows(self._connection, [row])[0])
        return self

    def _live(self) -> dict[str, Any]:
        """The row, read again where it may have changed by itself."""
        if not RunState(self._row["state"]).final and time.monotonic() - self._fetched > STALE:
            cache = self._cache
            self.refresh()
            self._cache = cache
        return self._row

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Run id."""
        run: str = self._row["run"]
        return run

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        flow: str = self._row["flow"]
        return flow

    @property
    def flow(self) -> Flow:
        """The flow."""
        from dovetail.client.flow import Flow

        return Flow._of(self._connection, self.flow_name)

    @property
    def parent(self) -> Flow:
        """The flow."""
        return self.flow

    @property
    def pathspec(self) -> str:
        """`Flow/run`."""
        return f"{self.flow_name}/{self.id}"

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return [self.flow_name, self.id]

    @property
    def number(self) -> int:
        """Numeric alias: when the run was made, in milliseconds; `Run("Flow/<number>")` finds it."""
        return run_number(self.id)

    @property
    def origin(self) -> str | None:
        """Id of the run that this one resumes, or None."""
        return self._row["origin"] or None

    @property
    def origin_pathspec(self) -> str | None:
        """Pathspec of the run that this one resumes, or None."""
        return f"{self.flow_name}/{self.origin}" if self.origin else None

    @property
    def user(self) -> str:
        """Who started it."""
        return self._row["user"] or ""

    @property
    def parameters(self) -> dict[str, Any]:
        """Name → value of the run's parameters."""
        return dict(self._row["parameters"] or {})

    @property
    def info(self) -> dict[str, Any]:
        """What else the journal says: the flow's file, the driver's host, process and fence, the reason of the end."""
        return dict(self._live()["info"] or {})

    # -- how it goes ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> RunState:
        """What it is now. `lost` when it was running and no driver holds its lease any more."""
        return RunState(self._live()["state"])

    @property
    def successful(self) -> bool:
        """Whether it succeeded."""
        return self.state is RunState.SUCCEEDED

    @property
    def finished(self) -> bool:
        """Whether its state is final: succeeded, failed or cancelled."""
        return self.state.final

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        return aware(self._row["created"])

    @property
    def started_at(self) -> datetime | None:
        """When it began, or None."""
        return aware_or_none(self._live()["started"])

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, or None."""
        return aware_or_none(self._live()["finished"])

    @property
    def duration(self) -> float | None:
        """Seconds from creation to the end, or to now while it runs; None when it was lost."""
        row = self._live()
        end = row["finished"] or (time.time() if row["state"] == "running" else None)
        return None if end is None else max(0.0, end - row["created"])

    @property
    def error(self) -> dict[str, Any] | None:
        """Why it failed: `path` of the root cause and `message`; None otherwise."""
        error = self._live()["error"]
        return dict(error) if error else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Step → state → number of tasks; `expected` counts those that are known to come. O(steps)."""
        return self._connection.provider.counts(self.id)

    def events(self, *, since: int = 0) -> Iterator[Event]:
        """The run's journal, in order."""
        return self._connection.provider.read(self.id, since=since)

    def wait(self, *, timeout: float | None = None) -> RunState:
        """Wait until the run goes on no more: it has ended, was interrupted, or lost its driver. Its state then.

        Args:
            timeout: Seconds to wait at most; `running` is returned after that.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.02
        while self.refresh().state is RunState.RUNNING and (until is None or time.monotonic() < until):
            time.sleep(pause)
            pause = min(2 * pause, STALE)
        return self.state

    # -- tags -----------------------------------------------------------------------------------------------------

    @property
    def tags(self) -> frozenset[str]:
        """User and system tags."""
        return self.user_tags | self.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """Tags that can be changed."""
        return frozenset(self._row["tags"] or ())

    @property
    def system_tags(self) -> frozenset[str]:
        """Tags that say where the run came from; fixed."""
        return frozenset(self._row["system_tags"] or ())

    def add_tag(self, tag: str | Iterable[str]) -> None:
        """Add a tag, or several at once. What is there already stays."""
        self.replace_tags((), tag)

    def add_tags(self, tags: Iterable[str]) -> None:
        """Add tags, all in one step."""
        self.replace_tags((), tags)

    def remove_tag(self, tag: str | Iterable[str]) -> None:
        """Remove a tag, or several at once. What is not there is no error."""
        self.replace_tags(tag, ())

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Remove tags, all in one step."""
        self.replace_tags(tags, ())

    def replace_tag(self, remove: str | Iterable[str], add: str | Iterable[str]) -> None:
        """Remove tags and add others, in one step: no reader sees a state between."""
        self.replace_tags(remove, add)

    def replace_tags(self, remove: str | Iterable[str], add: str | Iterable[str]) -> None:
        """Remove tags and add others, in one step: no reader sees a state between.

        Power-durable when it returns, whether or not the run goes on. Nothing is written to the data store.

        Raises:
            UsageError: A tag to remove is a system tag, or a tag to add is no tag.
        """
        from dovetail.client.tags import change_tags

        self._row["tags"] = change_tags(self, remove, add)

    def is_in_namespace(self) -> bool:
        """Whether the run is in the namespace that is set."""
        from dovetail.client.namespaces import in_namespace

        return in_namespace(self._connection.namespace, self.user, self.tags)

    def cancel(self, reason: str = "") -> bool:
        """Ask the run's driver to end it; whether there is one to ask.

        Power-durable when it returns: the driver acts on it within a second. Nothing is written without a driver:
        ending a run takes one, since its hooks are called. `dovetail cancel` is one where there is none.
        """
        if self.state.final or not self._connection.live_runs(self.id):
            return False
        self._connection.append(self.id, EventKind.CANCEL, reason=reason)
        return True

    def pause(self, reason: str = "") -> bool:
        """Ask for the run to be held: nothing new begins, what runs ends, then the driver exits. Whether it will be.

        Power-durable when it returns: a driver acts on it within a second. A run that is paused already, since it
        waits for input, is then not continued by an answer alone. Nothing is written where no driver lives otherwise.
        """
        if self.state is not RunState.PAUSED and (self.state.final or not self._connection.live_runs(self.id)):
            return False
        self._connection.append(self.id, EventKind.PAUSE, reason=reason)
        return True

    def unpause(self) -> bool:
        """Take back what `pause` asked for. Whether the run goes on by itself: a driver that lives lets it; a run
        whose driver has exited is continued by `dovetail unpause` or `dovetail resume`.
        """
        from dovetail.client.signals import wait_for_driver

        if self.state.final:
            return False
        return wait_for_driver(self, self._connection.append(self.id, EventKind.UNPAUSE))

    @property
    def held(self) -> bool:
        """Whether somebody asked for it to be held, and nobody for it to go on since."""
        return bool((self.refresh()._row["info"] or {}).get("held"))

    # -- as a value -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pathspec!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunRow) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._of, (self._connection, self._row)
