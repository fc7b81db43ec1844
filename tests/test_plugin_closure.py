"""A run goes on with the plugins that it pins, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FLOW = """
import os
from dovetail import FlowSpec, isolation, step
from acme.values import Word

class Speak(FlowSpec):
    @step
    def start(self):
        self.word = Word("hello")
        print("started")
        if os.environ.get("MEDDLE"):
            with open(os.environ["MEDDLE"], "a") as file:
                file.write("# meddled\\n")
        self.next(self.end)

    @isolation("spawn")
    @step
    def end(self):
        if os.environ.get("FAIL"):
            raise ValueError("as asked")
        print("said", self.word)
"""
MANIFEST = """
from dovetail.plugins import SerializerSpec, hookimpl

@hookimpl
def dovetail_serializers():
    return [SerializerSpec(name="acme-word", factory="acme.values:WordSerializer", types=("acme.values.Word",))]
"""
OBSERVER = """
from dovetail.plugins import hookimpl

@hookimpl
def dovetail_run_started(run):
    pass
"""
VALUES = """
from dovetail.interfaces.artifacts import SerializedValue, Serializer

class Word(str):
    pass

class WordSerializer(Serializer):
    id = "acme-word"
    def accepts(self, value): return isinstance(value, Word)
    def dump(self, value): return SerializedValue(self.id, b"", [value.encode()], "acme.values.Word")
    def load(self, header, frames): return Word(bytes(frames[0]).decode())
