"""Commit records, what a committed task leaves, as they are written.

A record is `msgpack([head, body])`. The driver (or agent) writes the head; the worker writes the body, which the
driver passes on unread and which is copied as it is when another run reuses the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.msgpacked import pack
from dovetail.artifacts.packing import FOREACH_OUTPUT

if TYPE_CHECKING:
    from dovetail.artifacts.outputs import Outputs
    from dovetail.interfaces.caching import CacheKey
    from dovetail.interfaces.tasks import ErrorReport, Exit, Next

__all__ = ["RECORD_VERSION", "Reads", "join_record", "pack_body", "pack_head"]

RECORD_VERSION = 1
"""Raised when a reader of the present version would misread a record."""

Reads = Mapping[str, Any]
"""Name → digest, or None for "absent". Of a join, the key "" holds name → [digest or None of each input, b"" where
that input's was not read]."""


def pack_head(
    *,
    path: str,
    call_digest: bytes,
    code_key: bytes,
    environment: str,
    attempt: int,
    state: str,
    predecessors: Sequence[str],
    store: str,
    exit: Exit | None = None,
    cpu: float | None = None,
    memory: int | None = None,
    log: tuple[str, int, int] | None = None,
    origin: str | None = None,
    isolation: str = "",
    cache: CacheKey | None = None,
) -> bytes:
    """The driver's half of a record.

    Args:
        path: Path of the task.
        call_digest: Digest of its call.
        code_key: Code key of its step.
        environment: Id of its environment.
        attempt: The attempt that committed.
        state: `succeeded` or `cached`.
        predecessors: Paths of the tasks before it.
        store: UUID of the data store that takes the values.
        exit: How its process ended.
        cpu: CPU seconds.
        memory: Peak resident bytes.
        log: Where its log is (see `dovetail.artifacts.logs`).
        origin: Run that it was reused from.
        isolation: Kind of its process.
        cache: Under what later runs find its value.
    """
    plain_exit = None if exit is None else [exit.code, exit.signal, exit.out_of_memory, exit.last_memory]
    fields = [
        RECORD_VERSION,
        path,
        call_digest,
        code_key,
        environment,
        attempt,
        state,
        predecessors,
        store,
        plain_exit,
        cpu,
        memory,
        log,
        origin,
        isolation,
    ]
    if cache is not None:
        fields.append([cache.digest, cache.by])
    return pack(fields)


def pack_body(
    outputs: Outputs,
    *,
    reads: Reads,
    next: Next | None,
    caught: ErrorReport | None = None,
    started: float,
    finished: float,
    arguments: bytes = b"",
) -> bytes:
    """The worker's half of a record.

    Args:
        outputs: What `OutputWriter.finish` gave. The sequence of a foreach must have been written by that writer.
        reads: Digest of every name that was read.
        next: The transition taken.
        caught: The failure that `@catch` turned into a value.
        started: When user code began, seconds since the epoch.
        finished: When it ended.
        arguments: Of a function: what it was called with (see `dovetail.artifacts.arguments`).
    """
    taken = None
    if next is not None:
        taken = next.to_plain(None if next.sequence is None else FOREACH_OUTPUT)
    fields = [
        outputs.table,
        outputs.digest,
        reads,
        taken,
        None if caught is None else caught.to_plain(),
        started,
        finished,
    ]
    if arguments:
        fields.append(arguments)
    return pack(fields)


def join_record(head: bytes, body: bytes) -> bytes:
    """A whole record."""
    return b"\x92" + head + pack(body)
