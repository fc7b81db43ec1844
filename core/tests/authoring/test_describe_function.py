"""What a flow function is described as, and what is found wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dovetail.authoring.describe import flows_in
from dovetail.authoring.describe_function import describe_function
from dovetail.interfaces.flow import FlowDescription
from dovetail.planning.validate import validate

Describe = Callable[[str], FlowDescription]


@pytest.fixture
def describe(tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Describe]:
    """Describe the last flow of a source text."""
    import linecache
    import textwrap
    import types

    name = f"made_{abs(hash(request.node.nodeid))}"

    def make(source: str) -> FlowDescription:
        file = tmp_path / "made.py"
        file.write_text("from dovetail import *\n" + textwrap.dedent(source))
        linecache.checkcache(str(file))
        module = types.ModuleType(name)
        module.__file__ = str(file)
        sys.modules[name] = module
        exec(compile(file.read_text(), str(file), "exec", dont_inherit=True), vars(module))
        flow: Any = flows_in(module)[-1]
        return describe_function(flow)

    yield make
    sys.modules.pop(name, None)


def codes(flow: FlowDescription) -> list[str]:
    return [problem.code for problem in validate(flow)]


def test_a_flow(describe: Describe) -> None:
    flow = describe('''
        from sys import path

        @retry
        @task
        def load(n):
            """Load
            it.

            More."""

        quick = load.with_options(retries=1)
        named = load.with_options(name="named", compute="archive", cpu=2)

        @compute("local")
        @flow(retries=2, datastore="archive")
        @timeout(minutes=1)
        def pipeline(n: int, rate: float = 0.5):
            """Train it."""

        other = 3
    ''')
    assert codes(flow) == []
    assert (flow.name, flow.style, flow.start, flow.end, flow.doc) == (
        "pipeline", "function", "pipeline", "pipeline", "Train it.",
    )  # fmt: skip
    assert [(step.name, step.kind) for step in flow.steps] == [
        ("pipeline", "step"), ("load", "task"), ("named", "task"),
    ]  # fmt: skip
    body, load, named = flow.steps
    assert [(use.kind, use.name) for use in flow.decorators] == [("compute", "local"), ("datastore", "archive")]
    assert [(use.kind, dict(use.options)) for use in body.decorators] == [
        ("retry", {"times": 2}),
        ("timeout", {"minutes": 1}),
    ]
    assert load.doc == "Load it."
    assert load.line == 7
    assert load.decorators[0].source.rpartition(":")[2] in ("5", "7")  # Python 3.10 names the line of def
    assert [(use.kind, use.name) for use in named.decorators] == [("compute", "archive"), ("retry", "retry")]
    assert [(p.name, p.type, p.required) for p in flow.parameters] == [("n", "int", True), ("rate", "float", False)]
    assert FlowDescription.from_plain(flow.to_plain()) == flow


def test_a_description_of_before_can_be_read(describe: Describe) -> None:
    plain = describe("@flow\ndef pipeline(n: int): pass").to_plain()
    del plain["style"]
    for step in plain["steps"]:
        for key in ("kind", "module", "qualname"):
            del step[key]
    for parameter in plain["parameters"]:
        del parameter["takes_text"], parameter["nullable"]
    flow = FlowDescription.from_plain(plain)
    assert (flow.style, flow.steps[0].kind, flow.parameters[0].nullable) == ("class", "step", False)


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("@task\ndef load():\n    yield 1", "generator-function", 3),
        ("@task\nasync def load():\n    yield 1", "generator-function", 3),
        ("@task(name='a b')\ndef load(): pass", "reserved-name", 3),
        ("@task\ndef load(wait_for): pass", "reserved-name", 3),
        ("@task(retries='many')\ndef load(): pass", "decorator-argument", 2),
        ("@retry\n@task(retries=2)\ndef load(): pass", "duplicate-decorator", 3),
        ("@task\ndef load(): pass\nother, load = load, task(lambda: 1)", "reserved-name", 4),
        ("@task\ndef pipeline(): pass\nload = pipeline", "duplicate-task", 3),
        ("@task\ndef load(): pass\nold = load\n@task\ndef load(): pass", "duplicate-task", 3),
    ],
)
def test_problems(describe: Describe, source: str, code: str, line: int) -> None:
    flow = describe(source + "\n@flow\ndef pipeline(): pass\n")
    assert codes(flow) == [code]
    problem = flow.problems[0]
    assert (problem.file.endswith("made.py"), problem.fix != "") == (True, True)
    assert problem.line == line


def test_problems_of_the_flow_itself(describe: Describe) -> None:
    flow = describe("@flow(name='a-b', timeout=-1)\ndef pipeline(*args, tags=1):\n    yield 1")
    assert codes(flow) == [
        "decorator-argument", "parameter-starred", "reserved-name", "reserved-name", "generator-function",
    ]  # fmt: skip


def test_flows_of_a_module(describe: Describe) -> None:
    describe("""
        from dovetail.authoring.flow_function import flow as made

        class One(FlowSpec):
            @step
            def start(self): pass

        @made
        def two(): pass

        again = two
        three = two.with_options(name="three")

        @flow
        def last(): pass
    """)
    module = next(m for name, m in sys.modules.items() if name.startswith("made_"))
    assert [getattr(found, "name", found.__name__) for found in flows_in(module)] == ["One", "two", "three", "last"]
