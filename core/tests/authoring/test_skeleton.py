"""Graphs that are read from a source alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from dovetail.authoring.skeleton import skeleton
from dovetail.authoring.skeleton.certain import surely_called
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.graphs import FlowGraph, GraphNode

HEAD = """
import asyncio
from dovetail import allow_failure, flow, task, unmapped

@task
def load(x): ...

@task
def fit(x, by=1): ...

@task
def report(x): ...

"""


class Drawn:
    """A graph, asked by names."""

    def __init__(self, graph: FlowGraph) -> None:
        self.graph = graph

    def calls(self) -> list[str]:
        """Names of what is called, in order."""
        return [node.name for node in self.graph.nodes if node.kind in ("task", "run")]

    def one(self, name: str) -> GraphNode:
        (node,) = [node for node in self.graph.nodes if node.name == name]
        return node

    def around(self, name: str) -> list[str]:
        """Names of what a node lies in, innermost first, without the flow itself."""
        known, found = self.graph.by_id, []
        parent = self.one(name).parent
        while parent is not None and known[parent].kind != "flow":
            found.append(known[parent].name)
            parent = known[parent].parent
        return found

    def edges(self) -> set[tuple[str, str]]:
        known = self.graph.by_id
        return {(known[edge.source].name, known[edge.target].name) for edge in self.graph.edges}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def drawn(folder: Path, source: str, *, head: str = HEAD, name: str | None = None) -> Drawn:
    file = folder / "flow.py"
    file.write_text(head + dedent(source))
    return Drawn(skeleton(str(file), name))


def test_values_tell_what_follows_what(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @flow
        def shop(xs: list[int], by: int = 2):
            loaded = load.map(xs)
            first, rest = fit.submit(loaded[0]), []
            rest.append(report(first))
            return fit.with_options(name="last", cpu=4)({"k": rest}, by=by)
        """,
    )
    assert found.calls() == ["load", "fit", "report", "last"]
    assert found.edges() == {("load", "fit"), ("fit", "report"), ("report", "last")}
    assert found.one("load").verb == "map"
    assert found.one("load").many
    assert found.one("fit").verb == "submit"
    assert found.one("last").detail == "cpu=4"
    assert not any(node.maybe for node in found.graph.nodes)
    assert found.one("shop").detail == "(xs: list[int], by: int=2)"
    assert found.one("load").line == 17


def test_loops_and_comprehensions_are_folded(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @flow
        def shop(xs):
            fits = {x: fit.submit(load(x)) for x in xs}
            for name, one in fits.items():
                report(one)
            while True:
                if load.with_options(name="poll")(1):
                    break
        """,
    )
    (loop,) = [node for node in found.graph.nodes if node.name == "for x in xs"]
    assert loop.kind == "loop"
    assert found.around("fit") == ["for x in xs"]
    assert found.around("load") == ["for x in xs"]
    report = found.one("report")
    assert report.many
    assert report.detail == "for name, one in fits.items()"
    assert not report.maybe
    assert found.edges() == {("load", "fit"), ("fit", "report")}
    assert found.one("poll").detail == "loop"


def test_branches_are_conditional_and_meet_again(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @flow
        def shop(x: int):
            if x > 3:
                y = load(x)
            elif fit.with_options(name="asked")(x):
                y = fit(x)
            else:
                y = 0
            z = report(y)
            return load.with_options(name="big")(z) if x else None
        """,
    )
    assert found.around("load") == ["if x > 3"]
    assert found.around("fit") == found.around("asked")
    assert found.one("load").maybe
    assert found.one("asked").maybe
    assert not found.one("report").maybe
    assert found.one("big").maybe
    assert found.edges() == {("load", "report"), ("fit", "report"), ("report", "big")}


def test_what_comes_behind_a_return_is_conditional(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @flow
        def shop(x: int):
            if x < 0:
                raise ValueError(x)
            load(x)
            if x == 0:
                return None
            fit(x)
            return 1
            report(x)
        """,
    )
    assert found.calls() == ["load", "fit"]
    assert not found.one("load").maybe
    assert found.one("fit").maybe
    assert found.one("if x == 0").detail == "return"
    assert not any("x < 0" in node.name for node in found.graph.nodes)


def test_try_and_match(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @flow
        def shop(x: int):
            try:
                y = load(x)
            except (OSError, ValueError) as error:
                y = fit(str(error))
            finally:
                report("done")
            match y:
                case {"kind": "a", "value": value} if value > 3:
                    load.with_options(name="a")(value)
                case _:
                    load.with_options(name="other")(x)
        """,
    )
    assert found.around("load") == ["try"]
    assert not found.one("load").maybe
    assert found.around("fit") == ["except (OSError, ValueError)"]
    assert found.one("fit").maybe
    assert not found.one("report").maybe
    assert found.around("other") == ["match y: case _"]
    assert {("load", "a"), ("fit", "a")} <= found.edges()


