"""Both styles do the same: a random graph runs as a class and as a function, and their journals are compared.

A task is known by its step and its place, the indexes of the foreach items around it, since paths differ: a class
numbers what is in a foreach, a function what was mapped. Left out, because the other style has nothing of the kind:
`start` and `end` of the class, and the body of the function. Also left out is `running`, which is told of tasks that
take a while, so that it depends on time.

DOVETAIL_DEPTH sets how deep branches and foreachs lie in each other (soak: 3).
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from amounts import amount, examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail import FlowSpec, catch, current, flow, retry, task
from dovetail.artifacts.caught import CaughtError
from dovetail.interfaces.events import EventKind
from dovetail.interfaces.paths import step_of
from dovetail.testing import CrashError, Harness, MemoryRun

Place = tuple[int, ...]
TaskId = tuple[str, Place]
UNPAIRED = {"start", "end", "body"}


@dataclass(frozen=True)
class Block:
    """A task, or one that splits, with what is between it and its join; and what follows."""

    kind: str
    """`plain`, `retried` (fails at first), `caught` (fails where its input is odd)."""
    legs: tuple[Block, ...] = ()
    size: int | None = None
    """Items of a foreach, whose body is the only leg."""
    then: Block | None = None
    name: str = ""

    @property
    def splits(self) -> bool:
        return bool(self.legs)


KINDS = st.sampled_from(["plain", "plain", "retried", "caught"])


def blocks(depth: int) -> st.SearchStrategy[Block]:
    then = st.none() if depth == 0 else st.none() | st.deferred(lambda: blocks(depth - 1))
    single = st.builds(Block, KINDS, then=then)
    if depth == 0:
        return single
    inner = blocks(depth - 1)
    split = st.sampled_from(["plain", "retried"])  # a task that was caught leads on, but has no items
    branch = st.builds(Block, split, legs=st.lists(inner, min_size=2, max_size=2).map(tuple), then=then)
    foreach = st.builds(Block, split, legs=inner.map(lambda leg: (leg,)), size=st.integers(0, 2), then=then)
    return single | branch | foreach


def named(block: Block, names: Iterator[str]) -> Block:
    name = next(names)
    legs = tuple(named(leg, names) for leg in block.legs)
    return Block(block.kind, legs, block.size, block.then and named(block.then, names), name)


GRAPHS = blocks(amount("DEPTH", 2)).map(lambda block: named(block, (f"s{n}" for n in itertools.count())))


# ---------------------------------------------------------------------- what the tasks of both styles do


def number(value: Any) -> int:
    return int(value.message.split()[-1]) if isinstance(value, CaughtError) else value[1]


def work(kind: str, name: str, place: Place, value: Any) -> tuple[Place, int]:
    given = number(value)
    if kind == "retried" and current.retry_count == 0:
        raise OSError(f"{name} at first")
    if kind == "caught" and given % 2:
        raise ValueError(f"{place} {given}")
    return place, (given * 31 + int(name[1:])) % 1009


# Joins take plain numbers: a call is known by its pickled arguments, and a pickle also tells which parts of a value are
# one object, which differs between values that were just made and the same ones loaded on resume.
def joined(place: Place, values: list[int]) -> tuple[Place, int]:
    return place, sum((n + 1) * value for n, value in enumerate(values)) % 1009


def items(value: tuple[Place, int], size: int) -> list[tuple[Place, int]]:
    return [((*value[0], n), value[1] + n) for n in range(size)]


# ---------------------------------------------------------------------- as a class


def source(graph: Block) -> str:
    lines = [
        "from dovetail import FlowSpec, catch, retry, step",
        f"from {__name__} import items, joined, number, work",
        "class Crossed(FlowSpec):",
        " @property",
        " def place(self): return tuple(index for index, _, _ in self.foreach_stack())",
    ]

    def add(name: str, *body: str, join: bool = False, above: str = "") -> None:
        lines.extend([above and f" {above}", " @step", f" def {name}(self{', inputs' if join else ''}):"])
        lines.extend(f"  {line}" for line in body)

    def chain(block: Block, given: str, follow: str) -> None:
        then = block.then.name if block.then else follow
        above = {"retried": "@retry(times=1)", "caught": "@catch(var='x')"}.get(block.kind, "")
        do = f"self.x = work({block.kind!r}, {block.name!r}, self.place, {given})"
        if not block.splits:
            add(block.name, do, f"self.next(self.{then})", above=above)
        else:
            join = f"{block.name}_join"
            to = ", ".join(f"self.{leg.name}" for leg in block.legs)
            fan = "" if block.size is None else f", foreach=items(self.x, {block.size})"
            add(block.name, do, f"self.next({to}{fan})", above=above)
            for leg in block.legs:
                chain(leg, "self.x" if block.size is None else "self.input", join)
            values = "self.x = joined(self.place, [number(one.x) for one in inputs])"
            add(join, values, f"self.next(self.{then})", join=True)
        if block.then:
            chain(block.then, "self.x", follow)

    add("start", "self.x = ((), 1)", f"self.next(self.{graph.name})")
    chain(graph, "self.x", "end")
    add("end", "pass")
    return "\n".join(line for line in lines if line) + "\n"


def as_class(graph: Block, folder: str) -> type[FlowSpec]:
    file = Path(folder, "crossed.py")
    file.write_text(source(graph))
    spec = importlib.util.spec_from_file_location("crossed", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["crossed"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[FlowSpec] = module.Crossed
    return found


# ---------------------------------------------------------------------- as a function


def as_task(name: str, kind: str) -> Any:
    def does(place: Place, value: Any) -> tuple[Place, int]:
        return joined(place, value) if kind == "join" else work(kind, name, place, value)

    made = task(name=name)(does)
    return {"retried": retry(times=1), "caught": catch(var="failure")}.get(kind, lambda same: same)(made)


def as_function(graph: Block) -> Any:
    def finish(block: Block, place: Place, value: Any) -> Any:
        """What a block gives, given what its first task gave."""
        if block.splits:
            if block.size is None:
                first = [as_task(leg.name, leg.kind).submit(place, value) for leg in block.legs]
                ends = [finish(leg, place, one.result()) for leg, one in zip(block.legs, first, strict=True)]
            else:
                each, leg = items(value, block.size), block.legs[0]
                mapped = as_task(leg.name, leg.kind).map([where for where, _ in each], each)
                ends = [finish(leg, where, one.result()) for (where, _), one in zip(each, mapped, strict=True)]
            value = as_task(f"{block.name}_join", "join")(place, [number(one) for one in ends])
        return run(block.then, place, value) if block.then else value

    def run(block: Block, place: Place, value: Any) -> Any:
        return finish(block, place, as_task(block.name, block.kind)(place, value))

    @flow
    def body() -> Any:
        return run(graph, (), ((), 1))

    return body


# ---------------------------------------------------------------------- what a run left


def waits(block: Block, place: Place = (), before: TaskId | None = None) -> tuple[dict[TaskId, list[TaskId]], TaskId]:
    """What each task of a block waits for, and its last task."""
    end = first = block.name, place
    found = {first: [before] if before else []}
    if block.splits:
        legs = [(leg, place) for leg in block.legs]
        if block.size is not None:
            legs = [(block.legs[0], (*place, n)) for n in range(block.size)]
        inner = [waits(leg, where, first) for leg, where in legs]
        end = f"{block.name}_join", place
        found[end] = [last for _, last in inner] or [first]
        for tasks, _ in inner:
            found |= tasks
    if block.then:
        rest, end = waits(block.then, place, end)
        found |= rest
    return found, end


def journal(run: MemoryRun) -> tuple[dict[TaskId, list[Any]], list[TaskId]]:
    """What is told of each task, and the order in which tasks succeeded."""
    ids = {}
    for one in run.client.tasks():
        if (name := step_of(one.path)) not in UNPAIRED:
            [output] = one.outputs
            value = one.outputs[output].data
            place = ast.literal_eval(value.message.rpartition(" ")[0]) if isinstance(value, CaughtError) else value[0]
            ids[one.path] = name, place
    assert len(set(ids.values())) == len(ids)
    told: dict[TaskId, list[Any]] = {one: [] for one in ids.values()}
    ended = []
    for event in run.client.events():
        if event.path in ids and event.kind != EventKind.EXPECTED and event.data.get("state") != "running":
            told[ids[event.path]].append((event.kind, *(plain(key, event.data.get(key)) for key in KEYS)))
            if event.data.get("state") == "succeeded":
                ended.append(ids[event.path])
    return told, ended


KEYS = ("state", "attempt", "exit", "error", "info", "outputs")


def plain(key: str, value: Any) -> Any:
    """Without what the styles do not share: names of artifacts, and where in which file an error was raised."""
    found = json.loads(value) if isinstance(value, str) and value[:1] == "{" else value
    if key == "outputs" and found:
        return [output[0] if output[0] == "caught-error" else output for output in found.values()]
    for error in (found, found.get("caught")) if isinstance(found, dict) else ():
        if error:
            error.pop("traceback", None)
    return found


# ---------------------------------------------------------------------- the comparison


@settings(max_examples=examples(25))
@given(GRAPHS, st.integers(0, 40))
def test_a_graph_leaves_the_same_in_both_styles(graph: Block, crash: int) -> None:
    awaited, _ = waits(graph)
    with tempfile.TemporaryDirectory() as folder:
        styles: list[Any] = [as_class(graph, folder), as_function(graph)]
        whole = [Harness().run(style) for style in styles]
        told, orders = zip(*map(journal, whole), strict=True)
        assert told[0] == told[1]
        for order in orders:
            at = {one: n for n, one in enumerate(order)}
            assert sorted(order) == sorted(awaited)
            assert all(at[before] < at[one] for one, befores in awaited.items() for before in befores)
        assert value_of(whole[0]) == value_of(whole[1])

        for style, undisturbed in zip(styles, whole, strict=True):
            harness = Harness()
            harness.crash_after = recorded = crash % (len(awaited) + 1)
            with pytest.raises(CrashError):
                harness.run(style)
            resumed = harness.resume()
            assert len(resumed.reused) >= recorded  # records are written in batches
            assert not set(resumed.executed) & set(resumed.reused)
            assert value_of(resumed) == value_of(undisturbed)
            assert outcomes(journal(resumed)[0]) == outcomes(told[0])
            assert resumed.client.counts() == undisturbed.client.counts()


def value_of(run: MemoryRun) -> int:
    data = run.client.data
    return number(data.x if run.value is None else data.result)


def outcomes(told: dict[TaskId, list[Any]]) -> dict[TaskId, Any]:
    """What was told last of each task, but for the attempt: it also counts those that a crash cut short."""
    return {one: (kind, state, *rest) for one, events in told.items() for kind, state, _, *rest in events[-1:]}
