"""What a step leaves behind: outputs, the transition, and its half of the commit record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.record_packing import pack_body
from dovetail.authoring.binding import state
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.tasks import CatchPolicy, ErrorReport, Next, TaskOutcome

if TYPE_CHECKING:
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.authoring.binding import FlowState
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.worker.binding import JoinedBinding, TaskBinding
    from dovetail.worker.transitions import StepTransitions

__all__ = ["Leaving"]

_IMMUTABLE = frozenset({str, int, float, bool, type(None), bytes, complex})


class Leaving:
    """Writes what a flow instance holds after its step.

    Args:
        flow: The instance.
        binding: What it read.
        artifacts: Writes values, to the step's data store.
        inline: Whether small values go into the record: not for a step with a data store of its own.
    """

    __slots__ = ("_artifacts", "_binding", "_flow", "_inline")

    def __init__(self, flow: FlowSpec, binding: TaskBinding, artifacts: ArtifactStore, inline: bool) -> None:
        self._flow = flow
        self._binding = binding
        self._artifacts = artifacts
        self._inline = inline

    def leave(
        self, transitions: StepTransitions, catch: CatchPolicy | None, started: float, finished: float
    ) -> TaskOutcome:
        """The outcome of a step that returned.

        Raises:
            UsageError: It took no transition, or one that it may not take.
            UnpicklableError: A value can't be stored.
        """
        left = state(self._flow)
        call = left.transition
        transitions.check(call)
        writer = OutputWriter(self._artifacts, inline=self._inline)
        if call is not None and call.is_foreach:
            # A generator runs here, and it may still set artifacts.
            sequence, length = writer.write_sequence(call.iterable)
            left = state(self._flow)
            taken = transitions.taken(call, sequence, length)
        else:
            taken = transitions.taken(call)
        for name, value in left.assigned.items():
            writer.add(name, value)
        if left.loaded:
            self._add_changed(writer, left)
        if left.merged:
            self._add_merged(writer, left)
        if catch is not None and catch.var is not None and catch.var not in left.assigned:
            writer.add(catch.var, None)
        return self._outcome(writer, taken, started, finished, None)

    def leave_caught(
        self,
        transitions: StepTransitions,
        catch: CatchPolicy,
        report: ErrorReport,
        started: float,
        finished: float,
    ) -> TaskOutcome | None:
        """The outcome of a step that failed and was caught: what it had set so far, and the error.

        None when it had not said where to go on and the flow leaves a choice.
        """
        from dovetail.artifacts.caught import CaughtError

        taken = transitions.only()
        if taken is None:
            return None
        left = state(self._flow)
        writer = OutputWriter(self._artifacts, inline=self._inline)
        for name, value in left.assigned.items():
            if name == catch.var:
                continue
            try:
                writer.add(name, value)
            except DovetailError:  # it may be what failed
                continue
        if left.merged:
            self._add_merged(writer, left)
        if catch.var is not None:
            writer.add(catch.var, CaughtError.from_report(report))
        return self._outcome(writer, taken, started, finished, report)

    def _add_merged(self, writer: OutputWriter, left: FlowState) -> None:
        for name, binding in left.merged.items():
            source: JoinedBinding = binding  # type: ignore[assignment]
            ref = source.ref(name)
            assert ref is not None
            if name not in left.loaded or not self._changed(left.loaded[name], ref):
                writer.add_ref(name, ref)

    def _add_changed(self, writer: OutputWriter, left: FlowState) -> None:
        """Artifacts that were read and then changed in place."""
        for name, value in left.loaded.items():
            merged: Any = left.merged.get(name)
            ref = self._binding.refs.get(name) if merged is None else merged.ref(name)
            if ref is not None and self._changed(value, ref):
                writer.add(name, value)

    def _changed(self, value: Any, ref: ArtifactRef) -> bool:
        if type(value) in _IMMUTABLE:
            return False
        serializers = self._artifacts.serializers
        now = digest_of(serializers.serialize(value))
        if now == ref.digest:
            return False
        # What was pickled once may be pickled otherwise after loading (shared strings, the order of a set): then
        # a fresh copy differs in the same way.
        return now != digest_of(serializers.serialize(self._artifacts.load(ref)))

    def _outcome(
        self, writer: OutputWriter, taken: Next, started: float, finished: float, caught: ErrorReport | None
    ) -> TaskOutcome:
        outputs = writer.finish()
        task = self._binding.task
        return TaskOutcome(
            path=task.path,
            attempt=task.attempt,
            started=started,
            finished=finished,
            caught=caught,
            body=pack_body(
                outputs,
                reads=self._binding.all_reads(),
                next=taken,
                caught=caught,
                started=started,
                finished=finished,
            ),
            values=outputs.values,
            outputs=outputs.table,
            outputs_digest=outputs.digest,
            index=outputs.index,
            next=taken,
            objects=outputs.objects,
        )
