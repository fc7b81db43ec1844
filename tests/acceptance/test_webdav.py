"""A plugin that is no part of the product, written over the template's render: its tests, what it took, and a run."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from acceptance.webdav_server import running
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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables with which this environment finds the plugin."""
    return dict(installed_beside(tmp_path_factory.mktemp("plugin") / "site", PLUGIN))


def _told(line: str) -> str:
    """What the README says behind a word."""
    [said] = re.findall(rf"^{re.escape(line)}: (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return str(said)


def test_the_plugins_own_tests_pass(found: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "conformance.json"
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "own", f"--dovetail-report={report}")
    (tmp_path / "served").mkdir()
    with running(tmp_path / "served") as login:
        command(
            *(sys.executable, "-m", "pytest", *options),
            cwd=PLUGIN,
            DOVETAIL_CONFORMANCE_EFFORT="0",
            HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path / "examples"),
            PYTHONDONTWRITEBYTECODE="1",
            **found,
            **login,
        )
    facts = json.loads(report.read_text(encoding="utf-8"))
    assert {suite["plugin"]["name"] for suite in facts["suites"]} == {"dovetail-webdav"}
    came = {name: outcome for suite in facts["suites"] for name, outcome in suite["guarantees"].items()}
    assert "failed" not in came.values(), came
    tests = Counter(test["outcome"] for suite in facts["suites"] for test in suite["tests"])
    guarantees = Counter(came.values())
    assert ", ".join(f"{n} {outcome}" for outcome, n in sorted(tests.items())) == _told("Tests of the kit")
    assert ", ".join(f"{n} {outcome}" for outcome, n in sorted(guarantees.items())) == _told("Guarantees")
    assert came["datastore.create-has-one-winner"] == "passed"


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
    served, project = tmp_path / "served", tmp_path / "project"
    served.mkdir()
    project.mkdir()
    for name, text in {"dovetail.toml": SETTINGS, "flow.py": FLOW}.items():
        (project / name).write_text(text)

    with running(served) as login:
        store = ("--datastore", f"{login['DAV_URL']}/runs")

        def dovetail(*words: str) -> str:
            return command(sys.executable, "-m", "dovetail", *words, cwd=project, **found, **login)

        [plugin] = [
            one for one in json.loads(dovetail("plugins", "list", "--json")) if one["dist"] == "dovetail-webdav"
        ]
        assert plugin["status"] == "ready"
        dovetail("run", "flow.py", "--quiet", *store)
        [run] = json.loads(dovetail("runs", "--json", *store))
        assert run["state"] == "succeeded"
        assert json.loads(dovetail("get", f"{run['run']}/join_words/joined", "--json", *store)) == "dovetail"
        assert json.loads(dovetail("get", f"{run['run']}/join_words/large", "--json", *store)) == "dovetail" * 100_000
    assert len(list((served / "runs" / "objects").iterdir())) > 3
