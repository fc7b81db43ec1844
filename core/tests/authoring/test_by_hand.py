"""A step called in a plain test: no run, no worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dovetail import FlowSpec, JSONType, Parameter, step
from dovetail.interfaces.errors import UsageError


class Train(FlowSpec):
    rate = Parameter(default=0.5)
    name: str = Parameter(required=True)
    note = Parameter(default=None)
    maybe = Parameter(required=False)
    options = Parameter(type=JSONType, default={"a": 1})
    limits = Parameter(type=JSONType, default='{"b": 2}')
    EPOCHS = 3
    _private = 7

    @step
    def start(self) -> None:
        self.total = self.rate * self.EPOCHS
        self.next(self.train, foreach="items")

    @step
    def train(self) -> None:
        self.score = self.input * 2 + self.index
        self.next({"good": self.join, "bad": self.start}, condition="verdict")

    @step
    def join(self, inputs) -> None:
        self.best = max(i.score for i in inputs)
        self.merge_artifacts(inputs, exclude=["score"])
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


def test_a_step_runs_on_what_was_set() -> None:
    flow = Train()
    flow.items = [1, 2]
    flow.start()
    assert flow.total == 1.5
    call = flow.next_call
    assert call is not None
    assert (call.targets, call.is_foreach, call.var, call.iterable) == (("train",), True, "items", [1, 2])


def test_foreach_values_can_be_set() -> None:
    flow = Train()
    assert (flow.input, flow.index, flow.foreach_stack()) == (None, None, [])
    flow.input, flow.index, flow.verdict = 10, 1, "bad"
    flow.train()
    assert flow.score == 21
    assert flow.next_call.targets == ("start",)
    assert (flow.next_call.condition, flow.next_call.value) == ("verdict", "bad")
    assert flow.foreach_stack() == [(1, 2, 10)]


def test_the_last_call_of_next_is_kept() -> None:
    flow = Train()
    flow.items, flow.verdict, flow.input, flow.index = [], "good", 1, 0
    flow.start()
    flow.train()
    assert flow.next_call.targets == ("join",)


def test_parameters_have_defaults_and_can_be_set() -> None:
    flow = Train()
    assert (flow.rate, flow.note, flow.maybe, flow.options) == (0.5, None, None, {"a": 1})
    assert flow.limits == {"b": 2}
    flow.rate = 0.1
    assert flow.rate == 0.1
    assert Train().rate == 0.5
    del flow.rate
    assert flow.rate == 0.5
    with pytest.raises(AttributeError, match=r"'name' of Train has no default.*flow\.name = \.\.\."):
        _ = flow.name


def test_constants_read_as_written_and_can_be_set_for_a_test() -> None:
    assert Train.EPOCHS == 3
    flow = Train()
    flow.EPOCHS = 1
    assert (flow.EPOCHS, Train().EPOCHS, Train._private) == (1, 3, 7)


def test_a_join_takes_plain_objects() -> None:
    flow = Train()
    inputs = [SimpleNamespace(score=1, data=[1]), SimpleNamespace(score=4, data=[1], error=None)]
    flow.join(inputs)
    assert (flow.best, flow.data) == (4, [1])
    with pytest.raises(UsageError, match="differ between the inputs: data"):
        Train().join([SimpleNamespace(score=1, data=1), SimpleNamespace(score=1, data=2)])


def test_a_failed_stand_in_is_left_out_of_a_merge() -> None:
    flow = Train()
    flow.merge_artifacts([SimpleNamespace(a=1, error=None), SimpleNamespace(a=2, error=ValueError())])
    assert flow.a == 1


def test_a_stand_in_self_works() -> None:
    taken = []
    stand_in = SimpleNamespace(rate=2, EPOCHS=2, train="train", next=lambda *a, **k: taken.append((a, k)))
    Train.start(stand_in)
    assert stand_in.total == 4
    assert taken == [(("train",), {"foreach": "items"})]


def test_an_artifact_that_nothing_set() -> None:
    flow = Train()
    flow.score = 1
    with pytest.raises(AttributeError, match=r"Train has no artifact 'scores' here.*Did you mean score\?"):
        _ = flow.scores
    assert not hasattr(flow, "_scores")


class Shapes(FlowSpec):
    CASE = "c"

    @step
    def start(self) -> None: ...

    @step
    def a(self) -> None: ...

    @step
    def b(self) -> None: ...

    def helper(self) -> None: ...


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.next(), "needs the step that follows"),
        (lambda f: f.next(3), r"takes steps, as in self.next\(self.a\), not 3"),
        (lambda f: f.next("aa"), "Did you mean a"),
        (lambda f: f.next(f.helper), "helper is a method of Shapes but not a step"),
        (lambda f: f.next(f.a, f.a), "names a step twice: a, a"),
        (lambda f: f.next(f.a, f.b, foreach="xs"), "one target, not 2: a, b"),
        (lambda f: f.next(f.a, foreach=3), "what was given is a int"),
        (lambda f: f.next(f.a, foreach="number"), "artifact 'number' is a int"),
        (lambda f: f.next(f.a, on_error="collect"), "belongs to a foreach"),
        (lambda f: f.next(f.a, foreach=[1], on_error="ignore"), "'fail' or 'collect', not 'ignore'"),
        (lambda f: f.next({"x": f.a}), "needs condition="),
        (lambda f: f.next(f.a, condition="number"), "needs one mapping of cases"),
        (lambda f: f.next({"x": f.a}, condition="number", foreach=[1]), "not both"),
        (lambda f: f.next({"x": f.a}, condition=3), "name of an artifact, not a int"),
        (lambda f: f.next({"x": f.a, "y": f.b}, condition="number"), r"no case for number = 5; the cases are 'x', 'y'"),
        (lambda f: f.next({"x": f.a, "y": f.b}, condition="listed"), r"no case for listed = \[1\]"),
    ],
)
def test_wrong_transitions_say_what_is_wrong(call, message: str) -> None:
    flow = Shapes()
    flow.number, flow.listed = 5, [1]
    with pytest.raises(UsageError, match=message):
        call(flow)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [("x", "x"), (1, 1), (True, True), (1.5, 1.5), (None, None)],
)
def test_a_case_is_chosen_by_value_and_kind(value, chosen) -> None:
    flow = Shapes()
    flow.v = value
    one = {1: flow.a} if type(value) is int else {True: flow.b}
    flow.next({"x": flow.a, **one, 1.5: flow.a, None: flow.b}, condition="v")
    assert flow.next_call.value == chosen


def test_an_enum_member_counts_by_its_value() -> None:
    from enum import Enum

    class Kind(Enum):
        A = "a"
        B = "b"

    flow = Shapes()
    flow.kind = Kind.B
    flow.next({Kind.A: flow.a, Kind.B: flow.b}, condition="kind")
    assert (flow.next_call.targets, flow.next_call.value) == (("b",), "b")


def test_repr_of_a_transition() -> None:
    flow = Shapes()
    flow.xs, flow.v = [1], "x"
    flow.next(flow.a, foreach="xs", on_error="collect")
    assert repr(flow.next_call) == "NextCall(a, foreach='xs', on_error='collect')"
    flow.next({"x": flow.a, "y": flow.b}, condition="v")
    assert repr(flow.next_call) == "NextCall(a, condition='v' ('x'))"


def test_subclasses_may_have_other_metaclasses_and_mixins() -> None:
    from abc import ABC, abstractmethod
    from typing import Generic, TypeVar

    T = TypeVar("T")

    class Mixin(ABC):
        SHARED = (1,)

        @abstractmethod
        def value(self) -> int: ...

        @step
        def start(self) -> None:
            self.x = self.value()
            self.next(self.end)

    class Mixed(Mixin, FlowSpec, Generic[T]):
        def value(self) -> int:
            return 4

        @step
        def end(self) -> None: ...

    flow = Mixed()
    flow.start()
    assert (flow.x, flow.SHARED, flow.next_call.targets) == (4, (1,), ("end",))
