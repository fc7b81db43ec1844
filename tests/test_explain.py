"""`dovetail explain`: which part of what a task depends on differs from an earlier run's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowproject import FlowProject

FLOW = """
from dovetail import flow, task

FACTOR = 1

def helper(x):
    return x * FACTOR

@task(cache=True)
def price(x, currency="EUR"):
    return [helper(x), currency]

@task(cache=True)
def label(x):
    return x

@flow
def shop(n: int = 2):
    @task(cache=True)
    def local(z):
        return helper(z)

    local(1)
    [one.result() for one in label.map(range(3))]
    return price(n)

class Shop(FlowSpec):
    size = Parameter("size", default=1)

    @step
    def start(self):
        self.y = helper(self.size)
        self.next(self.end)

    @step
    def end(self):
        print(self.y)
"""


def explained(project: FlowProject, target: str) -> Any:
    return json.loads(project.ok("explain", target, "--json").out)


def changed(document: dict[str, Any]) -> list[str]:
    return [
        f"{p['kind']} {p['name']} {p['state']}".replace("  ", " ") for p in document["parts"] if p["state"] != "same"
    ]


def test_the_first_run_has_nothing_to_compare_with(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.ok("run", "flow.py:shop")
    found = explained(project, f"{said.run}/price")
    assert found["compared_with"] is None
    assert found["parts"] == []
    assert found["cached_by"] == "inputs+code+environment"
    assert "no earlier run" in project.ok("explain", f"{said.run}/price").out


def test_a_changed_input_is_named_with_both_values(project: FlowProject) -> None:
    project.write(FLOW)
    first = project.ok("run", "flow.py:shop")
    second = project.ok("run", "flow.py:shop", "--n", "7")
    found = explained(project, f"{second.run}/price")
    assert found["state"] == "succeeded"
    assert found["compared_with"].startswith(f"shop/{first.run}/price~")
    assert changed(found) == ["input x changed"]
    assert {"kind": "input", "name": "x", "state": "changed", "was": 2, "now": 7} in found["parts"]
    assert {"kind": "input", "name": "currency", "state": "same", "was": "EUR", "now": "EUR"} in found["parts"]
    text = project.ok("explain", f"{second.run}/price").out
    assert "input x" in text
    assert "changed" in text


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("return x * FACTOR", "return FACTOR * x", "flow.py:helper"),
        ("FACTOR = 1", "FACTOR = 5", "flow.py:FACTOR"),
        ("return [helper(x), currency]", "return [helper(x), currency, 0]", "price"),
    ],
)
def test_changed_code_is_named(project: FlowProject, old: str, new: str, part: str) -> None:
    project.write(FLOW)
    project.ok("run", "flow.py:shop")
    project.change(old, new)
    second = project.ok("run", "flow.py:shop")
    assert changed(explained(project, f"{second.run}/price")) == [f"code {part} changed"]
    for label in explained(project, f"{second.run}/label"):
        assert label["state"] == "cached"
        assert changed(label) == []
    text = project.ok("explain", second.run).out
    assert f"code {part} changed" in text


def test_tasks_that_no_module_holds_are_told_of_too(project: FlowProject) -> None:
    project.write(FLOW)
    project.ok("run", "flow.py:shop")
    project.change("FACTOR = 1", "FACTOR = 5")
    second = project.ok("run", "flow.py:shop")
    assert changed(explained(project, f"{second.run}/local")) == ["code flow.py:FACTOR changed"]


def test_a_reused_task_says_from_where(project: FlowProject) -> None:
    project.write(FLOW)
    first = project.ok("run", "flow.py:shop")
    second = project.ok("run", "flow.py:shop")
    found = explained(project, f"{second.run}/price")
    assert found["reused_from"] == first.run
    assert changed(found) == []
    assert f"reused from {first.run}" in project.ok("explain", second.run).out


def test_what_the_driver_noted_is_told(project: FlowProject) -> None:
    project.write(FLOW)
    project.ok("run", "flow.py:shop")
    second = project.ok("run", "flow.py:shop", "--refresh=price")
    assert explained(project, f"{second.run}/price")["reason"] == "asked for by refresh"
    third = project.ok("run", "flow.py:shop", "--set", "price.cache.expires=0.001")
    assert "has expired" in explained(project, f"{third.run}/price")["reason"]
    assert "has expired" in project.ok("explain", f"{third.run}/price").out


def test_steps_of_class_flows(project: FlowProject) -> None:
    project.write(FLOW)
    project.ok("run", "flow.py:Shop")
    second = project.ok("run", "flow.py:Shop", "--size", "3")
    found = {row["path"]: changed(row) for row in explained(project, second.run)}
    assert found == {"start": ["input size changed"], "end": ["input y changed"]}
    project.change("print(self.y)", "print(self.y, 1)")
    third = project.ok("run", "flow.py:Shop", "--size", "3")
    found = {row["path"]: changed(row) for row in explained(project, third.run)}
    assert found["start"] == []
    assert found["end"] == ["code Shop.end changed"]


def test_an_artifact_is_not_explained(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.ok("run", "flow.py:Shop")
    assert "Explain its task" in project.fails("explain", f"{said.run}/start/y", code=2).err
