"""What changes a step's code key, and what does not."""

from __future__ import annotations

import sys

import pytest

from dovetail.authoring.describe import describe
from dovetail.packaging.code_key import with_code_keys

BASE = '''
import os
import helpers
from enum import Enum

SCALE = 3
UNUSED = 1
TABLE = {"a": 1}
TABLE["b"] = 2
RULES = []
RULES.append(SCALE)

class Kind(Enum):
    A = "a"

def norm(x):
    """Normalise."""
    return inner(x) / SCALE

def inner(x):
    return x

def other():
    return UNUSED

class Made(FlowSpec):
    LIMIT = 7
    FREE = 8
    rate = Parameter(default=0.1)

    @property
    def doubled(self):
        return self.helper(2)

    def helper(self, x):
        return x * self.LIMIT

    def unused(self):
        return other()

    @retry(times=2)
    @step
    def start(self):
        """Begin."""
        # go
        self.x = norm(self.rate) + self.doubled
        self.next(self.train, foreach="xs")

    @step
    @environment_variables(MODE="fast")
    def train(self):
        values = [UNUSED for UNUSED in range(3)]
        print(values, TABLE, Kind.A)
        self.next({Kind.A: self.join, "b": self.train}, condition="kind")

    @step
    def join(self, inputs):
        RULES
        self.next(self.end)

    @step
    def end(self):
        pass
'''
HELPERS = "import deeper\ndef h(): return 1\n"
MODULES = {"helpers": HELPERS, "deeper": "Z = 1\n", "unrelated": "Q = 1\n"}
STEPS = ("start", "train", "join", "end")


