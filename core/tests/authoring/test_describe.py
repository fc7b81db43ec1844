"""A flow class as plain data."""

from __future__ import annotations

import sys

import pytest

from dovetail import FlowSpec, retry, step, timeout
from dovetail.authoring.describe import canonical_module, constants, describe, flows_in, step_methods
from dovetail.interfaces.flow import FlowDescription


def codes(flow: type[FlowSpec]) -> list[str]:
    return [problem.code for problem in describe(flow).problems]


def test_a_whole_flow(make_flow, tmp_path) -> None:
    flow = make_flow(
        '''
        @timeout(minutes=5)
        @resources(cpu=2)
        class Digits(FlowSpec):
            """Find digits.

            At length.
            """
            rate = Parameter(default=0.1, help="learning rate")
            GRID = [1, 2]
            @step
            def start(self):
                self.next(self.train, foreach="GRID", on_error="collect")
            @retry(times=2, delay=1.5, on=(ValueError, "KeyError"))
            @step
            @catch(var="oops")
            def train(self):
                """Train one."""
                self.next(self.join)
            @step
            def join(self, inputs):
                self.next(self.end)
            @step
            def end(self): pass
        '''
    )
    found = describe(flow)
    assert (found.name, found.doc, found.start, found.end) == ("Digits", "Find digits.", "start", "end")
    assert found.file == str(tmp_path / "made.py")
    assert found.module == flow.__module__
    assert [s.name for s in found.steps] == ["start", "train", "join", "end"]
    assert [s.is_join for s in found.steps] == [False, False, True, False]
    train = found.by_name["train"]
    assert (train.doc, train.line, train.file) == ("Train one.", 18, str(tmp_path / "made.py"))
    assert [(d.kind, dict(d.options), d.source.rpartition(":")[2]) for d in train.decorators] == [
        ("retry", {"times": 2, "delay": 1.5, "on": ["ValueError", "KeyError"]}, "15"),
        ("catch", {"var": "oops"}, "17"),
    ]
    assert [(d.kind, dict(d.options)) for d in found.decorators] == [
        ("timeout", {"minutes": 5}),
        ("resources", {"cpu": 2}),
    ]
    assert found.problems == ()
    assert FlowDescription.from_plain(found.to_plain()) == found
    assert constants(flow) == {"GRID": [1, 2]}


def test_constants_are_data_of_the_class_and_its_bases() -> None:
    class Mixin:
        SHARED = 1
        OVERRIDDEN = 1
        HIDDEN = 1

    class Base(Mixin, FlowSpec):
        OVERRIDDEN = 2
        _private = 3
        kind = int
        module = sys
        count: int

        class Inner: ...

        @staticmethod
        def tool() -> None: ...

        @property
        def prop(self) -> int:
            return 1

        @step
        def start(self) -> None: ...

    class Derived(Base):
        OVERRIDDEN = 3

        def HIDDEN(self) -> None: ...

    assert constants(Base) == {"SHARED": 1, "OVERRIDDEN": 2, "HIDDEN": 1}
    assert constants(Derived) == {"SHARED": 1, "OVERRIDDEN": 3}
    assert (Mixin.SHARED, Derived.SHARED, Derived.kind) == (1, 1, int)


def test_start_and_end_by_mark() -> None:
    class Marked(FlowSpec):
        @step(start=True)
        def first(self) -> None:
            self.next(self.last)

        @step(end=True)
        def last(self) -> None: ...

    class One(FlowSpec):
        @step
        def only(self) -> None: ...

    class Neither(FlowSpec):
        @step
        def a(self) -> None: ...

        @step
        def b(self) -> None: ...

    assert (describe(Marked).start, describe(Marked).end) == ("first", "last")
    assert (describe(One).start, describe(One).end) == ("only", "only")
    assert (describe(Neither).start, describe(Neither).end) == ("", "")


def test_two_marks_are_a_problem() -> None:
    class Two(FlowSpec):
        @step(start=True)
        def a(self) -> None: ...

        @step(start=True, end=True)
        def b(self) -> None: ...

    assert codes(Two) == ["two-starts"]