def test_plain_functions_are_walked_where_they_are_called(folder: Path) -> None:
    found = drawn(
        folder,
        """
        def each(xs):
            return [fit(x) for x in xs]

        def again(n):
            return again(n - 1)

        def nothing(x):
            return [x]

        @flow
        def shop(xs: list[int]):
            def inner(y):
                return report(y)
            again(3)
            return inner(nothing(each(load.map(xs))))
        """,
    )
    assert found.calls() == ["load", "fit", "report"]
    assert found.around("fit") == ["each()"]
    assert found.around("report") == ["inner()"]
    assert found.edges() == {("load", "fit"), ("fit", "report")}


def test_tasks_that_call_tasks_are_drawn_below_the_first_call(folder: Path) -> None:
    found = drawn(
        folder,
        """
        @task
        def outer(x):
            return fit(load(x))

        @task
        def endless(x):
            return endless(x)

        @flow
        def shop():
            endless(1)
            return outer(outer(1))
        """,
    )
    assert found.calls() == ["endless", "endless", "outer", "load", "fit", "outer"]
    assert found.around("fit") == ["outer"]


def test_coroutines_and_tasks_that_are_handed_on(folder: Path) -> None:
    found = drawn(
        folder,
        """
        import functools
        from concurrent.futures import ThreadPoolExecutor

        @task
        async def fetch(i): ...

        @flow
        async def shop(n: int):
            pages = await asyncio.gather(*(fetch(i) for i in range(n)), fetch.with_options(name="extra")(0))
            with ThreadPoolExecutor() as pool:
                pool.map(load, pages)
            part = functools.partial(fit, by=2)
            return part(pages)
        """,
    )
    assert found.calls() == ["fetch", "extra", "load", "fit"]
    assert found.one("fetch").detail == "for i in range(n)"
    assert found.one("load").maybe
    assert found.one("load").detail == "handed on"
    assert found.edges() == {("fetch", "fit"), ("extra", "fit")}


def test_imported_tasks_are_found_however_they_are_imported(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "__init__.py").write_text("from .tasks import one as first\nfrom .more import *\n")
    (folder / "lib" / "tasks.py").write_text("import dovetail as dt\n@dt.task(name='uno')\ndef one(x): ...\n")
    (folder / "lib" / "more.py").write_text("from dovetail import task as t\n@t\ndef two(x): ...\nthree = t(len_)\n")
    found = drawn(
        folder,
        """
        import json
        import missing_library
        import lib
        import lib.tasks as tasks
        from dovetail import flow
        from lib import two
        from missing_library import thing

        @flow(name="store")
        def shop(x: int):
            thing(missing_library.other(json.dumps(x)))
            return lib.first(two(tasks.one(x)))
        """,
        head="",
    )
    assert found.graph.flow == "store"
    assert found.calls() == ["uno", "two", "uno"]


def test_flows_in_flows(folder: Path) -> None:
    found = drawn(
        folder,
        """
        from dovetail import FlowSpec, run_flow, step

        class Train(FlowSpec):
            @step
            def start(self):
                load(1)

        @flow
        def inner(x: int):
            return load(x)

        @flow
        def shop():
            return run_flow(Train, x=inner(1))
        """,
        name="shop",
    )
    assert found.calls() == ["inner", "Train"]
    assert {node.kind for node in found.graph.nodes if node.parent} == {"run"}
    assert found.edges() == {("inner", "Train")}


def test_class_flows_that_a_coroutine_runs(folder: Path) -> None:
    found = drawn(
        folder,
        """
        import asyncio
        from dovetail import FlowSpec, arun_flow, step

        class Train(FlowSpec):
            @step
            def start(self):
                load(1)

        @flow
        async def shop():
            return await asyncio.gather(arun_flow(Train), arun_flow(Train))
        """,
        name="shop",
    )
    assert found.calls() == ["Train", "Train"]
    assert {node.kind for node in found.graph.nodes if node.parent} == {"run"}


CLASS = """
from dovetail import FlowSpec, Parameter, step, task
from enum import Enum

LEFT = "l"

@task
def score(x): ...

class Base(FlowSpec):
    RIGHT = "r"

    @step
    def start(self): ...

    @step
    def end(self):
        score(1)

class Train(Base):
    xs = Parameter(default=[])

    @step
    def start(self):
        self.items = [1, 2]
        self.next(self.fit, foreach="items")

    @step
    def fit(self):
        y = score(self.input)
        self.told(y)
        self.leave()

    def leave(self):
        self.next(self.join)

    def told(self, y):
        score.with_options(name="again")(y)

    @step
    def join(self, inputs):
        self.kind = "l"
        self.next({LEFT: self.left, self.RIGHT: self.right}, condition="kind")

    @step
    def left(self):
        self.next(self.end)

    @step
    def right(self):
        self.next(self.end)
"""


