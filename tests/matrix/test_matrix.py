"""Every shape of graph with every body that fits it: run by the command line, seen by the command line and the client.

The pairs that make no sense (a body that needs a join, a shape without one) are left out by rule. What a pair must
come to is worked out by an interpreter of the graph that shares no code with the engine.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from amounts import amount
from flowmatrix.bodies import BODIES
from flowmatrix.checkers import Checker, CliChecker, ClientChecker, SeenTask
from flowmatrix.generate import Case, cases
from flowmatrix.graphs import GRAPHS
from flowmatrix.oracle import ExpectedTask, interpret
from flowmatrix.perform import Outcome
from flowmatrix.performances import Performances
from flowmatrix.random_graphs import ROAMING, random_graph

from dovetail.client import Client

CASES = {case.name: case for case in cases()}
PORTABLE = [CASES[f"{name}-artifacts"] for name in (
    "one_step", "nested_branch", "nested_foreach", "wide_foreach", "collect", "switch", "loop_in_foreach", "mixin"
)]  # fmt: skip
"""For machines without fork, pidfds and epoll."""
FEW = [CASES[name] for name in (
    "nested_branch-merge", "nested_foreach-coordinates", "loop_in_foreach-retry_and_logs", "collect-coordinates",
    "switch_into_join-retry_and_logs", "foreach-kill", "foreach_in_loop-catch", "foreach-resume_item",
)]  # fmt: skip
"""For every isolation."""


def _pairs(chosen: list[Case], *contexts: str) -> pytest.MarkDecorator:
    pairs = [(case, context) for case in chosen for context in contexts]
    names = [f"{case.name}-{context}" if len(contexts) > 1 else case.name for case, context in pairs]
    return pytest.mark.parametrize(("case", "context"), pairs, ids=names)


def test_every_shape_and_body_is_in_use() -> None:
    used = list(CASES.values())
    assert {case.graph.name for case in used} == set(GRAPHS)
    assert {case.body.name for case in used} == set(BODIES)
    assert len(GRAPHS) >= 16
    # Switches and loops get every body that the other shapes get.
    counts = Counter(case.graph.name for case in used)
    assert all(counts[name] >= 8 for name in GRAPHS if "switch" in name or "loop" in name), counts
    for case in used:
        steps = {task.step for task in interpret(case).tasks.values()}
        assert steps == {node.name for node in case.graph.nodes} - set(case.graph.idle), case.name


@_pairs(list(CASES.values()), "fork")
def test_pair(case: Case, context: str, performances: Performances, client: Client) -> None:
    check(case, context, performances, client)


@_pairs(PORTABLE, "portable")
def test_portable(case: Case, context: str, performances: Performances, client: Client) -> None:
    check(case, context, performances, client)


@_pairs(FEW, "portable", "reuse", "reuse_2")
def test_isolation(case: Case, context: str, performances: Performances, client: Client) -> None:
    check(case, context, performances, client)


# A thread can't be killed alone, and what it writes past sys.stdout is nobody's.
@_pairs([case for case in FEW if case.body.name != "kill" and not case.body.logs], "thread", "inline", "spawn")
def test_isolation_in_other_ways(case: Case, context: str, performances: Performances, client: Client) -> None:
    check(case, context, performances, client)


SHAPES = [1, 5, 6, 14, 16, 17, 28, 41]
SHAPES += random.Random(int(os.environ.get("DOVETAIL_SEED", "0"))).sample(range(100, 1 << 32), amount("SHAPES", 8) - 8)
"""Seeds of shapes: some that have everything in them, and as many more as DOVETAIL_SHAPES says (soak: 200)."""


@_pairs([Case(random_graph(seed), ROAMING) for seed in SHAPES], "thread")
def test_random_shape(case: Case, context: str, performances: Performances, client: Client) -> None:
    """Sequences, branches, foreaches, switches and loops inside each other, as a generator came up with them."""
    check(case, context, performances, client)


# -- what is held against what ----------------------------------------------------------------------------------------


def check(case: Case, context: str, performances: Performances, client: Client) -> None:
    """Hold a case against what it must come to, as both checkers see it."""
    outcome = performances.outcome(case, context)
    if case.body.ask == "FAIL":
        place = performances.place(case, context)
        check_resumed(outcome, place, client)
        if place < len(outcome.told) - 1:
            return  # what it comes to is seen at the end of the chain
    assert outcome.runs[-1].code == 0, outcome.runs[-1].output
    by_client, by_cli = ClientChecker(client, outcome), CliChecker(outcome)
    for checker in (by_client, by_cli):
        check_run(outcome, checker)
        if case.body.logs:
            check_logs(outcome, checker)
    check_artifacts(outcome, by_client)
    check_lineage(outcome, by_client)
    if case.body.name == "artifacts":
        check_listing(outcome, by_cli)
    check_attempts(outcome)


def check_run(outcome: Outcome, checker: Checker) -> None:
    """State, parameters, tags, and each task's state and attempts."""
    case, expected = outcome.case, outcome.expected
    run = checker.run()
    assert run.flow == case.flow
    assert run.state == "succeeded"
    assert run.parameters == expected.parameters
    assert run.tags == frozenset(case.body.tags)
    assert run.user == "ada"
    assert run.failed is None
    assert run.origin == (outcome.runs[-2].run if len(outcome.runs) > 1 else None)
    assert set(run.tasks) == set(expected.tasks)
    for path, task in expected.tasks.items():
        assert run.tasks[path] == seen(outcome, task, run.tasks[path]), path
    counts: dict[str, Counter[str]] = {}
    for path, task in run.tasks.items():
        counts.setdefault(expected.tasks[path].step, Counter())[task.state] += 1
    assert run.counts == counts


