"""Loads the artifacts of a run, also those whose classes the flow's own files define."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.errors import UnpicklableError

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.interfaces.artifacts import ArtifactRef, Serializer
    from dovetail.interfaces.datastore import DataStore

__all__ = ["RunArtifacts"]


class RunArtifacts(ArtifactStore):
    """The values of one run.

    Args:
        run: Whose.
        stores: Store uuid → data store.
        default: UUID of the run's store.
    """

    def __init__(self, run: Run, stores: Mapping[str, DataStore], *, default: str) -> None:
        connection = run._connection
        super().__init__(stores, connection.serializers(), default=default, **connection.load_policy())
        self._run = run

    def decode(self, ref: ArtifactRef, serializer: Serializer, read: Callable[[], Any], name: str) -> Any:
        """What `read` makes of verified frames; errors name the artifact."""
        if serializer.safe:  # it imports nothing of the user's
            return super().decode(ref, serializer, read, name)
        from dovetail.client.code import importing

        with importing(self._run) as code:
            try:
                return super().decode(ref, serializer, read, name)
            except UnpicklableError as error:
                error.hint = code.way_out(error.__cause__) or error.hint
                raise
