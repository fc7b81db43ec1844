"""Runs a step of Dovetail's own in a warm parent, as a child will run the user's. No user code, nothing is stored."""

from __future__ import annotations

import socket

from dovetail.artifacts.outputs import OutputWriter, pack_layer
from dovetail.authoring.flowspec import FlowSpec
from dovetail.authoring.steps import step
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.tasks import (
    CallInputs,
    CodeRef,
    ForeachFrame,
    Isolation,
    Policy,
    Resources,
    Scope,
    Sequenced,
    TaskCall,
)
from dovetail.interfaces.workers import Assignment, RunFacts
from dovetail.worker.assignments import AssignmentWriter
from dovetail.worker.child import Inbox, serve
from dovetail.worker.execute import Executor
from dovetail.worker.streams import NONCE_LENGTH
from dovetail.worker.wire import Mode

__all__ = ["rehearse"]


class _Rehearsal(FlowSpec):
    @step
    def start(self):  # type: ignore[no-untyped-def]
        self.value = self.input
        self.next(self.end)

    @step
    def end(self):  # type: ignore[no-untyped-def]
        pass


def rehearse(times: int) -> None:
    """Serve so many assignments in this process, over a socket to itself."""
    description = FlowDescription(
        name="_Rehearsal",
        module=__name__,
        file="",
        steps=(
            StepDescription(name="start", transitions=(Transition(kind="linear", targets=("end",)),)),
            StepDescription(name="end"),
        ),
        start="start",
        end="end",
    )
    executor = Executor(_Rehearsal, description, RunFacts(run="", flow="_Rehearsal", stores={"-": {}}))
    # So small a sequence is inline in its reference: no store is touched.
    sequence, length = OutputWriter(executor.artifacts()).write_sequence([1])
    frame = ForeachFrame(Sequenced(ref=sequence, length=length, step="start", var=""), 0)
    message = b"".join(AssignmentWriter().write(1, Assignment(_call(frame), 1, True)))
    for _ in range(times):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(message)
            serve(theirs, executor, Mode.ONE, 1, bytes(NONCE_LENGTH), inbox=Inbox())


def _call(frame: ForeachFrame) -> TaskCall:
    return TaskCall(
        path="start",
        step="start",
        code=CodeRef(module=__name__, name="_Rehearsal.start", key=b""),
        inputs=CallInputs(scope=Scope(None, pack_layer(b"\x80", None), b""), frames=(frame,)),
        digest=b"",
        environment="",
        resources=Resources(),
        backend="",
        datastore="-",
        isolation=Isolation.AUTO,
        policy=Policy(),
    )
