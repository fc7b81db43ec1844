"""`Client`: client objects of one home, where a process looks at several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.client.connection import Connection, default_connection
from dovetail.client.flow import Flow, runs_in
from dovetail.client.run import Run
from dovetail.client.step import Step
from dovetail.client.task import Task
from dovetail.interfaces.errors import BackendError, PluginError, SettingsError, UnknownNameError

if TYPE_CHECKING:
    from types import EllipsisType

    from typing_extensions import Self

    from dovetail.client.artifact import DataArtifact
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["Client", "connection_of"]


def connection_of(client: Client | None) -> Connection:
    """The connection of a client, or of the default home."""
    return default_connection() if client is None else client._connection


class Client:
    """Flows, runs, steps, tasks and artifacts of one home.

    Objects of several clients may be used side by side. Everything is opened when first needed, and again in a
    process that was forked or that a pickled object came to. Thread-safe.

    Args:
        home: Folder of local state; None: what the settings say, from `DOVETAIL_HOME` to `.dovetail/`.
        profile: Settings profile.
        cwd: Where settings are looked for; the working directory by default.
        metadata: Instance of the metadata provider; the configured one by default.
        datastore: Instance or URL of the data store; the configured one by default. A run that was started with
            another one is found where its metadata says.
        namespace: Lists only the runs of this namespace, None: of all; by default of the one that
            `dovetail.client.namespace()` sets for the process.
        safe: Refuse values whose loading can run code, as that of a pickle can; so does the setting
            `artifacts.load = "safe"`.
        provider: An open metadata provider instead of the configured one. Objects can't be pickled then.
        stores: Open data stores by uuid instead of the configured ones.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        metadata: str | None = None,
        datastore: str | None = None,
        namespace: str | EllipsisType | None = ...,
        safe: bool = False,
        provider: MetadataProvider | None = None,
        stores: Mapping[str, DataStore] | None = None,
    ) -> None:
        self._connection = Connection(
            home=home,
            profile=profile,
            cwd=cwd,
            metadata=metadata,
            datastore=datastore,
            namespace=namespace,
            safe=safe,
            provider=provider,
            stores=stores,
        )

    def close(self) -> None:
        """Close what was opened. Idempotent; objects that are used afterwards open it again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._connection.where!r})"

    # -- by name --------------------------------------------------------------------------------------------------

    def flow(self, name: str) -> Flow:
        """A flow (see `Flow`)."""
        return Flow(name, client=self)

    def run(self, pathspec: str) -> Run:
        """A run (see `Run`)."""
        return Run(pathspec, client=self)

    def step(self, pathspec: str) -> Step:
        """A step of a run (see `Step`)."""
        return Step(pathspec, client=self)

    def task(self, pathspec: str) -> Task:
        """A task of a run (see `Task`)."""
        return Task(pathspec, client=self)

    def artifact(self, pathspec: str) -> DataArtifact:
        """An artifact of a task (see `DataArtifact`); also a pinned one whose run is gone."""
        from dovetail.client.artifact import DataArtifact

        try:
            return DataArtifact(pathspec, client=self)
        except UnknownNameError as error:
            return self._pinned(pathspec, error)

    def _pinned(self, pathspec: str, error: UnknownNameError) -> DataArtifact:
        """What a pin of that name keeps; raises the error where there is none."""
        from dovetail.client.pinned import find_pinned

        try:
            found = find_pinned(self._connection, pathspec)
        except (BackendError, PluginError, SettingsError) as unread:
            unseen = f"Whether it was pinned is not known: {unread.message}."
            error.hint = f"{error.hint} {unseen}" if error.hint else unseen
            raise error from unread
        if found is None:
            raise error
        return found

    def get(self, pathspec: str) -> Run | Step | Task | DataArtifact:
        """Whatever a pathspec names: a run, a step, a task or an artifact.

        `Flow` alone is its newest run. A name that fits a step and a task is the step's, a name that fits a task and
        an artifact the task's. `run/name` is an artifact of the end task where no step has that name. A pinned artifact
        whose run is gone is found by its name, or by that of its pin.

        Raises:
            UnknownNameError: It names nothing.
            UsageError: It fits several.
        """
        from dovetail.client.find import find

        try:
            return find(self._connection, pathspec)
        except UnknownNameError as error:
            return self._pinned(pathspec, error)

    # -- many -----------------------------------------------------------------------------------------------------

    def flows(self) -> list[Flow]:
        """Flows that have run, the one with the newest run first."""
        from dovetail.interfaces.metadata import Query

        if self._connection.empty:
            return []
        page = self._connection.provider.query(Query(kind="flows"))
        rows: list[dict[str, Any]] = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
        rows.sort(key=lambda row: row["latest"], reverse=True)
        return [Flow._of(self._connection, row["flow"]) for row in rows]

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.flows())

    def runs(self, *tags: str, flow: str | None = None, **filters: Any) -> Iterator[Run]:
        """Runs of all flows in the namespace, newest first; filters as for `Flow.runs`."""
        return runs_in(self._connection, flow=flow, tags=tags, **filters)
