"""What an import or a first command may load. Kept by lists of modules, not by a clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What `importlib` itself loads; which of it a bare interpreter has loaded already differs by version.
FREE = {"importlib", "importlib._bootstrap", "importlib._bootstrap_external", "warnings", "_warnings"}

AUTHORING = {
    "__future__",
    "dovetail",
    "dovetail.authoring",
    "dovetail.authoring.binding",
    "dovetail.authoring.constants",
    "dovetail.authoring.flowspec",
    "dovetail.authoring.steps",
}
# Each costs milliseconds, or threads, or files, that a user who only asks for help should not pay for.
HEAVY = {
    "argparse",
    "asyncio",
    "blake3",
    "cloudpickle",
    "ctypes",
    "dataclasses",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "msgpack",
    "multiprocessing",
    "numpy",
    "pathlib",
    "pluggy",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "tomllib",
    "typing_extensions",
    "urllib",
}


def loaded_by(program: str) -> set[str]:
    """The modules that a program loads, over those of an interpreter that does nothing."""
    report = f"import sys\nbefore = set(sys.modules)\n{program}\nprint('\\n', *(set(sys.modules) - before))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-c", report], env=environment, capture_output=True, text=True, check=True, cwd=os.sep
    )
    return set(done.stdout.splitlines()[-1].split()) - FREE


def test_the_package_itself_loads_nothing() -> None:
    assert loaded_by("import dovetail") == {"__future__", "dovetail"}


def test_what_a_flow_file_imports_loads_this_and_no_more() -> None:
    assert loaded_by("from dovetail import FlowSpec, step") == AUTHORING


def test_decorators_and_parameters_load_this_and_no_more() -> None:
    more = {f"dovetail.authoring.{name}" for name in ("current", "decorators", "parameters", "uses")}
    names = "FlowSpec, Parameter, catch, current, resources, retry, step, timeout"
    assert loaded_by(f"from dovetail import {names}") == AUTHORING | more | {"contextvars", "_contextvars"}


FUNCTIONS = {
    "__future__",
    "_contextvars",
    "contextvars",
    "dovetail",
    "dovetail.authoring",
    "dovetail.authoring.calling",
    "dovetail.authoring.declared",
    "dovetail.authoring.flow_function",
    "dovetail.authoring.task_function",
}
PIPELINE = """
from dovetail import flow, task
@task
def load(n: int, by: int = 2) -> int:
    return n * by
@flow
def pipeline(n: int = 3) -> int:
    return load(n)
"""


def test_plain_functions_load_this_and_no_more() -> None:
    assert loaded_by("from dovetail import flow, task") == FUNCTIONS
    assert loaded_by(PIPELINE) == FUNCTIONS
    assert loaded_by(PIPELINE + "load(3)") == FUNCTIONS


def test_options_and_helpers_load_nothing_heavy() -> None:
    options = "@task(retries=2, isolation='fork', cpu=1)\ndef store(x): pass\nstore.with_options(cpu=2)\n"
    assert loaded_by(f"{PIPELINE}{options}from dovetail import allow_failure, retry\n") & HEAVY == set()


DATA = {"jax", "ml_dtypes", "numpy", "pandas", "polars", "pyarrow", "torch"}


def test_a_value_loads_the_serializer_and_the_library_of_its_own_type_alone() -> None:
    store = "from dovetail.artifacts.serializers import SerializerRegistry\nstore = SerializerRegistry().serialize\n"
    plain = loaded_by(f"{store}store([1, 'a']); store((1, 2)); store(b'x'); store({{1: 2}})")
    assert plain & DATA == set()
    assert not {name for name in plain if name.endswith((".files", ".numpy_arrays"))}
    assert "dovetail.plugins.descriptors" not in loaded_by(f"{store}store(1)")
    array = loaded_by(f"{store}import numpy\nstore(numpy.ones(3))")
    assert array & DATA == {"numpy"}
    by_name = loaded_by(f"{store}import numpy\nstore({{'a': numpy.ones(3)}})")
    assert by_name & DATA == {"numpy"}


@pytest.mark.parametrize("arguments", [["--help"], []], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(f"from dovetail.cli import main\nmain({arguments})")
    assert {name for name in loaded if name.startswith("dovetail")} == {"dovetail", "dovetail.cli"}
    assert loaded & HEAVY == set()


def test_a_flow_class_is_defined_without_loading_the_machinery() -> None:
    loaded = loaded_by(
        "from dovetail import FlowSpec, step\n"
        "class Hello(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self):\n"
        "        pass\n"
    )
    assert loaded & HEAVY == set()


def test_a_forked_worker_has_loaded_no_threading(tmp_path: Path) -> None:
    """Its clean-up after a fork would cost each child of the warm parent some 130 copies of pages."""
    flow = tmp_path / "flow.py"
    flow.write_text(
        "import sys\n"
        "from dovetail import FlowSpec, step\n"
        "class Modules(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        "        self.xs = [1, 2]\n"
        "        self.next(self.look, foreach='xs')\n"
        "    @step\n"
        "    def look(self):\n"
        "        print('loaded', *sorted(sys.modules))\n"
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self, inputs):\n"
        "        pass\n"
    )
    command = [sys.executable, "-m", "dovetail", "run", str(flow), "--with", "isolation:kind=fork"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    told = [line for line in (done.stdout + done.stderr).splitlines() if " loaded " in line]
    assert len(told) == 2
    for line in told:
        assert not {"threading", "asyncio", "sqlite3", "pluggy"} & set(line.split())


def test_the_driver_of_a_class_flow_loads_few_modules(tmp_path: Path) -> None:
    """Each costs about half a millisecond before the first task."""
    flow = tmp_path / "flow.py"
    flow.write_text(
        "from dovetail import FlowSpec, step\n"
        "class Three(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self):\n"
        "        pass\n"
    )
    loaded = loaded_by(
        f"import os\nos.chdir({str(tmp_path)!r})\nfrom dovetail.cli import main\nmain(['run', 'flow.py'])"
    )
    ours = {name for name in loaded if name.startswith("dovetail")}
    assert len(ours) <= 190, sorted(ours)
    assert len(loaded) <= 350, sorted(loaded)
    assert not {name for name in ours if name.startswith(("dovetail.authoring", "dovetail.worker.execute"))}