def test_a_class_flow_is_its_steps_and_what_they_call(folder: Path) -> None:
    found = drawn(folder, "", head=CLASS)
    assert found.graph.style == "class"
    steps = [node for node in found.graph.nodes if node.kind == "step"]
    assert [node.name for node in steps] == ["start", "fit", "join", "left", "right", "end"]
    assert [node.name for node in steps if node.many] == ["fit"]
    assert [node.name for node in steps if node.maybe] == ["left", "right"]
    transitions = {(e.source, e.target): (e.label, e.maybe) for e in found.graph.edges if e.source in CLASS}
    assert transitions["start", "fit"] == ("for each of items", False)
    assert transitions["join", "left"] == ('kind = "l"', True)
    assert transitions["join", "right"] == ('kind = "r"', True)
    assert found.around("again") == ["told()", "fit"]
    assert ("score", "again") in found.edges()


def test_a_transition_that_the_source_does_not_tell_is_noted(folder: Path) -> None:
    source = CLASS.replace("self.next({LEFT: self.left, self.RIGHT", "self.next({LEFT: self.left, unknown()")
    found = drawn(folder, "", head=source)
    (note,) = found.graph.notes
    assert "unknown()" in note
    assert "flow.py:" in note


def test_nothing_of_the_users_runs(folder: Path) -> None:
    """Not the file, not what it imports, not what its decorators and defaults call."""
    trap = f"open({str(folder)!r} + '/ran', 'w').write('x')\n"
    (folder / "lib.py").write_text(trap + "from dovetail import task\n@task\ndef one(x): ...\n")
    (folder / "sitecustomize.py").write_text("")
    file = folder / "flow.py"
    file.write_text(
        trap
        + "from dovetail import FlowSpec, flow, step\nfrom lib import one\n"
        + f"@flow\ndef shop(x=open({str(folder / 'ran')!r}, 'w')):\n    return one(x)\n"
        + "raise SystemExit('the module ran')\n"
    )
    for more in ([], ["--json"], ["--mermaid"], ["--dot"]):
        done = subprocess.run(
            [sys.executable, "-m", "dovetail", "graph", str(file), *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "one" in done.stdout
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("x = 1\n", None, "no flow that its source tells"),
        (CLASS, "Trian", "Did you mean Train?"),
        (HEAD + "@flow\ndef a(): ...\n@flow\ndef b(): ...\n", None, "several flows: a, b"),
        ("def broken(:\n", None, "line 1"),
    ],
)
def test_what_is_wrong_is_told_in_words(folder: Path, source: str, name: str | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        drawn(folder, "", head=source, name=name)
    assert said in str(caught.value)


def test_functions_that_call_each_other_do_not_grow_without_end(folder: Path) -> None:
    source = "".join(f"def f{n}():\n    f{n + 1}()\n    f{n + 1}()\n" for n in range(30))
    found = drawn(folder, source + "def f30(): load(1)\n@flow\ndef shop():\n    f0()\n")
    assert len(found.graph.nodes) < 5000
    assert "not followed" in found.graph.notes[0]


def test_what_is_sure_to_be_called(tmp_path: Path) -> None:
    source = """
        @task
        def first(x): return fit(x)

        @task
        def tried(x): ...

        def helper(x):
            return load.submit(x)

        @flow
        def main(n: int = 0):
            try:
                tried(n)
            except ValueError:
                report(n)
            first(n)
            helper(n)

        @flow
        def unsure(n: int = 0):
            n and load(n)
            if n:
                fit(n)
            else:
                fit(n)
            for x in range(n):
                report(x)
            first.map(range(n))
            if n > 3:
                return
            tried(n)

        @flow
        async def gathers():
            await asyncio.gather(load(1), fit(2))
    """
    file = tmp_path / "flow.py"
    file.write_text(HEAD + dedent(source))
    assert surely_called(str(file), "main") == {"tried", "first", "fit", "load"}
    assert surely_called(str(file), "unsure") == frozenset()
    assert surely_called(str(file), "gathers") == {"load", "fit"}
    assert surely_called(str(file), "none") == frozenset()
    file.write_text("def (")
    assert surely_called(str(file), "main") == frozenset()
    assert surely_called(str(tmp_path / "none.py"), "main") == frozenset()
