"""The graph comes from every reachable `self.next`, with source and without."""

from __future__ import annotations

import pytest

from dovetail.authoring.describe import describe

REST = """
    @step
    def a(self): self.next(self.end)
    @step
    def b(self): self.next(self.end)
    @step
    def end(self): pass
"""


def transitions(make, body: str, *, before: str = "", step: str = "start", rest: str = REST):
    flow = make(f"{before}\nclass Made(FlowSpec):\n    KEY = 'k'\n{body}\n{rest}")
    description = describe(flow)
    return description.by_name[step].transitions, description.problems


def shown(found) -> list[str]:
    texts = []
    for t in found:
        text = f"{t.kind} {','.join(t.targets)}"
        if t.kind == "switch":
            text += f" {t.condition} {dict(t.cases)}"
        if t.kind == "foreach":
            text += f" {t.foreach} {t.on_error}"
        texts.append(text)
    return texts


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("self.next(self.a)", ["linear a"]),
        ("self.next(self.a, self.b)", ["branch a,b"]),
        ("self.next(self.a, foreach='xs')", ["foreach a xs fail"]),
        ("self.next(self.a, foreach=[1, 2], on_error='collect')", ["foreach a None collect"]),
        ("self.next(self.a, foreach=(i for i in self.xs if i))", ["foreach a None fail"]),
        ("self.next(self.a, foreach=[i for i in range(self.n)], on_error='collect')", ["foreach a None collect"]),
        ("self.next(self.a, foreach=self.make(1, x=2), on_error='fail')", ["foreach a None fail"]),
        ("self.next(self.a, foreach={'k': 1}.items())", ["foreach a None fail"]),
        ("self.next(self.a, foreach=f'{self.x}s')", ["foreach a None fail"]),
        ("self.next(self.a, foreach=None)", ["linear a"]),
        (
            "self.next({'x': self.a, 'y': self.b}, condition='v')",
            ["switch a,b v {'\"x\"': 'a', '\"y\"': 'b'}"],
        ),
        (
            "self.next({1: self.a, 2.5: self.b, True: self.a, None: self.b, -1: self.a}, condition='v')",
            ["switch a,b v {'1': 'a', '2.5': 'b', 'true': 'a', 'null': 'b', '-1': 'a'}"],
        ),
        (
            "self.next({self.KEY: self.a, NAME: self.b, Kind.RED: self.a}, condition='v')",
            ["switch a,b v {'\"k\"': 'a', '\"n\"': 'b', '\"red\"': 'a'}"],
        ),
        ("self.next(getattr(self, 'a'))", ["linear a"]),
        ("if self.x:\n    self.next(self.a)\nelse:\n    self.next(self.b)", ["linear a", "linear b"]),
        ("if self.x:\n    self.next(self.a)\n    return\nself.next(self.b)", ["linear a", "linear b"]),
        ("self.next(self.a)\nreturn\nself.next(self.b)", ["linear a"]),
        ("if self.x:\n    raise ValueError\n    self.next(self.b)\nself.next(self.a)", ["linear a"]),
        ("if self.x:\n    return self.next(self.a)\nelse:\n    raise ValueError\nself.next(self.b)", ["linear a"]),
        ("try:\n    self.next(self.a)\nexcept ValueError as e:\n    self.next(self.b)", ["linear a", "linear b"]),
        ("for i in range(3):\n    if i:\n        self.next(self.a)\n        break\nelse:\n    self.next(self.b)",
         ["linear a", "linear b"]),
        ("while True:\n    if self.done():\n        break\nself.next(self.a)", ["linear a"]),
        ("with open('x') as f:\n    self.next(self.a)", ["linear a"]),
        ("x = lambda: 3\nself.next(self.a)", ["linear a"]),
        ("self.next(self.a)\nself.next(self.a)", ["linear a"]),
        ("match self.x:\n    case 1:\n        self.next(self.a)\n    case _:\n        self.next(self.b)",
         ["linear a", "linear b"]),
        ("self.go(1, b=2)", ["linear a"]),
        ("print(f'{self.x!r:>10}', *self.xs, **self.kw)\nself.y = [*self.xs, 1]\nself.next(self.a)", ["linear a"]),
        ("assert self.x, 'no'\nself.d = {**self.kw, 'a': 1}\ndel self.x\nself.next(self.a, self.b)", ["branch a,b"]),
        ("self.next(\n    self.a,\n    foreach='xs',\n)", ["foreach a xs fail"]),
    ],
)  # fmt: skip
def test_what_can_be_read(make_any, body: str, expected: list[str]) -> None:
    import textwrap

    before = "from enum import Enum\nNAME = 'n'\nclass Kind(Enum):\n    RED = 'red'\n"
    code = "    @step\n    def start(self):\n" + textwrap.indent(body, " " * 8)
    code += "\n    def go(self, n, b):\n        self.next(self.a)\n"
    found, problems = transitions(make_any, code, before=before)
    assert shown(found) == expected
    assert [p.message for p in problems] == []


