"""Parameters of a flow function, from the command line to its body."""

from __future__ import annotations

import pytest
from flowproject import FlowProject

FLOW = '''
import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dovetail import flow, task


class Color(enum.Enum):
    RED = "red"


@dataclass
class Config:
    rate: float
    when: dt.date


@task
def show(values: list) -> None:
    print(*map(repr, values), sep="; ")


@flow
def pipeline(
    n: int | None = 3,
    name: str = "1",
    day: dt.date = dt.date(2026, 1, 2),
    color: Color = Color.RED,
    mode: Literal["1", "b"] = "b",
    config: Config = Config(0.5, dt.date(2026, 3, 4)),
    path: Path = Path("x"),
    sizes: list[int] = [1],
    own: object = Color,
):
    """Show them.

    Args:
        n: How many.
    """
    show([n, name, str(day), color.name, mode, config.rate, str(config.when), str(path), sizes, own is Color])
'''.replace("config:", "setup:").replace("config.", "setup.")


def test_defaults_and_values(project: FlowProject) -> None:
    project.write(FLOW, counting=False)
    said = project.ok("run", "flow.py")
    assert "3; '1'; '2026-01-02'; 'RED'; 'b'; 0.5; '2026-03-04'; 'x'; [1]; True" in said.out + said.err
    said = project.ok(
        "run", "flow.py", "--n", "null", "--name", "null", "--day", "2026-05-06", "--mode", "1", "--path", "a/b",
        "--setup", '{"rate": 2, "when": "2026-07-08"}', "--sizes", "4", "--sizes", "5",
    )  # fmt: skip
    assert "None; 'null'; '2026-05-06'; 'RED'; '1'; 2.0; '2026-07-08'; 'a/b'; [4, 5]; True" in said.out + said.err


def test_wrong_values(project: FlowProject) -> None:
    project.write(FLOW, counting=False)
    said = project.fails("run", "flow.py", "--n", "x", "--setup", "rate", code=2)
    assert "--n: 'x' is not a whole number" in said.err
    assert "--setup: not JSON" in said.err
    said = project.fails(
        "run", "flow.py", "--day", "soon", "--color", "blue", "--mode", "c", "--setup", '{"rate": "x"}', code=2
    )
    assert said.err.splitlines()[0] == "error: pipeline can't run with these parameters:"
    assert "--day: 'soon' is not a date" in said.err
    assert "--color: 'blue' is not one of 'red'" in said.err
    assert "--mode: 'c' is not one of '1', 'b'" in said.err
    assert "--setup: " in said.err
    assert project.runs() == []


PYDANTIC = """
import os
import threading
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt, field_validator

from dovetail import flow


class Setup(BaseModel):
    rate: Annotated[float, Field(gt=0)]
    name: str

    @field_validator("name")
    @classmethod
    def check(cls, name):
        print("looked at", name)
        if name == "exit":
            os._exit(3)
        if name == "odd":
            raise LookupError("odd")
        return name


@flow
def pipeline(
    n: Annotated[int, Field(gt=0, le=9)] = 1,
    mode: Literal["a", "b"] = "a",
    setup: Setup | None = None,
    sizes: list[PositiveInt] = [1],
    plain: int = 3,
):
    if os.environ.get("FAIL"):
        raise ValueError("as told")
    print("ran with", n, mode, setup, sizes, plain)
"""


@pytest.mark.parametrize("how", ["forked", "hazard", "portable"])
def test_constraints_are_checked_before_there_is_a_run(project: FlowProject, how: str) -> None:
    hazard = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n" if how == "hazard" else ""
    project.write(PYDANTIC + hazard, counting=False)
    env = {"DOVETAIL_FORCE_SPAWN": "1"} if how == "portable" else {}
    said = project.fails(
        "run", "flow.py", "--n", "0", "--mode", "c", "--setup", '{"rate": -1}', "--sizes", "4", "--sizes", "0",
        code=2, env=env,
    )  # fmt: skip
    assert "--n: Input should be greater than 0 (given: 0)" in said.err
    assert "--mode: Input should be 'a' or 'b' (given: 'c')" in said.err
    assert "--setup: ['rate']: Input should be greater than 0 (given: -1); ['name']: Field required" in said.err
    assert "--sizes: [1]: Input should be greater than 0 (given: 0)" in said.err
    assert project.runs() == []
    said = project.ok("run", "flow.py", "--n", "9", "--setup", '{"rate": 2, "name": "x"}', "--sizes", "4", env=env)
    assert "ran with 9 a rate=2.0 name='x' [4] 3" in said.out
    said = project.ok("run", "flow.py", "--plain", "4", env=env)
    assert "ran with 1 a None [1] 4" in said.out


def test_validators_that_fail_otherwise(project: FlowProject) -> None:
    project.write(PYDANTIC, counting=False)
    said = project.fails("run", "flow.py", "--setup", '{"rate": 1, "name": "odd"}', code=2)
    assert "--setup: {'rate': 1, 'name': 'odd'} can't be taken: LookupError: odd" in said.err
    assert "looked at odd" in said.out
    said = project.fails("run", "flow.py", "--setup", '{"rate": 1, "name": "exit"}', code=2)
    assert "the process that imports the flow exited with code 3 when it looked at --setup" in said.err
    assert project.runs() == []


def test_constraints_of_a_resumed_run(project: FlowProject) -> None:
    project.write(PYDANTIC, counting=False)
    run = project.fails("run", "flow.py", "--n", "2", env={"FAIL": "1"}).run
    said = project.fails("resume", run, "--n", "10", code=2)
    assert "--n: Input should be less than or equal to 9 (given: 10)" in said.err
    assert len(project.runs()) == 1
    assert "ran with 3" in project.ok("resume", run, "--n", "3").out
