"""A flow instance that stands for a task."""

from __future__ import annotations

import pytest

from dovetail import FailedInputError, FlowSpec, Parameter, step
from dovetail.authoring.binding import bind, instance, state
from dovetail.interfaces.errors import UsageError


class Flow(FlowSpec):
    rate = Parameter(default=0.5)
    LIMIT = 3
    LOCK = object()

    def __getstate__(self):  # instances are never pickled by Dovetail
        raise AssertionError

    @property
    def double(self) -> int:
        return self.x * 2

    def scaled(self, by: int) -> int:
        return self.x * by

    @step
    def start(self) -> None:
        self.y = self.x + 1
        self._scratch = 1
        self.next(self.end)

    @step
    def mutate(self) -> None:
        self.items.append(1)
        self.same = self.x
        self.next(self.end)

    @step
    def absent(self) -> None:
        _ = self.scroe

    @step
    def twice(self) -> None:
        self.next(self.end)
        self.next(self.start)

    @step
    def join(self, inputs) -> None:
        self.result = [i.x for i in inputs]
        self.next(self.end)

    @step
    def merge(self, inputs) -> None:
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


def test_reads_are_lazy_kept_and_not_outputs(run_step) -> None:
    task = run_step(Flow, "start", {"x": 1, "unused": 2})
    assert task.state.assigned == {"y": 2}
    assert task.state.loaded == {"x": 1}
    assert task.binding.loads == ["x"]
    assert task.state.transition.targets == ("end",)
    assert task.flow.x == 1
    assert task.binding.loads == ["x"]


def test_mutated_values_are_in_loaded(run_step) -> None:
    items: list[int] = []
    task = run_step(Flow, "mutate", {"items": items, "x": 5})
    assert task.state.loaded == {"items": [1], "x": 5}
    assert task.state.assigned == {"same": 5}


def test_assigning_a_loaded_value_anew_is_an_output(run_step) -> None:
    task = run_step(Flow, "start", {"x": 1})
    task.flow.x = 10
    left = state(task.flow)
    assert left.assigned == {"y": 2, "x": 10}
    assert left.loaded == {}


def test_deleting_a_loaded_value_frees_it_and_it_loads_again(run_step) -> None:
    task = run_step(Flow, "start", {"x": 1})
    del task.flow.x
    assert state(task.flow).loaded == {}
    assert task.flow.x == 1
    assert task.binding.loads == ["x", "x"]


def test_binding_again_drops_everything(run_step, memory) -> None:
    task = run_step(Flow, "start", {"x": 1})
    bind(task.flow, memory({"x": 7}), "start")
    assert state(task.flow).assigned == {}
    assert state(task.flow).transition is None
    assert task.flow.x == 7


def test_parameters_and_constants_come_from_the_run_and_are_read_only(run_step) -> None:
    task = run_step(Flow, "end", {"rate": 0.9, "LIMIT": 30})
    flow = task.flow
    assert (flow.rate, flow.LIMIT) == (0.9, 30)
    assert flow.LOCK is Flow.LOCK
    for name in ("rate", "LIMIT", "input", "index"):
        with pytest.raises(AttributeError, match="choose another name"):
            setattr(flow, name, 1)
    assert task.binding.reads == ["rate", "LIMIT", "LOCK"]
    assert state(flow).assigned == {}
    assert state(flow).loaded == {}


def test_an_absent_artifact_names_step_artifact_and_near_names(run_step) -> None:
    with pytest.raises(AttributeError, match=r"step 'absent' of Flow has no artifact 'scroe'\. Did you mean score\?"):
        run_step(Flow, "absent", {"score": 1})


def test_a_property_that_misses_an_artifact_names_the_artifact(run_step) -> None:
    task = run_step(Flow, "end")
    with pytest.raises(AttributeError, match="has no artifact 'x'"):
        _ = task.flow.double


def test_hasattr_and_private_names_do_not_raise_or_read(run_step) -> None:
    task = run_step(Flow, "end", {"x": 1})
    assert hasattr(task.flow, "x")
    assert not hasattr(task.flow, "nothing")
    assert not hasattr(task.flow, "_nothing")
    assert task.binding.reads == ["x", "nothing"]


def test_next_twice(run_step) -> None:
    with pytest.raises(
        UsageError, match=r"step 'twice' called self.next twice: NextCall\(end\), then NextCall\(start\)"
    ):
        run_step(Flow, "twice")


def test_foreach_values(run_step) -> None:
    task = run_step(Flow, "end", frames=[(1, 2, "outer"), (0, 5, "inner")])
    assert (task.flow.input, task.flow.index) == ("inner", 0)
    assert task.flow.foreach_stack() == [(1, 2, "outer"), (0, 5, "inner")]
    assert task.binding.reads == ["input", "index"]
    outside = run_step(Flow, "end").flow
    assert (outside.input, outside.index, outside.foreach_stack()) == (None, None, [])


