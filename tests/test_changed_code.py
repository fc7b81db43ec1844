"""A step whose code changed is run again by resume: the code key goes from the importing process to the record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

FLOW = '''
from dovetail import FlowSpec, step
from tools import double


class Changing(FlowSpec):
    @step
    def start(self):
        """{doc}"""
        self.x = 1
        self.next(self.work)

    @step
    def work(self):
        self.y = self.x + {added}
        self.next(self.end)

    @step
    def end(self):
        print("y is", double(self.y))
        {last}
'''
TOOLS = "def double(x):\n    return x * {factor}\n"


def dovetail(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["DOVETAIL_HOME"] = str(folder / "home")
    command = [sys.executable, "-m", "dovetail", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def write(folder: Path, *, doc: str = "Begin.", added: int = 1, last: str = "pass", factor: int = 2) -> None:
    (folder / "pyproject.toml").write_text("")
    (folder / "flow.py").write_text(FLOW.format(doc=doc, added=added, last=last))
    tools = folder / "tools.py"
    tools.write_text(TOOLS.format(factor=factor))
    # Python takes bytecode for that of a text of the same size, written within the same second.
    os.utime(tools, (factor * 1000, factor * 1000))


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """A folder with a flow whose last step failed."""
    write(tmp_path, last="raise ValueError('not yet')")
    done = dovetail(tmp_path, "run", "flow.py")
    assert done.returncode == 1, done.stdout + done.stderr
    return tmp_path


def test_only_what_changed_runs_again(failed: Path) -> None:
    write(failed, doc="Begin anew.", added=100)
    done = dovetail(failed, "resume", "flow.py")
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "y is 202" in printed
    assert "start  reused" in printed
    assert "work  reused" not in printed


def test_a_changed_module_of_the_project_counts_for_every_step_of_the_file(failed: Path) -> None:
    write(failed, factor=3)
    done = dovetail(failed, "resume", "flow.py")
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "y is 6" in printed
    assert "reused" not in printed.replace("0 of them reused", "")


def test_an_edit_of_the_same_size_within_the_same_second(failed: Path) -> None:
    flow = failed / "flow.py"
    before = flow.stat()
    write(failed, added=8, last="raise ValueError('not now')")
    os.utime(flow, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert flow.stat().st_size == before.st_size
    done = dovetail(failed, "resume", "flow.py")
    assert done.returncode == 1
    assert "y is 18" in done.stdout + done.stderr


def test_an_edit_of_a_module_of_the_same_size_within_the_same_second(tmp_path: Path) -> None:
    written = (time.time() + 3600,) * 2  # just now, however long this takes
    write(tmp_path, last="raise ValueError('not yet')")
    os.utime(tmp_path / "tools.py", written)
    assert "y is 4" in dovetail(tmp_path, "run", "flow.py").stdout
    write(tmp_path, factor=3)
    os.utime(tmp_path / "tools.py", written)
    done = dovetail(tmp_path, "resume", "flow.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "y is 6" in done.stdout + done.stderr
