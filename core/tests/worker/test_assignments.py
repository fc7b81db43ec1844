"""Assignments arrive as they were sent, whatever was sent before and however much is shared."""

from __future__ import annotations

from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.tasks import (
    CallInputs,
    CatchPolicy,
    CodeRef,
    ErrorReport,
    ForeachFrame,
    Isolation,
    JoinInput,
    Next,
    Policy,
    Resources,
    Scope,
    Sequenced,
    TaskCall,
    TaskOutcome,
    Usage,
)
from dovetail.interfaces.workers import Assignment, Launch, RunFacts
from dovetail.worker.assignments import AssignmentReader, AssignmentWriter, Joined, Layer, Task
from dovetail.worker.wire import (
    facts_from_plain,
    facts_to_plain,
    launch_from_plain,
    launch_to_plain,
    outcome_from_plain,
    outcome_to_plain,
    pack,
    ref_from_wire,
    ref_to_wire,
    unpacker,
)

CODES = [CodeRef(module="flow", name=f"Flow.{name}", key=bytes(32)) for name in "ab"]
POLICIES = [Policy(), Policy(catch=CatchPolicy(var="error", print_exception=False)), Policy(catch=CatchPolicy())]
PLACES = [
    InlinePlace(data=b"1"),
    ObjectPlace(store="u"),
    RecordPlace(store="u", run="r", path="p", call_digest=b"c" * 32, name="n", at=("k", 3, 4)),
    RecordPlace(store="u", run="r", path="p", call_digest=b"c" * 32, name="n"),
    PackPlace(store="u", pack=b"p" * 32, offset=5, length=6),
]


def ref(place: Any) -> ArtifactRef:
    return ArtifactRef(digest=b"d" * 32, size=7, serializer="json", type="int", place=place)


def scope_of(lineage: list[int]) -> Scope:
    """A scope whose layers are the numbers."""
    scope: Scope | None = None
    for number in lineage:
        scope = Scope(scope, str(number).encode(), b"")
    assert scope is not None
    return scope


def layers(layer: Layer | None) -> list[bytes]:
    found = []
    while layer is not None:
        found.append(layer.data)
        layer = layer.parent
    return found[::-1]


class World:
    """Scopes and sequences that calls share."""

    def __init__(self) -> None:
        root = scope_of([0])
        self.scopes = [root]
        for number in range(1, 300):
            self.scopes.append(Scope(self.scopes[(number * 7) % len(self.scopes)], str(number).encode(), b""))
        self.sequences = [
            Sequenced(ref=ref(PLACES[i % len(PLACES)]), length=i + 1, step=f"s{i}", var="xs") for i in range(200)
        ]


def call_of(world: World, row: tuple[int, list[int], int, list[tuple[int, bool]] | None]) -> TaskCall:
    which, sequences, kind, joined = row
    frames = tuple(ForeachFrame(world.sequences[i], i % 5) for i in sequences)
    inputs = None
    if joined is not None:
        inputs = [
            JoinInput(
                path=f"p[{i}]",
                scope=None if failed else world.scopes[i],
                frames=frames,
                error=ErrorReport(type="E", message="m", bases=("E",)) if failed else None,
            )
            for i, failed in joined
        ]
    return TaskCall(
        path=f"x#{which}",
        step="ab"[kind % 2],
        code=CODES[kind % 2],
        inputs=CallInputs(scope=world.scopes[which], frames=frames, joined=inputs),
        digest=bytes([kind]) * 32,
        environment="host",
        resources=Resources(),
        backend="local",
        datastore="u",
        isolation=Isolation.AUTO,
        policy=POLICIES[kind % 3],
    )


def transfer(assignments: list[Assignment]) -> list[Task]:
    writer, reader, decoder = AssignmentWriter(), AssignmentReader(), unpacker()
    tasks = []
    for seq, assignment in enumerate(assignments, 1):
        for chunk in writer.write(seq, assignment):
            decoder.feed(chunk)
            tasks += [task for message in decoder if (task := reader.read(message)) is not None]
    return tasks


def check(task: Task, seq: int, assignment: Assignment) -> None:
    call = assignment.call
    assert (task.seq, task.path, task.attempt, task.last) == (seq, call.path, assignment.attempt, assignment.last)
    assert (task.digest, task.template.step, task.template.datastore) == (call.digest, call.step, "u")
    assert (task.template.code_name, task.template.catch) == (call.code.name, call.policy.catch)
    assert layers(task.scope) == call.inputs.scope.layers()
    check_frames(task.frames, call.inputs.frames)
    if call.inputs.joined is None:
        assert task.joined is None
        return
    assert task.joined is not None
    assert len(task.joined) == len(call.inputs.joined)
    for got, sent in zip(task.joined, call.inputs.joined, strict=True):
        assert isinstance(got, Joined)
        assert got.path == sent.path
        assert layers(got.scope) == (sent.scope.layers() if sent.scope else [])
        assert got.error == (sent.error.to_plain() if sent.error else None)
        check_frames(got.frames, sent.frames)


def check_frames(got: Any, sent: Any) -> None:
    assert [(s.ref, s.length, s.step, s.var, i) for s, i in got] == [
        (f.sequence.ref, f.sequence.length, f.sequence.step, f.sequence.var, f.index) for f in sent
    ]


