"""A plugin that is no part of the product, written over the template's render: its own tests, what it took, and a run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from template.rendering import command, installed_beside

HERE = Path(__file__).parent
PLUGIN = HERE / "dovetail-webdav"
README = HERE / "README.md"
BUDGET = 300
NEW = ("plugins", "new", "--name", "webdav", "--kind", "datastore", "--licence", "MIT")
SETTINGS = """
[datastore.webdav]
user = "ada"
password = "env:DAV_PASSWORD"
"""
FLOW = """
from dovetail import FlowSpec, step


class Words(FlowSpec):
    @step
    def start(self):
        self.words = ["dove", "tail"]
        self.next(self.join_words)

    @step
    def join_words(self):
        self.joined = "".join(self.words)
        self.large = self.joined * 100_000
        self.next(self.end)

    @step
    def end(self):
        pass
"""
READ = """
import sys
from dovetail import Run

data = Run(sys.argv[1])["join_words"].task.data
print(data.joined, len(data.large))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables with which this environment finds the plugin; nothing goes through a proxy."""
    folder = tmp_path_factory.mktemp("site")
    return {**installed_beside(folder / "site", PLUGIN), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _server() -> Any:
    spec = importlib.util.spec_from_file_location("webdav_server", PLUGIN / "tests" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _told(line: str) -> str:
    """What the README says behind a word."""
    [said] = re.findall(rf"^{re.escape(line)}: (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return str(said)


def test_the_plugins_own_tests_pass(found: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "conformance.json"
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "own", "--dovetail-report", report)
    command(
        *(sys.executable, "-m", "pytest", *options),
        cwd=PLUGIN,
        DOVETAIL_CONFORMANCE_EFFORT="0",
        HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path / "examples"),
        PYTHONDONTWRITEBYTECODE="1",
        **found,
    )
    facts = json.loads(report.read_text(encoding="utf-8"))
    assert {suite["plugin"]["name"] for suite in facts["suites"]} == {"dovetail-webdav"}
    assert "failed" not in facts["guarantees"].values(), facts["guarantees"]
    tests = Counter(test["outcome"] for suite in facts["suites"] for test in suite["tests"])
    guarantees = Counter(facts["guarantees"].values())
    assert ", ".join(f"{n} {outcome}" for outcome, n in sorted(tests.items())) == _told("Tests of the kit")
    assert ", ".join(f"{n} {outcome}" for outcome, n in sorted(guarantees.items())) == _told("Guarantees")
    assert facts["guarantees"]["datastore.create-is-exclusive"] == "passed"


def test_few_lines_were_written(tmp_path: Path) -> None:
    render, written = tmp_path / "render", tmp_path / "written"
    author = "The Dovetail authors"
    command(sys.executable, "-m", "dovetail", *NEW, "--author", author, "--into", render, cwd=tmp_path)
    for line in command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PLUGIN).split("\0"):
        if line and (PLUGIN / line).exists():
            (written / line).parent.mkdir(parents=True, exist_ok=True)
            (written / line).write_bytes((PLUGIN / line).read_bytes())
    lines = command("git", "diff", "--no-index", "--numstat", render, written, cwd=tmp_path, expect=1).splitlines()
    added = {line.split("\t")[2]: int(line.split("\t")[0]) for line in lines}
    assert sum(added.values()) <= BUDGET, added
    assert f"{sum(added.values())}" == _told("Lines over the render")


def test_a_run_keeps_its_artifacts_there(found: dict[str, str], tmp_path: Path) -> None:
    module = _server()
    served, project = tmp_path / "served", tmp_path / "project"
    served.mkdir()
    project.mkdir()
    for name, text in {"dovetail.toml": SETTINGS, "flow.py": FLOW, "read.py": READ}.items():
        (project / name).write_text(text)
    with module.running(served) as url:
        variables = {**found, "DAV_PASSWORD": module.PASSWORD}
        listed = json.loads(command(sys.executable, "-m", "dovetail", "plugins", "list", "--json", cwd=project, **found))
        assert [one["status"] for one in listed if one["dist"] == "dovetail-webdav"] == ["ready"]
        run = (sys.executable, "-m", "dovetail", "run", "flow.py", "--quiet", "--datastore", f"{url}/runs")
        command(*run, cwd=project, **variables)
        runs = json.loads(
            command(sys.executable, "-m", "dovetail", "list", "--json", "--datastore", f"{url}/runs", cwd=project, **variables)
        )
        print(runs)
    assert len(list((served / "runs" / "objects").iterdir())) > 3
