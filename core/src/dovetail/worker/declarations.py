"""Tasks that a process told the driver of, once each, before it called them."""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from dovetail.interfaces.errors import UsageError
from dovetail.worker.channel import Channel, Reply
from dovetail.worker.wire import Kind

if TYPE_CHECKING:
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.interfaces.flow import StepDescription
    from dovetail.interfaces.workers import Answer
    from dovetail.worker.describing import TaskDescriber

__all__ = ["Declarations", "Kept"]


class Kept:
    """What was declared to the driver: a task with its options, and how to call it."""

    __slots__ = ("_around", "_recorded", "asks", "catch", "datastore", "isolation", "slot")

    def __init__(self, slot: int, answer: Answer) -> None:
        self.slot = slot
        self.isolation = answer.isolation
        """`inline`, `thread`, `either` or `driver`."""
        self.datastore = answer.datastore
        """UUID of the data store that takes its values."""
        self.asks = answer.asks
        """Whether to ask before it is run here."""
        self.catch = answer.catch
        """Whether a failure becomes a value."""
        self._recorded = dict(answer.recorded)
        self._around = answer.around

    def recall(self, path: str, arguments: bytes) -> ArtifactRef | None:
        """Where the value of a call is that the driver told of when the task was declared; once.

        Args:
            path: Of the call.
            arguments: Their digest.
        """
        if not self._recorded:
            return None
        found = self._recorded.pop(path, None)
        if found is None:
            return None
        digest, ref = found
        before, behind = self._around
        return ref if digest in (b"", blake3(before + arguments + behind).digest()) else None


class Declarations:
    """Tasks that were declared over one channel. Thread-safe."""

    def __init__(self, channel: Channel, describer: TaskDescriber) -> None:
        self._channel = channel
        self._describer = describer
        self._lock = _thread.allocate_lock()
        self._known: dict[int, tuple[StepDescription, Kept]] = {}

    def get(self, task: TaskFunction[..., Any]) -> Kept:
        """How to call a task.

        Raises:
            UsageError: Its options can't be met.
        """
        description = self._describer.describe(task)
        known = self._known.get(id(description))
        if known is not None:
            return known[1]
        with self._lock:
            known = self._known.get(id(description))
            if known is None:
                known = description, self._declare(description, len(self._known))
                self._known[id(description)] = known
            return known[1]

    def _declare(self, description: StepDescription, slot: int) -> Kept:
        reply = Reply()
        number = -1 - slot
        self._channel.expect(number, reply)
        self._channel.send(Kind.DECLARE, slot, description.to_plain())
        answer = self._channel.wait(reply)
        self._channel.forget(number)
        if answer.error is not None:
            self._known[-1 - slot] = (description, Kept(slot, answer))  # its slot is used up
            raise UsageError(answer.error.message)
        return Kept(slot, answer)
