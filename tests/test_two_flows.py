"""A file with two flows: `FILE:NAME` means one of them for every verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOWS = """
from pathlib import Path
from dovetail import FlowSpec, step


class First(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print("first")
        assert Path("mended").exists()


class Second(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print("second")


if __name__ == "__main__":
    First()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dovetail.toml").write_text("")
    (tmp_path / "both.py").write_text(FLOWS)
    return tmp_path


def python(folder: Path, *words: str, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    environment["DOVETAIL_HOME"] = str(folder / "home")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_without_a_name_the_choice_is_asked_for(folder: Path) -> None:
    told = python(folder, "-m", "dovetail", "run", "both.py", code=2)
    assert told == "error: both.py has several flows: First, Second\n  Name one: both.py:First.\nDOVETAIL-U005\n"
    told = python(folder, "-m", "dovetail", "check", "both.py:Frist", code=2)
    assert told == "error: both.py has no flow 'Frist'\n  It has First, Second.\nDOVETAIL-U005\n"


def test_every_verb_takes_the_name(folder: Path) -> None:
    python(folder, "both.py", "run", code=1)
    python(folder, "-m", "dovetail", "run", "both.py:Second")
    assert python(folder, "both.py", "show").startswith("First/")
    assert python(folder, "both.py", "logs").startswith("[end] first\n")
    assert "Second" not in python(folder, "both.py", "runs")
    assert python(folder, "-m", "dovetail", "show", "both.py:Second").startswith("Second/")
    assert "all of Second have succeeded" in python(folder, "-m", "dovetail", "resume", "both.py:Second", code=2)
    assert "all of Second have succeeded" in python(folder, "-m", "dovetail", "resume", "Second", code=2)
    (folder / "mended").write_text("")
    assert python(folder, "both.py", "resume").startswith("First resumes")