def seen(outcome: Outcome, task: ExpectedTask, found: SeenTask) -> SeenTask:
    """What a checker must see of a task."""
    state = "failed" if task.failed else "succeeded"
    if len(outcome.runs) > 1 and not task.failed and task.path not in {path for path, _ in outcome.runs[-1].attempts}:
        state = "cached"
    return SeenTask(
        state=state,
        attempt=task.attempts,
        own=frozenset(task.own),
        caught=task.caught,
        error=found.error if task.failed else "",
    )


def check_artifacts(outcome: Outcome, checker: ClientChecker) -> None:
    """Every value that every task could see."""
    for path, task in outcome.expected.tasks.items():
        found = checker.artifacts(path)
        assert {name: value for name, value in found.items() if name in task.visible} == task.visible, path


def check_lineage(outcome: Outcome, checker: ClientChecker) -> None:
    """Which task follows which, from both ends."""
    tasks = outcome.expected.tasks
    if len(tasks) > 100:
        tasks = {path: task for path, task in tasks.items() if task.step != "item"}
    children: dict[str, set[str]] = {path: set() for path in tasks}
    for path, task in outcome.expected.tasks.items():
        for parent in task.parents:
            children.setdefault(parent, set()).add(path)
    for path, task in tasks.items():
        assert checker.parents(path) == task.parents, path
        assert set(checker.children(path)) == children[path], path


def check_logs(outcome: Outcome, checker: Checker) -> None:
    """Every line of both streams, each stream in its order."""
    wanted = {}
    for path, task in outcome.expected.tasks.items():
        wanted.update({(path, stream): lines for stream in ("stdout", "stderr") if (lines := getattr(task, stream))})
    assert checker.logs() == wanted


def check_listing(outcome: Outcome, checker: CliChecker) -> None:
    """Small plain values, as the command line lists them."""
    shown = checker.inline()
    for (path, name), value in shown.items():
        assert outcome.expected.tasks[path].own[name] == value, (path, name)
    small = {(path, name) for path, task in outcome.expected.tasks.items() for name in task.own if name == "counts"}
    assert small <= set(shown)


def check_attempts(outcome: Outcome) -> None:
    """Every attempt ran once, by the trace that the steps themselves left."""
    ran = Counter(pair for performed in outcome.runs for pair in performed.attempts)
    wanted: Counter[tuple[str, int]] = Counter()
    for path, task in outcome.expected.tasks.items():
        for number in range(task.attempts):
            # A failure that was collected is no record: each run tries again.
            times = sum((path, number) in run.attempts for run in outcome.runs) if task.failed else 1
            wanted[path, number] += times
    if outcome.case.body.ask == "FAIL":
        wanted.update((path, 0) for path in outcome.told)
    assert ran == wanted


def check_resumed(outcome: Outcome, place: int, client: Client) -> None:
    """A run that failed: what it had done is what the next one did not do again."""
    performed, following = outcome.runs[place : place + 2]
    assert performed.code == 1, performed.output
    first = client.run(performed.run)
    assert str(first.state) == "failed"
    assert first.failed_task is not None
    assert first.failed_task.path == outcome.told[place]
    assert first.failed_task.error is not None
    assert first.failed_task.error.message == "told to fail"
    assert client.run(following.run).origin == first.id
    done = {task.path for task in first.tasks() if task.successful}
    again = {path for path, _ in following.attempts}
    assert outcome.told[place] in again
    assert not done & again
