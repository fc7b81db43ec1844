"""What changes the code key of a flow function's body or of a task, and what does not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dovetail.interfaces.flow import FlowDescription
from dovetail.worker.describing import TaskDescriber, describe_flow

BASE = '''
import helpers
from others import shared

SCALE = 3

class Row:
    def total(self):
        return SCALE

def norm(x):
    """Normalise."""
    return inner(x) / SCALE

def inner(x):
    # nothing yet
    return x

@retry(times=2)
@task
def load(n: int, by=1) -> int:
    """Load."""
    return norm(n)

@task(name="stored", cpu=2)
def store(row: Row):
    return row.total()

class Model:
    size = 4

    def helper(self):
        return self.size

    @task
    def train(self, x):
        return self.helper() + x

TASKS = [load, store]

def both(n):
    return [one(n) for one in TASKS]

@flow
def pipeline(n: int = 3):
    return both(shared(n))
'''
MODULES = {
    "others": "from dovetail import task\nimport far\n@task\ndef shared(n):\n    return n\n",
    "helpers": "import deeper\n",
    "deeper": "Z = 1\n",
    "far": "F = 1\n",
}
EVERY = {"pipeline", "load", "stored", "shared"}


@pytest.fixture
def described(keys_of: Any) -> Any:
    """Describe the flow of a project, and forget none of its modules until the next."""

    def describe(flow: str = BASE, **modules: str) -> FlowDescription:
        return keys_of(flow, **{**MODULES, **modules})

    return describe


def changed(before: FlowDescription, after: FlowDescription) -> set[str]:
    return {step.name for step in before.steps if step.code_key != after.by_name[step.name].code_key}


def test_the_body_comes_first_and_then_every_task_of_the_module(described: Any) -> None:
    flow = described()
    assert [step.name for step in flow.steps] == ["pipeline", "shared", "load", "stored"]
    assert [step.kind for step in flow.steps] == ["step", "task", "task", "task"]
    assert all(len(step.code_key) == 64 for step in flow.steps)
    assert flow.problems == ()
    body = flow.by_name["pipeline"].code_parts
    assert set(body) == {
        "pipeline", "flow.py:both", "flow.py:TASKS", "others.py", "helpers.py", "deeper.py", "far.py",
    }  # fmt: skip
    assert set(flow.by_name["shared"].code_parts) == {"shared", "far.py"}


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ("# nothing yet", "# something", set()),
        ('"""Load."""', '"""Load it."""', set()),
        ("return x\n", "return x + 1\n", {"load"}),
        ("    return norm(n)", "    return norm(n) + 1", {"load"}),
        ("by=1", "by=2", {"load"}),
        ("SCALE = 3", "SCALE = 4", {"load", "stored"}),
        ("return SCALE", "return -SCALE", {"stored"}),
        ("times=2", "times=5", set()),
        ("cpu=2", "cpu=3", set()),
        ("@retry(times=2)\n", "@catch\n@retry(times=2)\n", {"load"}),
        ("@retry(times=2)\n", "@environment_variables(A=1)\n", {"load"}),
        ("for one in TASKS", "for one in reversed(TASKS)", {"pipeline"}),
        ("TASKS = [load, store]", "TASKS = [store, load]", {"pipeline"}),
        ("both(shared(n))", "both(shared(n + 1))", {"pipeline"}),
        ("@flow\n", "@flow(retries=3)\n", set()),
        ("@flow\n", "@environment_variables(A=1)\n@flow\n", EVERY),
        ("@task\ndef load", "@task(timeout=3)\ndef load", set()),
        ("@task\ndef load", '@task(limit="gpu", key="a")\ndef load', set()),
    ],
)
def test_a_change_moves_the_keys_of_what_it_changes(described: Any, old: str, new: str, moved: set[str]) -> None:
    before = described()
    assert old in BASE
    assert changed(before, described(BASE.replace(old, new))) == moved


def test_whole_modules_that_are_imported_count(described: Any) -> None:
    before = described()
    in_the_module = EVERY - {"shared"}
    assert changed(before, described(deeper="Z = 2\n")) == in_the_module
    assert changed(before, described(far="F = 2\n")) == EVERY
    renamed = MODULES["others"].replace("return n", "return -n")
    assert changed(before, described(others=renamed)) == EVERY


def test_a_name_that_is_known_only_at_run_time_counts_by_the_whole_module(described: Any) -> None:
    unknown = BASE.replace("return norm(n)", "return nowhere(n)")
    before = described(unknown)
    assert any("whole" in part for part in before.by_name["load"].code_parts)
    assert "load" in changed(before, described(unknown + "\nMORE = 1\n"))


def test_a_step_that_calls_a_task_counts_it_by_name(keys_of: Any) -> None:
    source = """
    @task
    def load(n):
        return n

    class Made(FlowSpec):
        @step
        def start(self):
            self.x = load(1)
    """
    before = keys_of(source).steps[0]
    assert keys_of(source.replace("return n", "return n + 1")).steps[0].code_key == before.code_key
    assert keys_of(source.replace("load", "fetch")).steps[0].code_key != before.code_key


def test_a_task_inside_a_flow_class(keys_of: Any) -> None:
    source = """
    class Made(FlowSpec):
        @staticmethod
        @task
        def load(n):
            return n

        @step
        def start(self):
            self.x = self.load(1)
    """
    before = keys_of(source)
    assert before.problems == ()
    assert keys_of(source.replace("return n", "return n + 1")).steps[0].code_key == before.steps[0].code_key
    bound = keys_of(source.replace("@staticmethod", ""))
    assert [(problem.code, problem.line) for problem in bound.problems] == [("task-method", 5)]


# ---------------------------------------------------------------- tasks that are met only when they are called

DYNAMIC = """
def make(factor):
    table = {"factor": factor}

    @task
    def scaled(x):
        return x * table["factor"]

    return scaled

