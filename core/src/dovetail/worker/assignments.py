"""Assignments on their way from the driver to a worker.

Siblings of a foreach share their scope, their sequence and everything that is the same for a step. Each such thing
is sent once a worker, into a numbered slot, and named by the slot afterwards. Slots are reused in a ring, so that
neither side grows with the number of tasks; both sides apply the messages in order and so agree on what a slot holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dovetail.interfaces.tasks import CatchPolicy, ForeachFrame, JoinInput, Scope, TaskCall
from dovetail.interfaces.workers import Assignment
from dovetail.worker.wire import Kind, pack, ref_from_wire, ref_to_wire

__all__ = ["AssignmentReader", "AssignmentWriter", "Joined", "Layer", "Sequenced", "Task", "Template"]

_SLOTS = 128
_JOINED_PIECE = 256


class _Ring:
    """Which object is in which slot, as the driver knows it. Keeps the objects alive: slots go by identity."""

    __slots__ = ("_held", "_next", "slot_of")

    def __init__(self) -> None:
        self.slot_of: dict[object, int] = {}
        self._held: list[tuple[object, object] | None] = [None] * _SLOTS
        self._next = 0

    def add(self, key: object, holder: object) -> int:
        slot = self._next
        self._next = (slot + 1) % _SLOTS
        old = self._held[slot]
        if old is not None:
            del self.slot_of[old[0]]
        self._held[slot] = (key, holder)
        self.slot_of[key] = slot
        return slot


class AssignmentWriter:
    """The driver's end: assignments of one worker as messages."""

    __slots__ = ("_scopes", "_sequences", "_templates")

    def __init__(self) -> None:
        self._scopes = _Ring()
        self._sequences = _Ring()
        self._templates = _Ring()

    def write(self, seq: int, assignment: Assignment) -> Iterator[bytes]:
        """The messages of one assignment, made as they are asked for: a wide join is never whole in memory."""
        call = assignment.call
        inputs = call.inputs
        joined = inputs.joined
        if joined is not None:
            yield from self._joined(joined)
        out: list[bytes] = []
        template = self._template(call, out)
        scope = self._scope(inputs.scope, out)
        frames = self._frames(inputs.frames, out)
        out.append(
            pack(
                (
                    Kind.RUN,
                    seq,
                    template,
                    call.path,
                    assignment.attempt,
                    assignment.last,
                    call.digest,
                    scope,
                    frames,
                    None if joined is None else len(joined),
                    None if inputs.arguments is None else inputs.arguments.table,
                    assignment.replays,
                )
            )
        )
        yield b"".join(out) if len(out) > 1 else out[0]

    def _template(self, call: TaskCall, out: list[bytes]) -> int:
        code, policy = call.code, call.policy
        key = (id(code), id(policy), call.step, call.datastore)
        slot = self._templates.slot_of.get(key)
        if slot is None:
            slot = self._templates.add(key, (code, policy))
            catch = None if policy.catch is None else (policy.catch.var, policy.catch.print_exception)
            out.append(pack((Kind.TEMPLATE, slot, call.step, code.module, code.name, call.datastore, catch)))
        return slot

    def _scope(self, scope: Scope, out: list[bytes]) -> int:
        slots = self._scopes.slot_of
        slot = slots.get(id(scope))
        if slot is not None:
            return slot
        unknown: list[Scope] = []
        below: Scope | None = scope
        while below is not None and (slot := slots.get(id(below))) is None:
            unknown.append(below)
            below = below.parent
        for known in reversed(unknown):
            added = self._scopes.add(id(known), known)
            out.append(pack((Kind.SCOPE, added, slot, known.layer)))
            slot = added
        assert slot is not None
        return slot

    def _frames(self, frames: Sequence[ForeachFrame], out: list[bytes]) -> list[int]:
        flat: list[int] = []
        for frame in frames:
            sequence = frame.sequence
            slot = self._sequences.slot_of.get(id(sequence))
            if slot is None:
                slot = self._sequences.add(id(sequence), sequence)
                out.append(
                    pack(
                        (
                            Kind.SEQUENCE,
                            slot,
                            ref_to_wire(sequence.ref),
                            sequence.length,
                            sequence.step,
                            sequence.var,
                        )
                    )
                )
            flat += (slot, frame.index)
        return flat

    def _joined(self, joined: Sequence[JoinInput]) -> Iterator[bytes]:
        rows: list[Any] = []
        for one in joined:
            shared: list[bytes] = []
            scope, below = one.scope, None
            if scope is not None and scope.parent is not None:
                below = self._scope(scope.parent, shared)
            frames = self._frames(one.frames, shared)
            if shared or len(rows) == _JOINED_PIECE:
                # The rows so far go first: what is shared may take the slots that they name.
                if rows:
                    shared.insert(0, pack((Kind.JOINED, rows)))
                    rows = []
                yield b"".join(shared)
            error = None if one.error is None else one.error.to_plain()
            # Its own layer is met once only, so it needs no slot.
            rows.append((one.path, below, None if scope is None else scope.layer, frames, error))
        if rows:
            yield pack((Kind.JOINED, rows))


