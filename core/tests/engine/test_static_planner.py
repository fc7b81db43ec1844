"""The planner alone: small flows as data, tasks "executed" by a function that says which transition each takes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.tasks import ErrorReport, Next, Scope
from dovetail.planning.planned import PlannedTask
from dovetail.planning.static_planner import StaticPlanner

ROOT = Scope(None, b"root", b"r" * 32)
SEQUENCE = ArtifactRef(digest=b"s" * 32, size=0, serializer="sequence", place=InlinePlace(data=b""))
FAILED = ErrorReport(type="ValueError", message="no")

Step = Callable[[PlannedTask], Next | ErrorReport]


def step(name: str, *transitions: Transition, join: bool = False) -> StepDescription:
    return StepDescription(name=name, is_join=join, transitions=transitions)


def to(*targets: str, kind: str = "linear", **fields: object) -> Transition:
    return Transition(kind=kind, targets=targets, **fields)  # type: ignore[arg-type]


def flow(*steps: StepDescription) -> FlowDescription:
    return FlowDescription(name="F", module="f", file="", steps=steps, start="start", end="end")


def go(*targets: str) -> Next:
    return Next(targets=targets)


def each(target: str, length: int, on_error: str = "fail") -> Next:
    return Next(targets=(target,), sequence=SEQUENCE, length=length, on_error=on_error)


def drive(
    planner: StaticPlanner, behave: Step, *, rng: random.Random | None = None, width: int = 3
) -> dict[str, PlannedTask]:
    """Run everything, ending the running tasks in a random order; path → task."""
    rng = rng or random.Random(0)
    running: list[PlannedTask] = []
    seen: dict[str, PlannedTask] = {}
    while True:
        while len(running) < width and (task := planner.take()) is not None:
            assert task.path not in seen, f"{task.path} was planned twice"
            seen[task.path] = task
            running.append(task)
        if not running:
            assert planner.done, "nothing runs, but the planner is not done"
            return seen
        task = running.pop(rng.randrange(len(running)))
        result = behave(task)
        if isinstance(result, ErrorReport):
            if not planner.failed(task, result):
                planner.abandon()
        else:
            planner.committed(task, result, Scope(task.scope, task.path.encode(), task.path.encode()[:32].ljust(32)))


FOREACH = flow(
    step("start", to("body", kind="foreach")),
    step("body", to("join")),
    step("join", to("end"), join=True),
    step("end"),
)


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_foreach_joins_its_items_in_order(size: int) -> None:
    planner = StaticPlanner(FOREACH, {("start", 0): "join"}, ROOT)

    def behave(task: PlannedTask) -> Next:
        return {"start": each("body", size), "body": go("join"), "join": go("end"), "end": go()}[task.step]

    seen = drive(planner, behave, rng=random.Random(size))
    joined = seen["join"].joined
    assert joined is not None
    assert [one.path for one in joined] == [f"body[{i}]" for i in range(size)]
    assert [one.scope.layer for one in joined if one.scope] == [f"body[{i}]".encode() for i in range(size)]
    assert [one.frames[-1].index for one in joined] == list(range(size))
    assert planner.expected == {"start": 1, "join": 1, "end": 1} | ({"body": size} if size else {})


NESTED = flow(
    step("start", to("mid", kind="foreach")),
    step("mid", to("leaf", kind="foreach")),
    step("leaf", to("tail")),
    step("tail", to("inner")),
    step("inner", to("outer"), join=True),
    step("outer", to("end"), join=True),
    step("end"),
)
AFTER = {"leaf": go("tail"), "tail": go("inner"), "inner": go("outer"), "outer": go("end"), "end": go()}
NESTED_JOINS = {("start", 0): "outer", ("mid", 0): "inner"}


@given(st.lists(st.integers(0, 4), max_size=4), st.randoms(use_true_random=False))
def test_nested_foreach_has_one_coordinate_for_each_item(sizes: list[int], rng: random.Random) -> None:
    planner = StaticPlanner(NESTED, NESTED_JOINS, ROOT)

    def behave(task: PlannedTask) -> Next:
        if task.step == "start":
            return each("mid", len(sizes))
        if task.step == "mid":
            return each("leaf", sizes[task.frames[0].index])
        return AFTER[task.step]

    seen = drive(planner, behave, rng=rng)
    leaves = {f"leaf[{i},{j}]" for i, size in enumerate(sizes) for j in range(size)}
    assert {path for path in seen if path.startswith("leaf")} == leaves
    for i, size in enumerate(sizes):
        joined = seen[f"inner[{i}]"].joined
        assert joined is not None
        assert [one.path for one in joined] == [f"tail[{i},{j}]" for j in range(size)]
    outer = seen["outer"].joined
    assert outer is not None
    assert [one.path for one in outer] == [f"inner[{i}]" for i in range(len(sizes))]


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1), st.randoms(use_true_random=False))
def test_a_collected_failure_arrives_once_when_its_item_is_quiet(bad: set[tuple[int, int]], rng: random.Random) -> None:
    planner = StaticPlanner(NESTED, NESTED_JOINS, ROOT)

    def behave(task: PlannedTask) -> Next | ErrorReport:
        if task.step == "start":
            return each("mid", 3, on_error="collect")
        if task.step == "mid":
            return each("leaf", 4)
        if task.step == "leaf" and tuple(frame.index for frame in task.frames) in bad:
            return FAILED
        return AFTER[task.step]

    seen = drive(planner, behave, rng=rng)
    joined = seen["outer"].joined
    assert joined is not None
    failed = {i for i, _ in bad}
    assert [one.error is not None for one in joined] == [i in failed for i in range(3)]
    assert [one.scope is None for one in joined] == [i in failed for i in range(3)]
    assert {f"inner[{i}]" for i in range(3) if i not in failed} == {p for p in seen if p.startswith("inner")}
    assert "end" in seen


def test_branches_join_in_the_order_written() -> None:
    branching = flow(
        step("start", to("b", "a", kind="branch")),
        step("a", to("join")),
        step("b", to("c")),
        step("c", to("join")),
        step("join", to("end"), join=True),
        step("end"),
    )
    planner = StaticPlanner(branching, {("start", 0): "join"}, ROOT)
    takes = {"start": go("b", "a"), "a": go("join"), "b": go("c"), "c": go("join"), "join": go("end"), "end": go()}
    seen = drive(planner, lambda task: takes[task.step])
    joined = seen["join"].joined
    assert joined is not None
    assert [one.path for one in joined] == ["c", "a"]


def test_loops_count_their_tasks() -> None:
    loop = flow(
        step("start", to("work")),
        step("work", to("test")),
        step("test", to("work", "end", kind="switch", condition="again")),
        step("end"),
    )
    rounds = iter([True, True, False])
    planner = StaticPlanner(loop, {}, ROOT)

    def behave(task: PlannedTask) -> Next:
        if task.step == "test":
            return go("work" if next(rounds) else "end")
        return {"start": go("work"), "work": go("test"), "end": go()}[task.step]

    assert list(drive(planner, behave)) == ["start", "work", "test", "work#2", "test#2", "work#3", "test#3", "end"]


def test_an_uncollected_failure_plans_nothing_more() -> None:
    planner = StaticPlanner(FOREACH, {("start", 0): "join"}, ROOT)

    def behave(task: PlannedTask) -> Next | ErrorReport:
        return FAILED if task.step == "body" else each("body", 100_000)

    seen = drive(planner, behave)
    assert len(seen) <= 1 + 3
    assert "join" not in seen