def test_an_endless_loop_hides_what_follows(make_flow) -> None:
    code = """
    @step
    def start(self):
        while True:
            if self.x:
                self.next(self.a)
        self.next(self.b)
"""
    found, _ = transitions(make_flow, code)
    assert shown(found) == ["linear a"]


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("self.next(*self.targets)", "dynamic-next", "does not say which steps follow"),
        ("self.next(**self.kw)", "dynamic-next", "does not say which steps follow"),
        ("self.next(getattr(self, self.x))", "dynamic-target", "which step follows can't be read"),
        ("self.next()", "next-without-target", "names no step"),
        ("self.next(self.a, self.a)", "duplicate-target", "names a step twice: a, a"),
        ("self.next(self.a, self.b, foreach='xs')", "foreach-targets", "one target, not 2: a, b"),
        ("self.next(self.a, on_error='collect')", "on-error-without-foreach", "belongs to a foreach"),
        ("self.next(self.a, foreach='xs', on_error='skip')", "unknown-on-error", "neither 'fail' nor 'collect'"),
        ("self.next(self.a, num_parallel=3)", "unknown-argument", "no argument 'num_parallel'"),
        ("self.next({'x': self.a, 'y': self.b})", "switch-without-condition", "has no condition="),
        ("self.next(self.a, condition='v')", "switch-without-cases", "has no mapping of cases"),
        ("self.next({'x': self.a}, condition='v')", "switch-cases", "two cases or more, not 1"),
        ("self.next({}, condition='v')", "switch-cases", "two cases or more, not 0"),
        (
            "self.next({'x': self.a, 'y': self.b}, condition=self.name)",
            "dynamic-condition",
            "not the name of an artifact",
        ),
        ("self.next({'x': self.a, self.key(): self.b}, condition='v')", "dynamic-cases", "is not a text, number, bool"),
        ("self.next({'x': self.a, 'y': self.b}, condition='v', foreach='xs')", "switch-mixed", "nothing but its cases"),
    ],
)
def test_what_can_not_be_read_is_a_problem(make_any, call: str, code: str, message: str) -> None:
    found, problems = transitions(make_any, f"    @step\n    def start(self):\n        x = 1\n        {call}\n")
    assert shown(found) == []
    assert [(p.code, p.line) for p in problems] == [(code, 8)]
    assert message in problems[0].message
    assert problems[0].fix


def test_a_choice_inside_the_call_is_a_problem_of_the_source(make_flow) -> None:
    _, problems = transitions(make_flow, "    @step\n    def start(self): self.next(self.a if self.x else self.b)\n")
    assert [p.code for p in problems] == ["dynamic-target"]


def test_transitions_through_super_and_base_classes(make_any) -> None:
    flow = make_any(
        """
        class Base(FlowSpec):
            @step
            def start(self):
                self.next(self.a)
            @step
            def end(self): pass
        class Mixin:
            def finish(self):
                self.next(self.end)
            @step
            def a(self):
                self.finish()
        class Made(Mixin, Base):
            @step
            def start(self):
                if self.x:
                    super().start()
                else:
                    Base.start(self)
                    self.next(self.end)
        """
    )
    steps = describe(flow).by_name
    assert shown(steps["start"].transitions) == ["linear a", "linear end"]
    assert shown(steps["a"].transitions) == ["linear end"]


def test_recursion_between_helpers_ends(make_any) -> None:
    code = """
    @step
    def start(self):
        self.one()
    def one(self): self.two()
    def two(self):
        self.one()
        self.next(self.a)
"""
    assert shown(transitions(make_any, code)[0]) == ["linear a"]


def test_source_in_linecache_is_used(make_flow) -> None:
    """As notebooks and newer REPLs register their cells."""
    import linecache
    import sys
    import types

    text = (
        "from dovetail import FlowSpec, step\n"
        "class Cell(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        '        """First.\n\n        More."""\n'
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self): pass\n"
    )
    name = "<ipython-input-1-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    module = sys.modules["cell_module"] = types.ModuleType("cell_module")
    try:
        exec(compile(text, name, "exec"), vars(module))
        description = describe(module.Cell)
    finally:
        del sys.modules["cell_module"], linecache.cache[name]
    start = description.by_name["start"]
    assert (start.line, start.file, start.doc, start.targets) == (4, name, "First.", ("end",))
    assert description.file == ""


def test_a_file_that_changed_after_the_import_falls_back_to_bytecode(make_flow, tmp_path) -> None:
    import linecache

    flow = make_flow("class Made(FlowSpec):\n    @step\n    def start(self):\n        self.next(self.end)\n" + REST)
    (tmp_path / "made.py").write_text("# gone\n")
    linecache.checkcache()
    assert describe(flow).by_name["start"].targets == ("end",)
    (tmp_path / "made.py").write_text("def broken(:\n")
    linecache.checkcache()
    assert describe(flow).by_name["start"].targets == ("end",)