twice, thrice = make(2), make(3)

@task
def load(n):
    return n

class Model:
    size = 4

    @task
    def train(self, x):
        return self.size + x

@flow
def pipeline():
    return load(1)
"""


@pytest.fixture
def dynamic(keys_of: Any) -> Any:
    """(module, description) of a project."""

    def make(source: str = DYNAMIC) -> tuple[Any, FlowDescription]:
        flow = keys_of(source)
        return sys.modules["flow"], flow

    return make


def test_what_was_described_with_the_flow_is_taken_from_there(dynamic: Any) -> None:
    module, flow = dynamic(DYNAMIC.replace("twice, thrice = make(2), make(3)", ""))
    describer = TaskDescriber(flow)
    assert describer.describe(module.load) is flow.by_name["load"]
    assert describer.describe(module.load) is describer.describe(module.load)
    assert describer.describe(module.load.with_options(cpu=2)) is describer.describe(module.load.with_options(cpu=2))
    more = describer.describe(module.load.with_options(cpu=2))
    assert more.code_key == flow.by_name["load"].code_key
    assert [use.options for use in more.decorators] == [{"cpu": 2}]
    caught = describer.describe(module.load.with_options(name="other"))
    assert caught.code_key == more.code_key


def test_what_a_closure_holds_counts(dynamic: Any) -> None:
    module, flow = dynamic()
    assert [problem.code for problem in flow.problems] == ["duplicate-task"]  # twice and thrice have one name
    describer = TaskDescriber(flow)
    keys = [describer.describe(made).code_key for made in (module.make(2), module.make(3), module.make(2))]
    assert keys[0] == keys[2] != keys[1]
    assert keys[0] == describer.describe(module.twice).code_key == flow.by_name["scaled"].code_key
    assert describer.describe(module.thrice).code_key == keys[1]


def test_a_method_counts_with_its_class(dynamic: Any) -> None:
    module, flow = dynamic()
    key = TaskDescriber(flow).describe(module.Model().train).code_key
    module, flow = dynamic(DYNAMIC.replace("size = 4", "size = 5"))
    assert TaskDescriber(flow).describe(module.Model.train).code_key != key


def test_wrong_tasks_are_told_when_they_are_called(dynamic: Any) -> None:
    from dovetail import task
    from dovetail.interfaces.errors import ValidationError

    @task
    def numbers():  # type: ignore[no-untyped-def]
        yield 1

    _, flow = dynamic()
    with pytest.raises(ValidationError, match="task numbers is a generator function"):
        TaskDescriber(flow).describe(numbers)


def test_a_task_of_the_environment_counts_by_its_name(dynamic: Any) -> None:
    import textwrap

    from dovetail import task

    _, flow = dynamic()
    describer = TaskDescriber(flow)
    assert describer.describe(task(textwrap.dedent)).code_key != describer.describe(task(textwrap.indent)).code_key


def test_both_styles_are_described_in_one_way(dynamic: Any) -> None:
    module, flow = dynamic()
    assert describe_flow(module.pipeline, gated=False).steps == flow.steps
    assert FlowDescription.from_plain(flow.to_plain()) == flow


def test_values_of_a_closure_are_compared_as_far_as_they_can_be() -> None:
    from datetime import date

    from dovetail.packaging.plain_values import exact_text

    endless: list[object] = []
    endless.append(endless)
    values: list[object] = [
        1, 1.0, "1", [1], (1,), {1}, {1: 2}, {1: 3}, [[1], {2}], date(2026, 1, 1), date(2026, 1, 2), object, endless,
        (lambda: 1),
    ]  # fmt: skip
    texts = [exact_text(value) for value in values]
    assert len(set(texts)) == len(values)
    assert exact_text({"b": [2], "a": date(2026, 1, 1)}) == exact_text({"b": [2], "a": date(2026, 1, 1)})
