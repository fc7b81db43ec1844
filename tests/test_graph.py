"""`dovetail graph`: before a run from the source, after it from what the run left."""

from __future__ import annotations

import json
import re

from flowproject import FlowProject

FUNCTION = """
from dovetail import flow, task

@task
def inner(x):
    return x

@task
def load(x):
    return inner(x)

@task
def total(xs):
    return sum(xs)

@task
def never(x):
    return x

@flow
def shop(n: int = 3):
    if n > 100:
        never(n)
    return total.submit(load.map(range(n))).result()
"""
CLASS = """
from dovetail import task

@task
def score(x):
    return x

class Train(FlowSpec):
    @step
    def start(self):
        self.xs = [1, 2]
        self.next(self.fit, foreach="xs")

    @step
    def fit(self):
        self.y = score(self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.kind = "good"
        self.next({"good": self.good, "bad": self.bad}, condition="kind")

    @step
    def good(self):
        self.next(self.end)

    @step
    def bad(self):
        self.next(self.end)

    @step
    def end(self):
        raise ValueError("no")
"""


def test_a_function_flow_before_and_after_its_run(project: FlowProject) -> None:
    project.write(FUNCTION)
    before = project.ok("graph", "flow.py").out
    assert re.search(r"├┄ if n > 100.*\n│  └┄ never", before)
    assert re.search(r"├─ load  map .*\n│  └─ inner", before)
    assert re.search(r"└─ total  submit  ← load", before)
    said = project.ok("run", "flow.py", "--n", "4")
    for words in (["graph", said.run], ["graph", "flow.py", "--run"], ["graph"]):
        after = project.ok(*words).out
        assert after.splitlines() == [
            "shop  1 succeeded",
            "├─ load  map  4 succeeded",
            "│  └─ inner  4 succeeded",
            "└─ total  1 succeeded  ← load",
        ]


def test_a_class_flow_shows_what_its_run_met(project: FlowProject) -> None:
    project.write(CLASS)
    source = json.loads(project.ok("graph", "flow.py", "--json").out)
    said = project.fails("run", "flow.py")
    run = json.loads(project.ok("graph", said.run, "--json").out)
    assert source["run"] is None
    assert run["run"] == said.run
    assert [node["name"] for node in source["nodes"]] == ["start", "fit", "score", "join", "good", "bad", "end"]
    states = {node["name"]: node["states"] for node in run["nodes"]}
    assert states == {
        "start": {"succeeded": 1},
        "fit": {"succeeded": 2},
        "score": {"succeeded": 2},
        "join": {"succeeded": 1},
        "bad": {},
        "good": {"succeeded": 1},
        "end": {"failed": 1},
    }
    not_met = {(edge["source"], edge["target"]) for edge in run["edges"] if edge["maybe"]}
    assert not_met == {("join", "bad"), ("bad", "end")}
    assert {(e["source"], e["target"]) for e in source["edges"]} == {(e["source"], e["target"]) for e in run["edges"]}


def test_what_keeps_a_transaction_is_left_out(project: FlowProject) -> None:
    project.write(
        """
from dovetail import flow, task, transaction

@task
def commit(x):  # a task of the user's may be called so too
    return x

@flow
def shop():
    with transaction() as group:
        group.set("x", 1)
        commit(1)
"""
    )
    project.ok("run", "flow.py")
    assert project.ok("graph", "shop").out.splitlines() == [
        "shop  1 succeeded",
        "└─ transaction  1 succeeded",
        "   └─ commit  1 succeeded",
    ]


def test_other_tools_can_read_it(project: FlowProject) -> None:
    project.write(FUNCTION)
    mermaid = project.ok("graph", "flow.py", "--mermaid").out.splitlines()
    assert mermaid[0] == "flowchart TD"
    assert '  subgraph n2["if n #62; 100"]' in mermaid
    assert any(line.endswith('["never"]:::maybe') for line in mermaid)
    assert mermaid[-1].strip().startswith("classDef maybe")
    dot = project.ok("graph", "flow.py", "--dot").out.splitlines()
    assert dot[0] == 'digraph "shop" {'
    assert dot[-1] == "}"
    assert sum(line.count("{") for line in dot) == sum(line.count("}") for line in dot)
    assert any("style=dotted" in line and '"never"' in line for line in dot)


def test_what_can_not_be_drawn_is_told(project: FlowProject) -> None:
    project.write(FUNCTION)
    said = project.ok("run", "flow.py")
    assert "is a part of run" in project.fails("graph", f"{said.run}/load[1]", code=2).err
    assert "not allowed with" in project.fails("graph", "--dot", "--mermaid", code=2).err
    assert "there is no file flwo.py" in project.fails("graph", "flwo.py", code=2).err