"""


class Project:
    """A flow, a plugin that serializes, and one that looks on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        for name, manifest in (("acme", MANIFEST), ("watcher", OBSERVER)):
            (self.site / name).mkdir(parents=True)
            (self.site / name / "__init__.py").write_text("")
            (self.site / name / "plugin.py").write_text(manifest)
            self.info(name).mkdir()
            (self.info(name) / "entry_points.txt").write_text(f"[dovetail.plugins]\n{name} = {name}.plugin\n")
            self.set_version(name, "1.0")
        (self.site / "acme" / "values.py").write_text(VALUES)
        (folder / "flow.py").write_text(FLOW)
        (folder / "dovetail.toml").write_text("")

    def info(self, name: str) -> Path:
        return self.site / f"{name}-1.dist-info"

    def set_version(self, name: str, version: str) -> None:
        (self.info(name) / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def __call__(self, *words: str, **env: str) -> tuple[int, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
        inherited |= {"PYTHONPATH": str(self.site), "XDG_CACHE_HOME": str(self.folder / "cache"), **env}
        command = [sys.executable, "-m", "dovetail", *words]
        options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 120}
        done = subprocess.run(command, cwd=self.folder, env=inherited, check=False, **options)
        return done.returncode, done.stdout

    def manifests(self) -> list[dict[str, Any]]:
        files = sorted(self.folder.glob(".dovetail/**/run.json"), key=lambda file: file.stat().st_mtime_ns)
        return [json.loads(file.read_bytes()) for file in files]

    def failed(self) -> dict[str, Any]:
        """A run whose last step failed; its manifest."""
        code, printed = self("run", "flow.py", FAIL="1")
        assert code == 1, printed
        return self.manifests()[-1]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_run_pins_what_takes_part(project: Project) -> None:
    code, printed = project("run", "flow.py")
    assert code == 0, printed
    (manifest,) = project.manifests()
    assert list(manifest["plugins"]) == ["acme"]
    pin = manifest["plugins"]["acme"]
    assert (pin["version"], pin["entries"]) == ("1.0", {"acme": "acme.plugin"})
    assert pin["digest"].startswith("sources:")


def test_a_worker_refuses_a_plugin_that_has_changed(project: Project) -> None:
    code, printed = project("run", "flow.py", MEDDLE=str(project.site / "acme" / "values.py"))
    assert code == 1, printed
    assert "started" in printed
    assert "said hello" not in printed
    (manifest,) = project.manifests()
    assert f"a worker of run {manifest['run']} runs no task: the run pins acme 1.0 with sources" in printed
    assert f"dovetail resume {manifest['run']} --ignore plugins" in printed
    assert "Put the sources of an editable installation back" in printed
    assert "Traceback" not in printed.partition("the run pins acme")[0].splitlines()[-1]


def test_resume_refuses_another_version_and_may_be_told_to_go_on(project: Project) -> None:
    before = project.failed()
    project.set_version("acme", "1.1")
    code, printed = project("resume", before["run"])
    assert code == 3, printed
    assert "the run pins acme 1.0, and acme 1.1 is installed" in printed
    assert "DOVETAIL-P007" in printed
    assert "dovetail resume" in printed
    assert len(project.manifests()) == 1
    code, printed = project("resume", before["run"], "--ignore", "plugins")
    assert code == 0, printed
    assert "started" not in printed  # that step is reused
    assert "said hello" in printed
    after = project.manifests()[-1]
    assert after["origin"] == before["run"]
    assert after["info"]["ignore_plugins"] == ["acme"]
    assert after["plugins"]["acme"]["version"] == "1.1"


def test_resume_with_the_same_plugins(project: Project) -> None:
    before = project.failed()
    code, printed = project("resume", before["run"])
    assert code == 0, printed
    assert "said hello" in printed
    assert project.manifests()[-1]["info"].get("ignore_plugins", []) == []


def test_resume_without_a_pinned_plugin(project: Project) -> None:
    before = project.failed()
    (project.info("acme") / "entry_points.txt").unlink()
    code, printed = project("resume", before["run"])
    assert code == 3, printed
    assert "the run pins acme 1.0, and it is not installed" in printed


def test_an_observer_may_change(project: Project) -> None:
    before = project.failed()
    project.set_version("watcher", "2.0")
    code, printed = project("resume", before["run"])
    assert code == 0, printed


def test_old_runs_can_be_read_with_other_plugins(project: Project) -> None:
    assert project("run", "flow.py")[0] == 0
    project.set_version("acme", "3.0")
    code, printed = project("show")
    assert code == 0, printed
    code, printed = project("get", "Speak/start/word")
    assert code == 0, printed
    assert "hello" in printed


def test_what_else_can_be_ignored_is_refused(project: Project) -> None:
    code, printed = project("resume", "--ignore", "plugin")
    assert code == 2
    assert "--ignore plugins" in printed


STORES = """
from dovetail.plugins import DataStoreSpec, hookimpl

@hookimpl
def dovetail_datastores():
    return [DataStoreSpec(name="box", factory="boxes.store:BoxStore")]
"""
BOX = """
from dovetail.local.store import LocalStore

class BoxStore(LocalStore):
    @classmethod
    def open(cls, target, settings, ctx):
        return cls(target)
"""
CALLS = """
import os
from dovetail import flow, isolation, task

@task
def make(n):
    return "x" * n

@isolation("spawn")
@task
def doubled(text):
    return text * 2

@flow
def packs():
    stored = make.with_options(datastore=os.environ["BOX"]).submit(200_000)
    stored.wait()
    if os.environ.get("MEDDLE"):
        with open(os.environ["MEDDLE"], "a") as file:
            file.write("# meddled\\n")
    if os.environ.get("FAIL"):
        raise ValueError("as asked")
    print("length", len(doubled.with_options(datastore=os.environ["BOX"])(stored)))
"""


@pytest.fixture
def calls(project: Project) -> Project:
    """A function flow that chooses a plugin's store only when it calls a task."""
    package = project.site / "boxes"
    package.mkdir()
    for name, text in {"__init__": "", "plugin": STORES, "store": BOX}.items():
        (package / f"{name}.py").write_text(text)
    project.info("boxes").mkdir()
    (project.info("boxes") / "entry_points.txt").write_text("[dovetail.plugins]\nboxes = boxes.plugin\n")
    project.set_version("boxes", "1.0")
    (project.folder / "dovetail.toml").write_text(f"[datastore.late]\nuse = 'box'\ntarget = '{project.folder}/late'\n")
    (project.folder / "flow.py").write_text(CALLS)
    return project


def test_a_store_that_a_call_chooses_pins_its_plugin(calls: Project) -> None:
    code, printed = calls("run", "flow.py", BOX="late")
    assert code == 0, printed
    assert "length 400000" in printed
    (manifest,) = calls.manifests()
    assert "boxes" not in manifest["plugins"]
    pins = [json.loads(file.read_bytes()) for file in calls.folder.glob(".dovetail/**/runs/*/stores/*")]
    (pin,) = [pin for pin in pins if pin["backend"] == "box"]
    assert pin["plugins"]["boxes"]["version"] == "1.0"


def test_a_worker_refuses_another_plugin_of_such_a_store(calls: Project) -> None:
    code, printed = calls("run", "flow.py", BOX="late", MEDDLE=str(calls.site / "boxes" / "store.py"))
    assert code == 1, printed
    assert "the run pins boxes 1.0 with sources" in printed
    assert "length" not in printed


def test_resume_looks_at_the_plugins_of_stores_that_calls_chose(calls: Project) -> None:
    code, printed = calls("run", "flow.py", BOX="late", FAIL="1")
    assert code == 1, printed
    (before,) = calls.manifests()
    calls.set_version("boxes", "2.0")
    code, printed = calls("resume", before["run"], BOX="late")
    assert code == 3, printed
    assert "the run pins boxes 1.0, and boxes 2.0 is installed" in printed
    code, printed = calls("resume", before["run"], "--ignore", "plugins", BOX="late")
    assert code == 0, printed
    assert "length 400000" in printed
    assert calls.manifests()[-1]["info"]["ignore_plugins"] == ["boxes"]


KEPT = """
import os
from dovetail import FlowSpec, step

class Kept(FlowSpec):
    @step
    def start(self):
        self.text = "x" * 200_000
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("FAIL"):
            raise ValueError("as asked")
        print("length", len(self.text))
"""


def test_a_resumed_run_pins_the_plugins_of_stores_that_it_has_from_before(calls: Project) -> None:
    (calls.folder / "flow.py").write_text(KEPT)
    code, printed = calls("run", "flow.py", "--datastore", "late", FAIL="1")
    assert code == 1, printed
    code, printed = calls("resume", "flow.py", FAIL="1")  # the values of the first are in its store, others not
    assert code == 1, printed
    (resumed,) = calls.manifests()
    assert resumed["plugins"]["boxes"]["version"] == "1.0"
    calls.set_version("boxes", "2.0")
    code, printed = calls("resume", "flow.py", resumed["run"])
    assert code == 3, printed
    assert "the run pins boxes 1.0, and boxes 2.0 is installed" in printed
    code, printed = calls("resume", "flow.py", resumed["run"], "--ignore", "plugins")
    assert code == 0, printed
    assert "length 200000" in printed
    assert calls.manifests()[-1]["plugins"]["boxes"]["version"] == "2.0"