def changed(keys_of, old: str, new: str, **modules: str) -> set[str]:
    """Steps whose key differs when `old` is replaced by `new`."""
    assert not old or old in BASE, old
    before = keys_of(BASE, **MODULES)
    after = keys_of(BASE.replace(old, new) if old else BASE, **{**MODULES, **modules})
    found = {s for s in STEPS if before.by_name[s].code_key != after.by_name[s].code_key}
    for step in STEPS:
        same = before.by_name[step].code_parts == after.by_name[step].code_parts
        assert same == (step not in found)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Begin."""', '"""Start, now."""'),
        ("# go", "# went"),
        ('"""Normalise."""', ""),
        ("return inner(x) / SCALE", "return (inner( x )\n            / SCALE)"),
        ("@retry(times=2)", "@retry(times=9, delay=3)"),
        ("@retry(times=2)", "@resources(cpu=2)\n    @timeout(seconds=9)"),
        ("@retry(times=2)\n    @step", "@step\n    @isolation('fork')"),
        ("    @step\n    def end", "    @step(end=True)\n    def end"),
        ("UNUSED = 1\n", "UNUSED = 2\n"),
        ("return UNUSED", "return 5"),
        ("return other()", "return 6"),
        ("FREE = 8", "FREE = 9"),
        ("default=0.1", "default=0.2"),
        ("import os\n", "import os, json\n"),
    ],
)
def test_what_does_not_count(keys_of, old, new) -> None:
    assert changed(keys_of, old, new) == set()


@pytest.mark.parametrize(
    ("old", "new", "steps"),
    [
        ("+ self.doubled", "- self.doubled", {"start"}),
        ("return x\n", "return x + 1\n", {"start"}),
        ("SCALE = 3", "SCALE = 4", {"start", "join"}),
        ("LIMIT = 7", "LIMIT = 8", {"start"}),
        ("return x * self.LIMIT", "return self.LIMIT * x", {"start"}),
        ("self.helper(2)", "self.helper(3)", {"start"}),
        ('foreach="xs"', 'foreach="ys"', {"start"}),
        ('TABLE["b"] = 2', 'TABLE["b"] = 3', {"train"}),
        ('A = "a"', 'A = "aa"', {"train"}),
        ('MODE="fast"', 'MODE="slow"', {"train"}),
        ('"b": self.train', '"c": self.train', {"train"}),
        ("RULES.append(SCALE)", "RULES.append(3)", {"start", "join"}),  # it may change SCALE as well
        ("@retry(times=2)", '@catch(var="oops")', {"start"}),
        ("class Made(FlowSpec)", "@environment_variables(A='1')\nclass Made(FlowSpec)", set(STEPS)),
        ("        pass\n", "        print(missing_name)\n", {"end"}),
        ("    def end(self):", "    def end(this):", {"end"}),
    ],
)
def test_what_counts_for_which_steps(keys_of, old, new, steps) -> None:
    assert changed(keys_of, old, new) == steps


def test_modules_of_the_project_count_as_a_whole_and_others_do_not(keys_of) -> None:
    assert changed(keys_of, "", "", helpers=HELPERS + "# comment\n") == set(STEPS)
    assert changed(keys_of, "", "", deeper="Z = 2\n") == set(STEPS)
    assert changed(keys_of, "", "", unrelated="Q = 2\n") == set()


def test_imports_inside_functions_and_of_packages_count(keys_of) -> None:
    flow = """
    class Made(FlowSpec):
        @step
        def start(self):
            from pack.inner import tool as t
            self.next(self.end)
        @step
        def end(self): pass
    """
    modules = {
        "pack/__init__": "",
        "pack/inner": "from . import side\nfrom .deep.leaf import (\n  a,\n  b,  # why\n)\n",
        "pack/side": "S = 1\n",
        "pack/deep/__init__": "",
        "pack/deep/leaf": "a = b = 1\n",
    }
    parts = keys_of(flow, **modules).by_name["end"].code_parts
    assert sorted(p for p in parts if p.endswith(".py")) == [
        "pack/__init__.py", "pack/deep/__init__.py", "pack/deep/leaf.py", "pack/inner.py", "pack/side.py",
    ]  # fmt: skip


def test_an_unresolved_name_makes_the_whole_module_count(keys_of) -> None:
    flow = "from somewhere import *\nclass Made(FlowSpec):\n    @step\n    def start(self):\n        {0}\nX = {1}\n"
    module = {"somewhere": "def mystery(): pass\n"}

    def key(body: str, x: int) -> str:
        return keys_of(flow.format(body, x), **module).by_name["start"].code_key

    assert key("mystery()", 1) != key("mystery()", 2)
    assert key("print()", 1) == key("print()", 2)
    parts = keys_of(flow.format("mystery()", 1), **module).by_name["start"].code_parts
    assert "flow.py (whole: mystery can't be resolved)" in parts


def test_a_step_that_hands_on_its_instance_depends_on_every_method(keys_of) -> None:
    flow = """
    def tool(flow):
        flow.hidden()
    class Made(FlowSpec):
        def hidden(self):
            return {0}
        @step
        def start(self):
            tool(self)
            self.next(self.end)
        @step
        def end(self):
            return {1}
    """

    def keys(a: int, b: int) -> tuple[str, str]:
        steps = keys_of(flow.format(a, b)).by_name
        return steps["start"].code_key, steps["end"].code_key

    one, two, three = keys(1, 1), keys(2, 1), keys(1, 2)
    assert one[0] != two[0]
    assert one[1] == two[1]
    assert one[0] == three[0]
    assert one[1] != three[1]


def test_inherited_methods_and_super(keys_of) -> None:
    flow = """
    class Base(FlowSpec):
        def tool(self): return {0}
        @step
        def start(self):
            self.next(self.end)
        @step
        def end(self):
            return {1}
    class Made(Base):
        def tool(self): return super().tool() + 1
        @step
        def start(self):
            super().start()
        @step
        def end(self):
            self.tool()
    """
    key = {(a, b): keys_of(flow.format(a, b)).by_name for a in (1, 2) for b in (1, 2)}
    assert key[1, 1]["end"].code_key != key[2, 1]["end"].code_key
    assert key[1, 1]["end"].code_key == key[1, 2]["end"].code_key  # replaced, not called
    assert key[1, 1]["start"].code_key == key[2, 1]["start"].code_key
    assert "Base.start" in key[1, 1]["start"].code_parts


def test_a_mixin_of_another_file(keys_of) -> None:
    flow = """
    from mixins import Tools
    class Made(Tools, FlowSpec):
        @step
        def start(self):
            self.tool()
    """
    mixins = (
        "import far\nclass Tools:\n    X = {0}\n    def tool(self): return self.X\n    def other(self): return {1}\n"
    )

    def parts(x: int, other: int) -> dict[str, str]:
        return dict(keys_of(flow, mixins=mixins.format(x, other), far="F = 1\n").by_name["start"].code_parts)

    assert {"Made.start", "Tools.tool", "Tools.X", "mixins.py", "far.py"} <= set(parts(1, 1))
    assert parts(1, 1)["Tools.X"] != parts(2, 1)["Tools.X"]
    assert parts(1, 1)["Tools.tool"] == parts(2, 2)["Tools.tool"]


def test_the_place_of_the_project_does_not_count(keys_of, tmp_path) -> None:
    before = keys_of(BASE, **MODULES)
    moved = tmp_path / "moved"
    (tmp_path / "project").rename(moved)
    (tmp_path / "project").mkdir()
    sys.path.insert(0, str(moved))
    try:
        for name in ("flow", *MODULES):
            sys.modules.pop(name, None)
        import flow  # type: ignore[import-not-found]

        after = with_code_keys(describe(flow.Made), flow.Made)
    finally:
        sys.path.remove(str(moved))
    assert [s.code_key for s in before.steps] == [s.code_key for s in after.steps]
    assert set(before.sources) != set(after.sources)


def test_sources_are_the_projects_own_files(keys_of, tmp_path) -> None:
    found = keys_of(BASE, **MODULES)
    root = tmp_path / "project"
    assert set(found.sources) == {str(root / name) for name in ("flow.py", "helpers.py", "deeper.py")}
    assert all(len(digest) == 64 for digest in found.sources.values())


def test_code_of_an_environment_is_not_first_party(keys_of, tmp_path) -> None:
    root = tmp_path / "project"
    for folder in (root / "venv", root / "lib" / "site-packages"):
        folder.mkdir(parents=True)
        (folder / "foreign.py").write_text("F = 1\n")
    (root / "venv" / "pyvenv.cfg").write_text("")
    flow = "import foreign\nclass Made(FlowSpec):\n    @step\n    def start(self): return foreign.F\n"
    for folder in (root / "venv", root / "lib" / "site-packages"):
        sys.path.insert(0, str(folder))
        try:
            found = keys_of(flow)
        finally:
            sys.path.remove(str(folder))
            sys.modules.pop("foreign", None)
        assert set(found.sources) == {str(root / "flow.py")}
        assert not any("foreign.py" in part for part in found.by_name["start"].code_parts)


def test_decorators_of_the_author_count(keys_of) -> None:
    flow = """
    import functools
    def logged(function):
        @functools.wraps(function)
        def wrapper(self):
            return function(self), {0}
        return wrapper
    class Made(FlowSpec):
        @step
        @logged
        def start(self): self.next(self.end)
        @step
        def end(self): pass
    """
    one, two = keys_of(flow.format(1)).by_name, keys_of(flow.format(2)).by_name
    assert one["start"].code_key != two["start"].code_key
    assert one["end"].code_key == two["end"].code_key


# ------------------------------------------------------------------ code without source


def generated(text: str):
    import types

    module = types.ModuleType("generated")
    sys.modules["generated"] = module
    try:
        exec("from dovetail import *\n" + text, vars(module))
        flow = module.Made  # type: ignore[attr-defined]
        return with_code_keys(describe(flow), flow)
    finally:
        del sys.modules["generated"]


GENERATED = """
SCALE = {0}
def tool(x): return [y * SCALE for y in x]
class Made(FlowSpec):
    LIMIT = {1}
    def helper(self): return self.LIMIT
    @step
    def start(self):
        self.x = tool([1]) + self.helper()
        self.next(self.end)
    @step
    def end(self):
        self.y = {2}
