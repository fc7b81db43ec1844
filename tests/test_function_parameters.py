"""Parameters of a flow function, from the command line to its body."""

from __future__ import annotations

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
    said = project.fails("run", "flow.py", "--day", "soon", "--color", "blue")
    assert "day: 'soon' is not a date" in said.err
    assert "color: 'blue' is not one of 'red'" in said.err
