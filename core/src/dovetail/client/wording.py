"""How messages call the nodes of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import BackendError, StoreError
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.client.run import Run

__all__ = ["naming_artifact", "node_of", "standing_of", "way_to_see"]

_STANDING = {
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.INTERRUPTED: "was interrupted",
    RunState.LOST: "lost its driver",
    RunState.PAUSED: "is paused",
    RunState.RUNNING: "is running",
}


def node_of(run: Run) -> str:
    """What a node of the run's flow is to who wrote it: `step`, or `task` in a flow function."""
    try:
        return run.graph.noun
    except (BackendError, StoreError):  # the data store can't be read
        return "step"


def standing_of(run: Run) -> str:
    """How a run stands, as what follows its name in a sentence: `failed`, `is running`."""
    return _STANDING.get(run.state, f"is {run.state}")


def way_to_see(run: Run) -> str:
    """The command that tells why a run stands where it does, or how it goes on."""
    if run.state is RunState.RUNNING:
        return f"Follow it with: dovetail logs {run.id} --follow"
    failed = run.failed_task
    where = f"{run.id}/{failed.path}" if failed is not None else run.id
    return f"Look deeper with: dovetail show {where}"


@contextmanager
def naming_artifact(pathspec: str) -> Iterator[None]:
    """Errors of what an artifact is read from, such as its task's record or its run's manifest, name it as well."""
    try:
        yield
    except (BackendError, StoreError) as error:
        if pathspec not in error.message:
            error.message = f"artifact {pathspec} is not loaded: {error.message}"
            error.args = (error.message,)
        raise