class Layer:
    """A scope as the worker knows it: one layer and what lies below."""

    __slots__ = ("data", "is_shared", "parent", "reader")

    def __init__(self, parent: Layer | None, data: bytes, *, is_shared: bool = True) -> None:
        self.parent = parent
        """The layer below, None for parameters and constants."""
        self.data = data
        """The packed layer."""
        self.is_shared = is_shared
        """Whether it pays to keep it decoded: a wide join looks at each of its inputs' own layers about once."""
        self.reader: Any = None
        """Its decoded form, made by the first task that reads from it and shared by the siblings that follow."""


class Sequenced:
    """A foreach value as the worker knows it."""

    __slots__ = ("_ref", "length", "reader", "step", "var")

    def __init__(self, ref: list[Any], length: int, step: str, var: str) -> None:
        self._ref = ref
        self.length = length
        """Number of items."""
        self.step = step
        """Step that split."""
        self.var = var
        """Artifact that was named, or empty."""
        self.reader: Any = None
        """Opened by the first task that reads from it."""

    @property
    def ref(self) -> Any:
        """The sequence artifact."""
        return ref_from_wire(self._ref)


class Template:
    """What every task of a step shares."""

    __slots__ = ("catch", "code_module", "code_name", "datastore", "step")

    def __init__(self, step: str, code_module: str, code_name: str, datastore: str, catch: CatchPolicy | None) -> None:
        self.step = step
        """Name of the step."""
        self.code_module = code_module
        """Module of what runs."""
        self.code_name = code_name
        """Qualified name of what runs."""
        self.datastore = datastore
        """UUID of the data store that takes the values."""
        self.catch = catch
        """Whether a failure becomes a value."""


class Joined:
    """One of the tasks that a join brings together."""

    __slots__ = ("error", "frames", "path", "scope")

    def __init__(
        self, path: str, scope: Layer | None, frames: list[tuple[Sequenced, int]], error: dict[str, Any] | None
    ) -> None:
        self.path = path
        """Path of the predecessor."""
        self.scope = scope
        """What it left; None when it failed."""
        self.frames = frames
        """Its foreach levels: (sequence, index)."""
        self.error = error
        """Why it failed, as plain data."""


class Task:
    """One attempt, as a worker is given it."""

    __slots__ = (
        "arguments",
        "attempt",
        "digest",
        "frames",
        "joined",
        "last",
        "path",
        "replays",
        "scope",
        "seq",
        "template",
    )

    def __init__(
        self,
        seq: int,
        template: Template,
        path: str,
        attempt: int,
        last: bool,
        digest: bytes,
        scope: Layer,
        frames: list[tuple[Sequenced, int]],
        joined: list[Joined] | None,
        arguments: bytes | None,
        replays: bool,
    ) -> None:
        self.seq = seq
        """Number of the assignment on this worker, from 1."""
        self.template = template
        """What it shares with the others of its step."""
        self.path = path
        """Coordinate in the run."""
        self.attempt = attempt
        """Attempt, from 1."""
        self.last = last
        """Whether no retry follows."""
        self.digest = digest
        """Call digest."""
        self.scope = scope
        """What `self` reads."""
        self.frames = frames
        """Foreach levels, outermost first: (sequence, index)."""
        self.joined = joined
        """Of a join: the predecessors."""
        self.arguments = arguments
        """Of a function that another task called: what it is called with, packed."""
        self.replays = replays
        """Whether there may be records of tasks that it calls."""


class AssignmentReader:
    """The worker's end: messages back into tasks."""

    __slots__ = ("_joined", "_scopes", "_sequences", "_templates")

    def __init__(self) -> None:
        self._scopes: list[Any] = [None] * _SLOTS
        self._sequences: list[Any] = [None] * _SLOTS
        self._templates: list[Any] = [None] * _SLOTS
        self._joined: list[Joined] = []

    def read(self, message: list[Any]) -> Task | None:
        """Take in one message; the task when it completes one."""
        kind = message[0]
        if kind == Kind.RUN:
            _, seq, template, path, attempt, last, digest, scope, frames, joined, arguments, replays = message
            inputs: list[Joined] | None = None
            if joined is not None:
                inputs, self._joined = self._joined, []
            return Task(
                seq,
                self._templates[template],
                path,
                attempt,
                last,
                digest,
                self._scopes[scope],
                self._frames(frames),
                inputs,
                arguments,
                replays,
            )
        if kind == Kind.SCOPE:
            _, slot, parent, data = message
            self._scopes[slot] = Layer(None if parent is None else self._scopes[parent], data)
        elif kind == Kind.SEQUENCE:
            _, slot, ref, length, step, var = message
            self._sequences[slot] = Sequenced(ref, length, step, var)
        elif kind == Kind.TEMPLATE:
            _, slot, step, module, code_name, datastore, catch = message
            policy = None if catch is None else CatchPolicy(var=catch[0], print_exception=catch[1])
            self._templates[slot] = Template(step, module, code_name, datastore, policy)
        elif kind == Kind.JOINED:
            for path, parent, data, frames, error in message[1]:
                below = None if parent is None else self._scopes[parent]
                scope = None if data is None else Layer(below, data, is_shared=False)
                self._joined.append(Joined(path, scope, self._frames(frames), error))
        return None

    def _frames(self, flat: list[int]) -> list[tuple[Sequenced, int]]:
        sequences = self._sequences
        return [(sequences[flat[i]], flat[i + 1]) for i in range(0, len(flat), 2)]
