"""Runs a step of Dovetail's own in a warm parent, as a child will run the user's. No user code, nothing is stored."""

from __future__ import annotations

import socket

from dovetail.authoring.flowspec import FlowSpec
from dovetail.authoring.steps import step
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.tasks import CallInputs, CodeRef, Isolation, Policy, Resources, Scope, TaskCall
from dovetail.interfaces.workers import Assignment, RunFacts
from dovetail.worker.assignments import AssignmentWriter
from dovetail.worker.child import serve
from dovetail.worker.execute import Executor
from dovetail.worker.streams import NONCE_LENGTH
from dovetail.worker.wire import Mode

__all__ = ["rehearse"]

_TIMES = 10  # CPython adapts code after eight calls


class _Rehearsal(FlowSpec):
    @step
    def start(self):  # type: ignore[no-untyped-def]
        self.value = 1
        self.next(self.end)

    @step
    def end(self):  # type: ignore[no-untyped-def]
        pass


def rehearse() -> None:
    """Serve assignments in this process, over a socket to itself."""
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
    message = b"".join(AssignmentWriter().write(1, Assignment(_call(), 1, True)))
    for _ in range(_TIMES):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(message)
            serve(theirs, executor, Mode.ONE, 1, bytes(NONCE_LENGTH), [])


def _call() -> TaskCall:
    return TaskCall(
        path="start",
        step="start",
        code=CodeRef(module=__name__, name="_Rehearsal.start", key=b""),
        inputs=CallInputs(scope=Scope(None, b"\x92\xc4\x01\x80\xc0", b"")),
        digest=b"",
        environment="",
        resources=Resources(),
        backend="",
        datastore="-",
        isolation=Isolation.AUTO,
        policy=Policy(),
    )