"""


@pytest.mark.parametrize(
    ("values", "steps"),
    [((1, 1, 1), set()), ((2, 1, 1), {"start"}), ((1, 2, 1), {"start"}), ((1, 1, 2), {"end"})],
)
def test_generated_code_counts_by_its_bytecode(values, steps) -> None:
    before, after = generated(GENERATED.format(1, 1, 1)), generated("\n\n" + GENERATED.format(*values))
    changed = {s.name for s in before.steps if s.code_key != after.by_name[s.name].code_key}
    assert changed == steps


def test_cells_of_a_notebook_see_each_others_names() -> None:
    import linecache
    import types

    module = types.ModuleType("__notebook__")
    sys.modules["__notebook__"] = module

    def cell(number: int, text: str) -> None:
        name = f"<cell-{number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), vars(module))

    def key(scale: int, tool: str) -> str:
        cell(1, f"from dovetail import FlowSpec, step\nSCALE = {scale}\n")
        cell(2, f"def tool(x):\n    return {tool}\n")
        cell(3, "class Made(FlowSpec):\n    @step\n    def start(self):\n        self.x = tool(SCALE)\n")
        flow = module.Made  # type: ignore[attr-defined]
        return with_code_keys(describe(flow), flow).by_name["start"].code_key

    try:
        assert key(1, "x") == key(1, "x  # same")
        assert len({key(1, "x"), key(2, "x"), key(1, "x + 1")}) == 3
    finally:
        del sys.modules["__notebook__"]
        for name in [n for n in linecache.cache if n.startswith("<cell-")]:
            del linecache.cache[name]
