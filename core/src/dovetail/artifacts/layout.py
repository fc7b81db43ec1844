"""Keys of everything that a data store holds.

`docs/reference/store-layout.md` and `artifact-format.md` describe the same for other readers.
"""

from __future__ import annotations

__all__ = [
    "MARKER",
    "attempt_key",
    "attempts_prefix",
    "call_hooks_key",
    "call_hooks_prefix",
    "called_task_key",
    "called_tasks_prefix",
    "commit_key",
    "commits_prefix",
    "end_key",
    "ends_prefix",
    "fence_key",
    "fences_prefix",
    "inbox_key",
    "inbox_prefix",
    "log_key",
    "logs_prefix",
    "manifest_key",
    "object_digest",
    "object_key",
    "run_prefix",
    "segment_fence",
    "segment_key",
    "segments_prefix",
    "store_pin_key",
    "store_pins_prefix",
    "wait_key",
    "waits_prefix",
]

MARKER = "dovetail-store.json"
"""Says that a place is a store of Dovetail, its uuid and its format."""


def object_key(digest: bytes) -> str:
    """Where a value that is too large for its record lies, by its identity."""
    text = digest.hex()
    return f"objects/{text[:2]}/{text}"


def object_digest(key: str) -> bytes:
    """The inverse of `object_key`."""
    return bytes.fromhex(key.rpartition("/")[2])


def edges_prefix(digest: bytes) -> str:
    """Begins the edges of an object."""
    name = digest.hex()
    return f"edges/{name[:2]}/{name}/"


def edge_key(digest: bytes, owner: bytes) -> str:
    """Key that says that an object has bytes in another one, its owner: both are kept or neither."""
    return f"{edges_prefix(digest)}{owner.hex()}"


def hint_key(name: bytes) -> str:
    """Key that names objects which a further version of an artifact may share bytes with."""
    return f"hints/{name.hex()}"


def run_prefix(run: str) -> str:
    """Everything of a run begins with this."""
    return f"runs/{run}/"


def manifest_key(run: str) -> str:
    """What a run is."""
    return f"runs/{run}/run.json"


def called_tasks_prefix(run: str) -> str:
    """Tasks that a run has called and that `run.json` does not tell of."""
    return f"runs/{run}/tasks/"


def called_task_key(run: str, code_key: str) -> str:
    """What one of them is."""
    return f"{called_tasks_prefix(run)}{code_key}"


def call_hooks_prefix(run: str) -> str:
    """Hooks that single calls of a run were given."""
    return f"runs/{run}/hooks/"


def call_hooks_key(run: str, path: str) -> str:
    """Hooks that one call was given."""
    return f"{call_hooks_prefix(run)}{path}/said"


def store_pins_prefix(run: str) -> str:
    """Data stores that a run came to use after it began."""
    return f"runs/{run}/stores/"


def store_pin_key(run: str, uuid: str) -> str:
    """How one of them is opened."""
    return f"{store_pins_prefix(run)}{uuid}"


def commits_prefix(run: str, path: str | None = None) -> str:
    """Commit records that are objects of their own; of one task with `path` (its child tasks included)."""
    return f"runs/{run}/commits/" if path is None else f"runs/{run}/commits/{path}/"


def commit_key(run: str, path: str, call_digest: bytes) -> str:
    """A commit record that an agent without a driver beside it wrote."""
    return f"runs/{run}/commits/{path}/{call_digest.hex()}"


def segments_prefix(run: str) -> str:
    """Commit records that drivers wrote in batches."""
    return f"runs/{run}/segments/"


def segment_key(run: str, fence: int, n: int) -> str:
    """The `n`-th segment of the driver with a fence."""
    return f"runs/{run}/segments/{fence:06d}-{n:06d}"


def segment_fence(key: str) -> int:
    """The fence in the key of a record or log segment."""
    return int(key.rpartition("/")[2].partition("-")[0])


def fences_prefix(run: str) -> str:
    """One object for each driver that a run has had."""
    return f"runs/{run}/fences/"


def fence_key(run: str, fence: int) -> str:
    """The right of a driver to write, and where the segments of its predecessors end."""
    return f"runs/{run}/fences/{fence:06d}"


def attempts_prefix(run: str, path: str) -> str:
    """Reports of a task's failed attempts (those of its child tasks included)."""
    return f"runs/{run}/attempts/{path}/"


def attempt_key(run: str, path: str, attempt: int) -> str:
    """Report of a failed attempt."""
    return f"runs/{run}/attempts/{path}/{attempt}"


def logs_prefix(run: str) -> str:
    """What tasks wrote to stdout and stderr."""
    return f"runs/{run}/logs/"


def log_key(run: str, fence: int, n: int) -> str:
    """The `n`-th log segment of the driver with a fence."""
    return f"runs/{run}/logs/{fence:06d}-{n:06d}"


def inbox_prefix(run: str) -> str:
    """Signals and cancellations that a driver has taken in."""
    return f"runs/{run}/inbox/"


def inbox_key(run: str, writer: str, n: int) -> str:
    """The `n`-th event of a writer, written before a driver acts on it."""
    return f"runs/{run}/inbox/{writer}-{n}"


def waits_prefix(run: str) -> str:
    """What tasks of a run have asked for."""
    return f"runs/{run}/waits/"


def wait_key(run: str, path: str) -> str:
    """When a task began to wait for input, and until when it does."""
    return f"runs/{run}/waits/{path}/asked"


def ends_prefix(run: str) -> str:
    """Final states that drivers have written."""
    return f"runs/{run}/end/"


def end_key(run: str, fence: int) -> str:
    """The final state of a run as the driver with this fence left it."""
    return f"runs/{run}/end/{fence:06d}"
