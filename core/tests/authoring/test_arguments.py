"""Futures among arguments: found wherever they may be, replaced, and nothing else touched."""

from __future__ import annotations

from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail import TaskFuture, allow_failure
from dovetail.authoring.arguments import futures_in, resolved
from dovetail.interfaces.errors import UsageError


@dataclass
class Open:
    value: Any
    other: Any = None


@dataclass(frozen=True, eq=False)
class Frozen:
    value: Any
    derived: Any = field(init=False, default=1)


@dataclass(slots=True)
class Slotted:
    value: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class Leaf:
    """Stands for an array or a frame: looking into it is an error."""

    def __iter__(self) -> Any:
        raise AssertionError("was iterated over")

    __len__ = __getitem__ = __bool__ = __eq__ = __iter__
    __hash__ = object.__hash__


def future(value: Any) -> TaskFuture[Any]:
    made: TaskFuture[Any] = TaskFuture("made")
    made.set_result(value)
    return made


class Holding:
    """A value with futures in it, and what it is to become."""

    def __init__(self, before: Any, after: Any, futures: int) -> None:
        self.before = before
        self.after = after
        self.futures = futures


@st.composite
def leaves(draw: st.DrawFn) -> Holding:
    value = draw(st.one_of(st.integers(), st.text(max_size=3), st.none()))
    return Holding(future(value), value, 1) if draw(st.booleans()) else Holding(value, value, 0)


def together(parts: list[Holding], make: Any) -> Holding:
    return Holding(
        make([part.before for part in parts]), make([part.after for part in parts]), sum(p.futures for p in parts)
    )


MAKERS = [
    list,
    tuple,
    lambda items: dict(enumerate(items)),
    lambda items: Open(items, tuple(items)) if False else Open(items),
    lambda items: Slotted(items),
    lambda items: Pair(items, None),
    lambda items: defaultdict(list, {"k": items}),
]
nestings = st.recursive(
    leaves(),
    lambda inner: st.builds(together, st.lists(inner, max_size=4), st.sampled_from(MAKERS)),
    max_leaves=20,
)


@given(nestings)
def test_every_future_is_found_and_replaced(case: Holding) -> None:
    assert len(futures_in(case.before)) == case.futures
    made = resolved(case.before, lambda found: found.result())
    assert made == case.after
    assert type(made) is type(case.after)
    assert futures_in(made) == []
    if not case.futures:
        assert made is case.before


def test_sets_and_keys() -> None:
    one, two = future(1), future(2)
    value = {one: {two, 3}, 4: frozenset({one})}
    assert set(futures_in(value)) == {one, two}
    assert resolved(value, lambda found: found.result()) == {1: {2, 3}, 4: frozenset({1})}


def test_what_holds_no_future_stays_the_very_object() -> None:
    leaf, plain, deep = Leaf(), [1, {"a": (2,)}], Frozen([1])
    value = [leaf, plain, deep, future(5)]
    made = resolved(value, lambda found: found.result())
    assert made[0] is leaf
    assert made[1] is plain
    assert made[2] is deep
    assert made[3] == 5
    assert value[3] != 5  # the caller's own list is as it was


def test_a_frozen_dataclass_keeps_its_other_fields() -> None:
    made = resolved(Frozen(future(2)), lambda found: found.result())
    assert (made.value, made.derived) == (2, 1)
    Point = namedtuple("Point", "x y")
    assert resolved(Point(future(1), 2), lambda found: found.result()) == Point(1, 2)


def test_a_future_is_loaded_once_and_shared_containers_stay_shared() -> None:
    one = future([1])
    loads = []
    shared = [one]
    made = resolved({"a": shared, "b": shared, "c": one}, lambda found: loads.append(found) or found.result())
    assert len(loads) == 1
    assert made["a"] is made["b"]
    assert made["a"][0] is made["c"]


def test_cycles() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert futures_in(endless) == []
    assert resolved(endless, lambda found: 0) is endless
    node = Open(future(7))
    node.other = {"back": [node]}
    assert len(futures_in(node)) == 1
    made = resolved(node, lambda found: found.result())
    assert made.value == 7
    assert made.other["back"][0] is made
    assert node.other["back"][0] is node


def test_a_very_deep_value_is_looked_through() -> None:
    deep: Any = future(1)
    for _ in range(50_000):
        deep = [deep]
    assert len(futures_in(deep)) == 1


def test_failures() -> None:
    failed: TaskFuture[Any] = TaskFuture("failed")
    failed.set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        resolved([failed], lambda found: found.result())
    made = resolved([allow_failure(failed), allow_failure(future(3))], lambda found: found.result())
    assert isinstance(made[0], OSError)
    assert made[1] == 3
    assert futures_in(allow_failure(failed)) == [failed]
    with pytest.raises(UsageError, match=r"takes a future, not list"):
        allow_failure([failed])
