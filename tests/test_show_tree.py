"""`dovetail show RUN --tree`: every call with what it was given, what it made and how long it took."""

from __future__ import annotations

import json
import re
from typing import Any

from flowproject import FlowProject

FLOW = """
from dovetail import flow, task

@task
def inner(x):
    return {"a": x}

@task
def outer(x, text="hello"):
    return [inner(x)["a"], bytes(1000)]

@task
def bad(y):
    raise ValueError("no " + y)

@flow
def shop(n: int = 2):
    for i in range(n):
        outer(i)
    try:
        bad("way")
    except ValueError:
        pass
    [one.result() for one in inner.map(range(30))]
    return outer(9, text="z" * 100)[0]

class Shop(FlowSpec):
    @step
    def start(self):
        self.x = outer(1)
        self.next(self.a, foreach=[1, 2])

    @step
    def a(self):
        inner(self.input)
        self.next(self.end)

    @step
    def end(self, inputs):
        pass
"""


def tree(project: FlowProject, run: str) -> list[str]:
    """The drawn lines, without identities and times."""
    lines = project.ok("show", run, "--tree").out.splitlines()
    found = [re.sub(r"~[0-9a-f]{16}", "", line) for line in lines if "─ " in line or line.startswith("shop(")]
    return [re.sub(r"  \d[\d.]* (ms|s)", "", line) for line in found]


def rows(project: FlowProject, run: str) -> list[dict[str, Any]]:
    return json.loads(project.ok("show", run, "--tree", "--json").out)["tasks"]  # type: ignore[no-any-return]


def test_calls_of_a_flow_function(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.ok("run", "flow.py:shop")
    lines = tree(project, said.run)
    assert lines[:6] == [
        "shop(n=2) → 9  succeeded",
        "├─ outer(x=0, text='hello') → <list, 1.0 KiB>  succeeded",
        "│  └─ inner(x=0) → {'a': 0}  succeeded",
        "├─ outer(x=1, text='hello') → <list, 1.0 KiB>  succeeded",
        "│  └─ inner(x=1) → {'a': 1}  succeeded",
        "├─ bad(y='way')  failed  ValueError: no way",
    ]
    assert sum(line.startswith("├─ inner[") for line in lines) == 20
    assert "├─ 10 more of inner" in lines
    assert lines[-2].startswith("└─ outer(x=9, text='zzz")
    assert len(lines[-2]) < 140
    assert lines[-1] == "   └─ inner(x=9) → {'a': 9}  succeeded"
    times = re.findall(r"succeeded  \d[\d.]* m?s", project.ok("show", said.run, "--tree").out)
    assert len(times) >= len(lines) - 2


def test_calls_as_json(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.ok("run", "flow.py:shop")
    found = rows(project, said.run)
    assert len(found) == 1 + 2 * 2 + 1 + 30 + 2
    by_name = {row["path"].rpartition("/")[2].partition("~")[0]: row for row in found}
    assert by_name["shop"]["parent"] is None
    outer = by_name["outer"]
    assert outer["parent"] == "shop"
    assert outer["inputs"]["x"]["value"] == 9
    assert outer["inputs"]["text"]["value"] == "z" * 100
    assert outer["result"]["type"] == "list"
    assert outer["seconds"] >= 0
    assert by_name["bad"]["inputs"]["y"]["value"] == "way"
    assert by_name["bad"]["result"] is None
    inner = [row for row in found if row["parent"] == outer["path"]]
    assert [(row["step"], row["result"]["value"]) for row in inner] == [("inner", {"a": 9})]


def test_calls_of_steps(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.ok("run", "flow.py:Shop", "--max-workers", "1")
    assert tree(project, said.run) == [
        "├─ start  succeeded",
        "│  └─ outer(x=1, text='hello') → <list, 1.0 KiB>  succeeded",
        "│     └─ inner(x=1) → {'a': 1}  succeeded",
        "├─ a  2 tasks: 2 succeeded",
        "│  ├─ a[0]  succeeded",
        "│  │  └─ inner(x=1) → {'a': 1}  succeeded",
        "│  └─ a[1]  succeeded",
        "│     └─ inner(x=2) → {'a': 2}  succeeded",
        "└─ end  succeeded",
    ]


def test_cached_calls_show_what_they_were(project: FlowProject) -> None:
    project.write(FLOW.replace("@task\ndef inner", "@task(cache=True)\ndef inner"))
    first = project.ok("run", "flow.py:Shop", "--max-workers", "1")
    second = project.ok("run", "flow.py:Shop", "--max-workers", "1")
    assert "│  │  └─ inner(x=1) → {'a': 1}  cached" in tree(project, second.run)
    old = {row["finished"] for row in rows(project, first.run) if row["step"] == "inner"}
    assert {row["finished"] for row in rows(project, second.run) if row["step"] == "inner"} <= old


def test_large_arguments_are_told_by_type_and_size(project: FlowProject) -> None:
    project.write(
        """
from dovetail import flow, isolation, task

@task
def size(data):
    return len(data)

@flow
def shop():
    return [size(b"x" * 5000), size.with_options(isolation="fork")(b"y" * 5000)]
"""
    )
    said = project.ok("run", "flow.py")
    assert tree(project, said.run) == [
        "shop() → [5000, 5000]  succeeded",
        "├─ size(data=<bytes, 4.9 KiB>) → 5000  succeeded",
        "└─ size(data=<bytes, 4.9 KiB>) → 5000  succeeded",
    ]