def test_steps_of_bases_come_first_and_can_be_replaced() -> None:
    class Base(FlowSpec):
        @step
        def start(self) -> None:
            self.next(self.middle)

        @retry
        @step
        def middle(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None: ...

    class Derived(Base):
        @timeout(seconds=1)
        @step
        def middle(self) -> None:
            self.next(self.extra)

        @step
        def extra(self) -> None:
            self.next(self.end)

    class Without(Base):
        middle = None  # type: ignore[assignment]

    found = describe(Derived)
    assert [s.name for s in found.steps] == ["start", "middle", "end", "extra"]
    assert found.by_name["middle"].targets == ("extra",)
    assert [d.kind for d in found.by_name["middle"].decorators] == ["timeout"]
    assert list(step_methods(Without)) == ["start", "end"]


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        ("@step\n    def next(self): pass", "reserved-name", "'next'"),
        ("@step\n    def input(self): pass", "reserved-name", "'input'"),
        ("@step\n    def _hidden(self): pass", "reserved-name", "begins with _"),
        ("@step\n    def error(self): pass", "reserved-name", "'error'"),
        ("def merge_artifacts(self): pass", "reserved-name", "every flow has already"),
        ("def __init__(self): self.x = 1", "flow-init", "no task calls"),
        ("@step\n    def a(self, x, y): pass", "step-arguments", "2 arguments besides self"),
        ("@step\n    def a(self, *, x=1): pass", "step-arguments", "1 arguments besides self"),
        ("@step\n    async def a(self): pass", "step-async", "coroutine or generator"),
        ("@step\n    def a(self): yield 1", "step-async", "coroutine or generator"),
        ("@step\n    def a(self): self.index = 1", "reserved-name", "sets self.index"),
        ("@step\n    def a(self): self.start = 1", "reserved-name", "which is a step"),
        ("@step\n    def a(self): self.rate = 1", "reserved-name", "which is a parameter"),
        ("@step\n    def a(self): self.C += 1", "reserved-name", "which is a constant"),
        ("def h(self): self.C = 1\n    @step\n    def a(self): self.h()", "reserved-name", "step a sets self.C"),
        ("@retry\n    @retry(times=2)\n    @step\n    def a(self): pass", "duplicate-decorator", "two @retry"),
        (
            "@retry(tiems=2)\n    @step\n    def a(self): pass",
            "decorator-argument",
            "step a: @retry has no argument 'tiems'",
        ),
    ],
)
def test_problems_of_classes_and_steps(make_any, body: str, code: str, part: str) -> None:
    flow = make_any(
        "class Made(FlowSpec):\n    rate = Parameter(default=1)\n    C = 1\n"
        f"    @step\n    def start(self): pass\n    {body}\n"
    )
    problems = [p for p in describe(flow).problems if p.code == code]
    assert len(problems) >= 1, describe(flow).problems
    assert any(part in p.message for p in problems), problems
    assert all(p.fix and p.line for p in problems)


def test_error_is_reserved_only_where_errors_are_collected(make_flow) -> None:
    source = """
        class Made(FlowSpec):
            @step
            def start(self): self.next(self.w, foreach=[1]{0})
            @step
            def w(self):
                self.error = 0.5
                self.next(self.j)
            @step
            def j(self, inputs): self.next(self.end)
            @step
            def end(self): pass
    """
    assert codes(make_flow(source.format(""))) == []
    assert codes(make_flow(source.format(", on_error='collect'"))) == ["reserved-name"]


def test_flow_decorators_are_inherited_until_replaced() -> None:
    from dovetail import environment_variables

    @environment_variables(A="1")
    @retry(times=1)
    class Base(FlowSpec):
        @step
        def start(self) -> None: ...

    @environment_variables(B="2")
    @retry(times=2)
    class Derived(Base): ...

    class Plain(Base): ...

    def uses(flow: type[FlowSpec]) -> list[tuple[str, dict[str, object]]]:
        return [(d.kind, dict(d.options)) for d in describe(flow).decorators]

    assert uses(Base) == [("environment_variables", {"A": "1"}), ("retry", {"times": 1})]
    assert uses(Plain) == uses(Base)
    assert uses(Derived) == [
        ("environment_variables", {"B": "2"}),
        ("retry", {"times": 2}),
        ("environment_variables", {"A": "1"}),
    ]


def test_flows_of_a_module(make_flow) -> None:
    last = make_flow(
        """
        class Stepless(FlowSpec): pass
        class Base(FlowSpec):
            @step
            def start(self): pass
        class A(Base): pass
        class B(Base): pass
        Alias = A
        """
    )
    assert [f.__name__ for f in flows_in(sys.modules[last.__module__])] == ["A", "B"]


def test_the_canonical_module_of_a_script_is_its_file(monkeypatch) -> None:
    import types

    main = types.ModuleType("__main__")
    main.__file__ = "/somewhere/digits.py"
    main.__spec__ = None
    monkeypatch.setitem(sys.modules, "__main__", main)

    class Flow(FlowSpec): ...

    Flow.__module__ = "__main__"
    assert canonical_module(Flow) == "digits"
    main.__spec__ = types.SimpleNamespace(name="pack.digits")  # type: ignore[assignment]
    assert canonical_module(Flow) == "pack.digits"
    main.__spec__, main.__file__ = None, "/somewhere/my-flow.py"
    assert canonical_module(Flow) == "flow"
    assert describe(Flow, module="given").module == "given"


def test_a_step_wrapped_by_a_decorator_of_the_author(make_any) -> None:
    flow = make_any(
        """
        import functools
        def logged(function):
            @functools.wraps(function)
            def wrapper(self, *args):
                return function(self, *args)
            return wrapper
        class Made(FlowSpec):
            @step
            @logged
            def start(self): self.next(self.w, foreach=[1])
            @logged
            @step
            def w(self): self.next(self.j)
            @step
            @logged
            def j(self, inputs): self.next(self.end)
            @step
            def end(self): pass
        """
    )
    found = describe(flow)
    assert found.problems == ()
    assert [s.targets for s in found.steps] == [("w",), ("j",), ("end",), ()]
    assert [s.name for s in found.steps if s.is_join] == ["j"]
