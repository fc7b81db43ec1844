"""Makes the outcome of a task that is caught though no worker lives to tell: it was killed, or timed out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dovetail.artifacts.caught import CaughtError
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.packing import RESULT
from dovetail.artifacts.record_packing import pack_body
from dovetail.interfaces.tasks import Next, TaskOutcome

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.machine import Attempt
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import ErrorReport

__all__ = ["CaughtOutcomes"]


class CaughtOutcomes:
    """Outcomes as `@catch` promises them: the error in its artifact, and the step's only transition taken."""

    def __init__(self, artifacts: ArtifactStore, flow: FlowDescription) -> None:
        self._artifacts = artifacts
        self._steps = flow.by_name

    def __call__(self, attempt: Attempt, error: ErrorReport, started: float | None) -> TaskOutcome:
        """The outcome that stands for a failure of an attempt that began at `started`, if it did."""
        call = attempt.call
        assert call.policy.catch is not None
        writer = OutputWriter(self._artifacts)
        name = RESULT if attempt.task.is_called else call.policy.catch.var
        if name is not None:
            writer.add(name, CaughtError.from_report(error))
        outputs = writer.finish()
        transitions = () if attempt.task.is_called else self._steps[call.step].transitions
        taken = Next(targets=transitions[0].targets if transitions else ())
        arguments = call.inputs.arguments
        now = time.time()
        began = now if started is None else started
        return TaskOutcome(
            path=call.path,
            attempt=attempt.number,
            started=began,
            finished=now,
            caught=error,
            body=pack_body(
                outputs,
                reads={},
                next=taken,
                caught=error,
                started=began,
                finished=now,
                arguments=b"" if arguments is None else arguments.table,
            ),
            values=outputs.values,
            outputs=outputs.table,
            outputs_digest=outputs.digest,
            index=outputs.index,
            next=taken,
            objects=outputs.objects,
        )
