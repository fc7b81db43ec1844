"""An installed plugin takes part in a real run: routing, wrapping, serializing, observing; a broken one does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """
from dovetail import FlowSpec, step
from acme.values import Word

class Speak(FlowSpec):
    @step
    def start(self):
        self.word = Word("hello")
        self.next(self.end)

    @step
    def end(self):
        assert type(self.word) is Word, type(self.word)
        print("said", self.word)
"""
MANIFEST = """
import os
from dovetail.plugins import SerializerSpec, hookimpl

@hookimpl
def dovetail_serializers():
    return [SerializerSpec(name="acme-word", factory="acme.values:WordSerializer", types=("acme.values.Word",))]

@hookimpl(wrapper=True)
def dovetail_execute_task(task):
    print("before", task.path)
    try:
        return (yield)
    finally:
        print("after", task.path)

def note(text):
    with open(os.environ["ACME_NOTES"], "a") as file:
        file.write(text + "\\n")

@hookimpl
def dovetail_run_started(run):
    note(f"run {run.flow}")

@hookimpl
def dovetail_task_finished(task, outcome):
    note(f"task {task.path} {outcome.state}")
    raise RuntimeError("an observer's bug")

@hookimpl
def dovetail_run_finished(outcome):
    note(f"run {outcome.state}")

@hookimpl
def dovetail_route_step(kind, step):
    return "acme-box" if kind == "datastore" and step.name == "start" else None
"""
DECORATOR = """
from dovetail.plugins import StepDecoratorSpec

@hookimpl
def dovetail_step_decorators():
    return [StepDecoratorSpec(name="loudly", factory="acme.decorators:loudly")]
"""
VALUES = """
from dovetail.interfaces.artifacts import SerializedValue, Serializer

class Word(str):
    pass

class WordSerializer(Serializer):
    id = "acme-word"
    def accepts(self, value): return isinstance(value, Word)
    def dump(self, value): return SerializedValue(self.id, b"", [value[::-1].encode()], "acme.values.Word")
    def load(self, header, frames): return Word(bytes(frames[0]).decode()[::-1])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a flow, a good plugin and a broken one."""
    site = tmp_path / "site"
    for name, manifest in (("acme", MANIFEST), ("broken", "import nothing_of_the_sort")):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("")
        (site / name / "plugin.py").write_text(manifest)
        info = site / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[dovetail.plugins]\n{name} = {name}.plugin\n")
    (site / "acme" / "values.py").write_text(VALUES)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "dovetail.toml").write_text("[datastore.acme-box]\nuse = 'local'\ntarget = 'box'\n")
    return tmp_path


def dovetail(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(project, "-m", "dovetail", *words)


def python(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    env |= {
        "PYTHONPATH": str(project / "site"),
        "XDG_CACHE_HOME": str(project / "cache"),
        "ACME_NOTES": str(project / "notes.txt"),
    }
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_hooks_take_part(project: Path) -> None:
    run = dovetail(project, "run", "flow.py")
    printed = run.stdout + run.stderr
    assert run.returncode == 0, printed
    for line in ("before start", "after start", "before end", "said hello"):
        assert line in printed
    notes = (project / "notes.txt").read_text().splitlines()
    assert notes == ["run Speak", "task start succeeded", "task end succeeded", "run succeeded"]
    assert (project / "box" / "dovetail-store.json").exists()  # Where the plugin routed a step's values.
    shown = json.loads(dovetail(project, "artifacts", "--json").stdout)
    assert "acme-word" in json.dumps(shown)


def test_without_plugins(project: Path) -> None:
    run = dovetail(project, "--no-plugins", "run", "flow.py")
    printed = run.stdout + run.stderr
    assert run.returncode == 0, printed
    assert "before start" not in printed
    assert "said hello" in printed
    assert not (project / "notes.txt").exists()
    assert not (project / "box").exists()


def test_blocked_by_the_project(project: Path) -> None:
    with (project / "dovetail.toml").open("a") as file:
        file.write("[plugins]\nblock = ['acme']\n")
    run = dovetail(project, "run", "flow.py")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "before start" not in run.stdout + run.stderr
    assert not (project / "notes.txt").exists()


def test_a_decorator_of_a_plugin_follows_the_rules(project: Path) -> None:
    """Also where a flow file is imported by nobody who has read the settings."""
    with (project / "site" / "acme" / "plugin.py").open("a") as file:
        file.write(DECORATOR)
    (project / "site" / "acme" / "decorators.py").write_text("def loudly(step): return step\n")
    program = "from dovetail import loudly; print(loudly.__module__)"
    found = python(project, "-c", program)
    assert found.stdout == "acme.decorators\n", found.stderr
    with (project / "dovetail.toml").open("a") as file:
        file.write("[plugins]\nblock = ['acme']\n")
    refused = python(project, "-c", program)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cannot import name 'loudly'" in refused.stderr
