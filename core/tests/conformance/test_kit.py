"""The rules of the kit itself: nothing is overridden, expected failures are strict, the report tells the truth."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from dovetail.testing import conformance
from dovetail.testing.conformance.guarantees import GUARANTEES, INTERFACES
from dovetail.testing.conformance.installed import Installed

SUITES = [getattr(conformance, name) for name in conformance.__all__ if name != "GUARANTEES"]
HEAD = """
import pytest
from dovetail.testing import DataStoreConformance, MemoryStore

class Suite(DataStoreConformance):
    @pytest.fixture
    def store(self):
        return MemoryStore()
"""


def run(folder: Path, source: str, *options: str, code: int = 0) -> dict[str, Any]:
    """Run a module of tests; its report."""
    (folder / "test_it.py").write_text(HEAD + textwrap.dedent(source))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    done = subprocess.run(
        [*command, "--dovetail-report", "report.json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    found["output"] = done.stdout
    return found


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {test["test"]: test["outcome"] for suite in report["suites"] for test in suite["tests"]}


def test_every_guarantee_has_a_test_and_every_test_a_guarantee() -> None:
    assert len(SUITES) == 5
    covered = set()
    for suite in SUITES:
        tests = suite.kit_tests()
        assert not suite.__name__.startswith("Test")
        for function in tests.values():
            case = function.conformance_case
            assert case.guarantee.partition(".")[0] in ("kit", suite.interface)
            covered.add(case.guarantee)
    assert covered == set(GUARANTEES)
    assert {id.partition(".")[0] for id in GUARANTEES} == set(INTERFACES)


def test_every_failure_says_what_was_expected_and_what_came() -> None:
    folder = Path(conformance.__file__).parent
    bare = []
    for file in sorted(folder.glob("*.py")):
        for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"\s+assert ", text) and not re.search(r"\bf?\"|\($", text):
                bare.append(f"{file.name}:{line}: {text.strip()}")
    assert bare == []


def test_names_are_imported_from_testing() -> None:
    testing = importlib.import_module("dovetail.testing")
    for name in conformance.__all__:
        if name != "GUARANTEES":
            assert getattr(testing, name) is getattr(conformance, name)


def test_a_failure_names_its_guarantee(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        """
        class Wrong(MemoryStore):
            def delete(self, keys, *, not_modified_since=None):
                pass

        class TestWrong(Suite):
            @pytest.fixture
            def store(self):
                return Wrong()
        """,
        "-k",
        "test_delete_removes_exactly",
        code=1,
    )
    assert "expected all but 'a' to stay, came ['a', 'a/b', 'a/b/c', 'aa', 'b']" in report["output"]
    assert f"This breaks datastore.delete: {GUARANTEES['datastore.delete']}" in report["output"]
    assert report["suites"][0]["guarantees"] == {"datastore.delete": "failed"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def test_scan_of_many_tells_each_once(self): pass", "test_scan_of_many_tells_each_once is overridden"),
        ("test_scan_of_many_tells_each_once = None", "test_scan_of_many_tells_each_once is overridden"),
        ("expected_failures = {'test_nothing': 'why'}", "came test_nothing"),
        ("expected_failures = {'test_copy': ' '}", "came none for test_copy"),
    ],
)
def test_the_kit_can_not_be_changed(tmp_path: Path, body: str, message: str) -> None:
    report = run(tmp_path, f"class TestIt(Suite):\n    {body}\n", "-k", "unchanged or expected_failures", code=1)
    assert message in report["output"]
    assert "failed" in outcomes(report).values()


def test_a_deleted_test_is_missed(tmp_path: Path) -> None:
    source = """
    from dovetail.testing.conformance.datastore_scans import DataStoreScans
    del DataStoreScans.test_scan_of_many_tells_each_once
    class TestIt(Suite):
        pass
    """
    report = run(tmp_path, source, "-k", "unchanged", code=1)
    assert "test_scan_of_many_tells_each_once is deleted" in report["output"]


def test_what_keeps_the_kit_whole_is_sealed() -> None:
    with pytest.raises(TypeError, match="test_the_kit_is_unchanged"):
        type("TestIt", (conformance.DataStoreConformance,), {"test_the_kit_is_unchanged": None, "__module__": "mine"})


def test_expected_failures_are_strict(tmp_path: Path) -> None:
    source = """
    class Bare(MemoryStore):
        def _info(self, key, found):
            from dataclasses import replace
            return replace(super()._info(key, found), metadata={})

    class TestBare(Suite):
        expected_failures = {"test_metadata_is_kept": "no room", "test_delete_takes_many_keys": "it works, though"}

        @pytest.fixture
        def store(self):
            return Bare()
    """
    report = run(tmp_path, source, "-k", "metadata_is_kept or takes_many or local_path", code=1)
    found = outcomes(report)
    assert found["test_metadata_is_kept"] == "expected-failure"
    assert found["test_delete_takes_many_keys"] == "failed"
    assert found["test_local_path"] == "skipped"
    suite = report["suites"][0]
    assert suite["guarantees"]["datastore.local-path"] == "skipped"
    assert (suite["totals"]["failed"], suite["totals"]["expected-failure"]) == (1, 1)
    reasons = {test["test"]: test["reason"] for test in suite["tests"]}
    assert "no room" in reasons["test_metadata_is_kept"]
    assert "LOCAL_PATH is not declared" in reasons["test_local_path"]


def test_the_report_tells_the_backend(tmp_path: Path) -> None:
    report = run(tmp_path, "class TestIt(Suite):\n    plugin = 'pytest'\n", "-k", "declared or copy")
    [suite] = report["suites"]
    assert report["format"] == 1
    assert suite["backend"] == "dovetail.testing.memory_store:MemoryStore"
    assert suite["abilities"] == ["COPY", "APPEND", "STAGE"]
    assert suite["plugin"] == {"name": "pytest", "version": pytest.__version__}
    flags = {(test["flag"], test["outcome"]) for test in suite["tests"] if test["test"] == "test_copy"}
    assert flags == {("COPY", "passed")}


def test_newer_tests_only_warn_older_plugins(tmp_path: Path) -> None:
    site = tmp_path / "old_plugin-1.0.dist-info"
    site.mkdir()
    (site / "METADATA").write_text("Name: old-plugin\nVersion: 1.0\nRequires-Dist: dovetail>=0.0.9,<1\n")
    source = """
    class Bare(MemoryStore):
        def delete(self, keys, *, not_modified_since=None):
            pass

    class TestBare(Suite):
        plugin = "old-plugin"

        @pytest.fixture
        def store(self):
            return Bare()
    """
    report = run(tmp_path, source, "-k", "removes_exactly", "-W", "error", "-o", "pythonpath=.")
    assert outcomes(report) == {"test_delete_removes_exactly_what_is_named": "not-enforced"}
    assert "ConformanceWarning: test_delete_removes_exactly_what_is_named came with Dovetail 0.1" in report["output"]
    (site / "METADATA").write_text("Name: old-plugin\nVersion: 1.0\nRequires-Dist: dovetail>=0.1,<1\n")
    report = run(tmp_path, source, "-k", "removes_exactly", "-o", "pythonpath=.", code=1)
    assert outcomes(report) == {"test_delete_removes_exactly_what_is_named": "failed"}


@pytest.mark.parametrize(
    ("wants", "floor", "enforced"),
    [
        (">=0.1,<1", "0.1", True),
        ("<1,>=0.0.5", "0.0.5", False),
        ("~=0.2", "0.2", True),
        (None, None, True),
        ("<1", None, True),
    ],
)
def test_floors(wants: str | None, floor: str | None, enforced: bool) -> None:
    found = Installed("x", "1.0", wants)
    assert (found.floor, found.enforces("0.1")) == (floor, enforced)


def test_without_pytest_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "try:\n    from dovetail.testing import DataStoreConformance\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'dovetail[testing]'" in done.stdout