ROWS = st.tuples(
    st.integers(0, 299),
    st.lists(st.integers(0, 199), max_size=3),
    st.integers(0, 5),
    st.none() | st.lists(st.tuples(st.integers(0, 299), st.booleans()), max_size=20),
)


@settings(max_examples=examples(40))
@given(st.lists(ROWS, max_size=30))
def test_tasks_arrive_as_they_were_sent(rows: list[Any]) -> None:
    world = World()
    assignments = [Assignment(call_of(world, row), i % 3 + 1, i % 2 == 0) for i, row in enumerate(rows)]
    tasks = transfer(assignments)
    assert len(tasks) == len(rows)
    for seq, (task, assignment) in enumerate(zip(tasks, assignments, strict=True), 1):
        check(task, seq, assignment)


def test_more_scopes_than_slots_in_one_join() -> None:
    world = World()
    call = call_of(world, (5, [], 0, [(i, False) for i in range(300)]))
    [task] = transfer([Assignment(call, 1, True)])
    check(task, 1, Assignment(call, 1, True))


def test_a_chain_longer_than_the_slots() -> None:
    scope = scope_of(list(range(1000)))
    call = TaskCall(
        path="x",
        step="a",
        code=CODES[0],
        inputs=CallInputs(scope=scope),
        digest=b"",
        environment="",
        resources=Resources(),
        backend="",
        datastore="u",
        isolation=Isolation.AUTO,
        policy=POLICIES[0],
    )
    [task] = transfer([Assignment(call, 1, True)])
    assert layers(task.scope) == scope.layers()


def test_siblings_send_what_they_share_once() -> None:
    world = World()
    writer = AssignmentWriter()
    sizes = [len(b"".join(writer.write(i, Assignment(call_of(world, (299, [3], 0, None)), 1, True)))) for i in range(3)]
    assert sizes[0] > 2 * sizes[1]
    assert sizes[1] == sizes[2]
    assert sizes[1] < 64


def test_a_wide_join_is_sent_in_pieces() -> None:
    root = scope_of([0])
    joined = [JoinInput(path=f"p[{i}]", scope=Scope(root, b"x" * 50, b"")) for i in range(2000)]
    call = call_of(World(), (0, [], 0, []))
    wide = TaskCall(
        **{
            **{name: getattr(call, name) for name in TaskCall.__slots__},
            "inputs": CallInputs(scope=root, joined=joined),
        }
    )
    pieces = list(AssignmentWriter().write(1, Assignment(wide, 1, True)))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 32_000


@pytest.mark.parametrize("place", PLACES, ids=lambda place: type(place).__name__)
def test_references_come_back(place: Any) -> None:
    decoder = unpacker()
    decoder.feed(pack(ref_to_wire(ref(place))))
    assert ref_from_wire(next(decoder)) == ref(place)


@pytest.mark.parametrize(
    "outcome",
    [
        TaskOutcome(path="p", attempt=2, started=1.5, finished=2.5),
        TaskOutcome(
            path="p",
            attempt=2,
            started=1.5,
            finished=2.5,
            error=ErrorReport(type="E", message="m", traceback="t", bases=("E", "Exception")),
            usage=Usage(cpu=0.5),
        ),
        TaskOutcome(
            path="p",
            attempt=2,
            started=1.5,
            finished=2.5,
            caught=ErrorReport(type="E", message="m"),
            body=b"body",
            values=b"values",
            outputs=b"outputs",
            outputs_digest=b"d" * 32,
            index='{"x":[1]}',
            next=Next(targets=("a",), sequence=ref(PLACES[2]), length=3, var="xs", on_error="collect"),
            objects=("objects/aa/b",),
            usage=Usage(cpu=0.5, memory=7),
        ),
    ],
    ids=["plain", "failed", "full"],
)
def test_outcomes_come_back(outcome: TaskOutcome) -> None:
    decoder = unpacker()
    decoder.feed(pack(outcome_to_plain(3, 4, outcome)))
    message = next(decoder)
    assert message[1:3] == [3, 4]
    assert outcome_from_plain(message, "p", 2, {}) == outcome


def test_equal_transitions_become_one_object() -> None:
    nexts: dict[bytes, Next] = {}
    outcome = TaskOutcome(path="p", attempt=1, started=0.0, finished=0.0, next=Next(targets=("a", "b")))
    found = []
    for _ in range(2):
        decoder = unpacker()
        decoder.feed(pack(outcome_to_plain(1, 0, outcome)))
        found.append(outcome_from_plain(next(decoder), "p", 1, nexts).next)
    assert found[0] is found[1]
    assert found[0] == outcome.next


def test_facts_and_launches_come_back() -> None:
    facts = RunFacts(
        run="r", flow="F", tags=("a",), parameters=("p",), stores={"u": {"backend": "local"}}, settings={"store": "u"}
    )
    decoder = unpacker()
    decoder.feed(pack(facts_to_plain(facts)))
    assert facts_from_plain(next(decoder)) == facts
    launch = Launch(file="/f.py", flow="F", python=(), cwd="/", terminal=True, post_mortem=True)
    decoder.feed(pack(launch_to_plain(launch)))
    assert launch_from_plain(next(decoder)) == launch
