"""Values whose classes the flow's own files define, loaded where these are not imported: changed, gone, elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from flowproject import FlowProject, Said

FLOW = """
from dataclasses import dataclass
from dovetail import FlowSpec, flow, step, task
from parts.wheel import Wheel
from shared import Base

print("imported the flow")

@dataclass
class Car(Base):
    n: int
    wheel: Wheel

@task
def make(n):
    return Car(n, Wheel(n))

@flow
def main(n: int = 3):
    return make(n)

class Cars(FlowSpec):
    @step
    def start(self):
        self.car = Car(4, Wheel(4))
        self.next(self.end)

    @step
    def end(self):
        pass
"""
WHEEL = "from . import size\n\nclass Wheel:\n    def __repr__(self):\n        return f'Wheel({self.n}, {size.SIZE})'\n"
WHEEL += "\n    def __init__(self, n):\n        self.n = n\n"


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture
def cars(project: FlowProject) -> FlowProject:
    project.write(FLOW, counting=False)
    (project.folder / "parts").mkdir()  # a package without an __init__.py
    (project.folder / "parts" / "wheel.py").write_text(WHEEL)
    (project.folder / "parts" / "size.py").write_text("SIZE = 16\n")
    (project.folder / "shared.py").write_text("class Base: pass\n")
    return project


def away(project: FlowProject, folder: Path, *words: str) -> Said:
    """A command line in another folder."""
    there = FlowProject(folder)
    return there.dovetail(*words, env={"DOVETAIL_HOME": str(project.home)})


def test_a_value_is_printed_whatever_became_of_the_files(cars: FlowProject, elsewhere: Path) -> None:
    run = cars.ok("run", "flow.py:main").run
    steps = cars.ok("run", "flow.py:Cars").run
    told = "Car(n=3, wheel=Wheel(3, 16))\n"
    assert cars.ok("get", f"{run}/result").out == told
    assert away(cars, elsewhere, "get", f"{run}/result").out == told
    cars.change("class Car(Base)", "class Bus(Base)")
    (cars.folder / "parts" / "size.py").write_text("SIZE = 17\n")
    said = cars.ok("get", f"{run}/result")
    assert said.out == told, "and what the module prints is not part of it"
    assert "imported the flow" in said.err
    for name in ("flow.py", "shared.py"):
        (cars.folder / name).unlink()
    shutil.rmtree(cars.folder / "parts")
    assert cars.ok("get", f"{run}/result").out == told
    assert away(cars, elsewhere, "get", f"{run}/result").out == told
    assert away(cars, elsewhere, "get", f"{steps}/start/car").out == told.replace("3", "4")


NOTEBOOK = """
import pickle, sys
from dovetail.client import Run

first, second = (Run(run).data.result for run in sys.argv[1:])
print(first, second)
again = Run(sys.argv[1]).data.result
print(type(first) is type(again), first == again, type(first) is type(second))
print(repr(pickle.loads(pickle.dumps(again))) == repr(again))
"""


def test_a_process_may_load_values_of_several_versions(cars: FlowProject, elsewhere: Path) -> None:
    first = cars.ok("run", "flow.py:main").run
    cars.change("class Car(Base):", "class Car(Base):\n    def __str__(self): return 'a car'\n")
    second = cars.ok("run", "flow.py:main").run
    (cars.folder / "flow.py").unlink()
    (elsewhere / "look.py").write_text(NOTEBOOK)
    said = FlowProject(elsewhere).python("look.py", first, second, env={"DOVETAIL_HOME": str(cars.home)})
    assert said.out.splitlines() == ["Car(n=3, wheel=Wheel(3, 16)) a car", "True False False", "True"], str(said)


def test_what_a_process_has_imported_stays(cars: FlowProject) -> None:
    run = cars.ok("run", "flow.py:main").run
    (cars.folder / "look.py").write_text(
        "import sys\nimport flow\nfrom dovetail.client import Run\n"
        "value = Run(sys.argv[1]).data.result\nprint(type(value) is flow.Car)\n"
    )
    assert cars.python("look.py", run).out.splitlines()[-1] == "True"
    cars.change("class Car(Base)", "class Truck(Base)")  # another size: byte code of the same second is told by it
    said = cars.python("look.py", run)
    assert said.code == 1
    assert "This process has imported flow by itself, and it is not what the run used." in said.err
    assert "as dovetail get does" in said.err


def test_where_the_code_is_nowhere_the_error_says_what_to_do(cars: FlowProject) -> None:
    run = cars.ok("run", "flow.py:main").run
    shutil.rmtree(cars.home / "local" / "objects")
    (cars.folder / "flow.py").write_text(FLOW.replace("Car", "Bus"))
    said = cars.fails("get", f"{run}/result", code=4)
    assert f"flow was {cars.folder / 'flow.py'}, which has changed since, and the run has no copy of it" in said.err


def test_a_module_that_can_not_be_imported_here(cars: FlowProject) -> None:
    cars.change("class Base: pass", "import os\nif os.environ.get('BAD'): raise KeyError('BAD')\nclass Base: pass",
                name="shared.py")  # fmt: skip
    run = cars.ok("run", "flow.py:main").run
    said = cars.fails("get", f"{run}/result", code=4, env={"BAD": "1"})
    assert "shared.py can't be imported: KeyError: 'BAD'" in said.err
    assert cars.ok("get", f"{run}/result").out == "Car(n=3, wheel=Wheel(3, 16))\n"
