"""A plugin that is no part of the product, written over the template's render: its tests, what it took, and a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from acceptance.outside import check_lines, check_report
from acceptance.webdav_server import running
from template.rendering import command, installed_beside

PLUGIN = Path(__file__).parent / "dovetail-webdav"
SLOW = (
    "test_after_starts_behind_a_key",
    "test_any_sequence_of_calls",
    "test_delete_takes_many_keys",
    "test_scan_of_many_tells_each_once",
    "test_threads_share_a_handle",
)
"""Tests of the kit that together send two thirds of all requests."""
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


def test_the_plugins_own_tests_pass(found: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with running(tmp_path / "served") as login:
        suites = check_report("dovetail-webdav", tmp_path, {**found, **login}, slow=SLOW)
    [guarantees] = [suite["guarantees"] for suite in suites if suite["interface"] == "datastore"]
    assert guarantees["datastore.create-has-one-winner"] == "passed"


def test_few_lines_were_written(tmp_path: Path) -> None:
    check_lines("dovetail-webdav", ["datastore"], tmp_path)


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