def test_inputs_are_a_sequence_with_steps_as_attributes(run_step, memory) -> None:
    inputs = [memory({"x": 1}, step="a"), memory({"x": 2}, step="b"), memory({"x": 3}, step="b")]
    flow = instance(Flow)
    joined = bind(flow, memory(), "join", inputs)
    assert joined is not None
    assert [len(joined), joined[0].x, joined[-1].x, joined.a.x, joined.b.x] == [3, 1, 3, 1, 3]
    assert [i.x for i in joined[1:]] == [2, 3]
    assert joined[0] is joined[0]
    assert inputs[0].loads == ["x"]
    with pytest.raises(IndexError):
        joined[3]
    with pytest.raises(AttributeError, match=r"no input comes from a step 'c'\. They come from a, b"):
        _ = joined.c


def test_a_join_of_nothing(run_step) -> None:
    task = run_step(Flow, "join", inputs=[])
    assert task.state.assigned == {"result": []}
    assert run_step(Flow, "merge", inputs=[]).state.merged == {}


def test_inputs_know_parameters_constants_properties_and_methods(memory) -> None:
    bindings = [memory({"x": 4, "rate": 0.1, "LIMIT": 9}, step="a", frames=[(2, 3, lambda: "item")])]
    joined = bind(instance(Flow), memory(), "join", bindings)
    assert joined is not None
    one = joined[0]
    assert (one.rate, one.LIMIT, one.double, one.scaled(10), one.LOCK) == (0.1, 9, 8, 40, Flow.LOCK)
    assert (one.input, one.index, one.foreach_stack()) == ("item", 2, [(2, 3, "item")])
    assert one.error is None
    with pytest.raises(AttributeError, match=r"step 'a' of Flow has no artifact 'xx'\. Did you mean x"):
        _ = one.xx


def test_failed_inputs(memory, failure) -> None:
    bindings = [memory({"x": 1}, step="w"), memory(step="w", error=failure(message="bad item"))]
    flow = instance(Flow)
    joined = bind(flow, memory(), "join", bindings)
    assert joined is not None
    assert [i.error and i.error.message for i in joined] == [None, "bad item"]
    with pytest.raises(
        FailedInputError, match="from step 'w' failed with ValueError: bad item; it has no artifact 'x'"
    ):
        _ = joined[1].x
    assert not hasattr(joined[1], "x")
    assert isinstance(FailedInputError("x"), AttributeError)
    flow.merge_artifacts(joined)
    assert flow.x == 1


def test_an_artifact_named_error_is_read_where_nothing_failed(memory) -> None:
    joined = bind(instance(Flow), memory(), "join", [memory({"error": 0.25}, step="a")])
    assert joined is not None
    assert joined[0].error == 0.25


def test_merge_takes_references_without_loading(run_step, memory) -> None:
    a = memory({"x": [1], "only_a": 1, "rate": 1, "LIMIT": 2}, step="a")
    b = memory({"x": [1], "only_b": 2, "rate": 1, "LIMIT": 2}, step="b")
    task = run_step(Flow, "merge", inputs=[a, b])
    assert {name: binding.step for name, binding in task.state.merged.items()} == {
        "x": "a",
        "only_a": "a",
        "only_b": "b",
    }
    assert (a.loads, b.loads) == ([], [])
    assert task.state.assigned == {}
    assert (task.flow.x, task.flow.only_b) == ([1], 2)
    assert state(task.flow).loaded == {"x": [1], "only_b": 2}
    task.flow.x = 3
    assert "x" not in state(task.flow).merged


def test_merge_refuses_conflicts_and_names_them(memory) -> None:
    flow = instance(Flow)
    inputs = bind(flow, memory(), "merge", [memory({"x": 1, "z": 1, "y": 1}), memory({"x": 2, "z": 2, "y": 1})])
    with pytest.raises(UsageError, match="differ between the inputs: x, z"):
        flow.merge_artifacts(inputs)
    assert state(flow).merged == {}
    flow.merge_artifacts(inputs, exclude=["x", "z"])
    assert set(state(flow).merged) == {"y"}
    flow.x = 9
    flow.merge_artifacts(inputs, exclude="z")
    flow.merge_artifacts(inputs, include=["y"])
    assert flow.x == 9
    with pytest.raises(UsageError, match="names what no input has: nothing"):
        flow.merge_artifacts(inputs, include=["nothing", "y"])
    with pytest.raises(UsageError, match="not both"):
        flow.merge_artifacts(inputs, include=["x"], exclude=["y"])


def test_merge_belongs_to_joins(memory) -> None:
    flow = instance(Flow)
    bind(flow, memory(), "start")
    with pytest.raises(UsageError, match="step 'start' is not a join"):
        flow.merge_artifacts([])


def test_a_join_that_reads_self_is_told_where_the_artifact_is(memory) -> None:
    flow = instance(Flow)
    bind(flow, memory(), "join", [memory({"x": 1}, step="a")])
    with pytest.raises(AttributeError, match=r"a join inherits nothing.*inputs\[0\]\.x.*merge_artifacts"):
        _ = flow.x
