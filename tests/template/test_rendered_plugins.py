"""The template of plugins: what it renders is built, installed, tested by the kit, and clean; what is broken in it is
found by the test that is for it.

`DOVETAIL_TEMPLATES=full` installs every kind by itself in an environment of its own, with long state machines.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from template.rendering import (
    ALL,
    ROOT,
    TEST_CLASSES,
    build,
    command,
    conformance,
    failed,
    installed_alone,
    installed_beside,
    render,
)

FULL = os.environ.get("DOVETAIL_TEMPLATES") == "full"
FLOW = """
from dovetail import FlowSpec, step


class Words(FlowSpec):
    @step
    def start(self):
        import words
        self.text = words.WORD * 50_000
        self.next(self.end)

    @step
    def end(self):
        print(self.text[:5], len(self.text))
"""
BREAKS = {
    "datastore": (
        "datastore.py",
        '"etag": os.urandom(12).hex()',
        '"etag": "same"',
        "test_the_etag_follows_the_content",
    ),
    "metadata": ("metadata.py", " and not is_known_dead(lease.holder)", "", "test_the_dead_hold_nothing"),
    "compute": (
        "compute.py",
        'places = [int(place) for place in after.split(",")] if after else [0, 0]',
        "places = [0, 0]",
        "test_logs_go_on_behind_any_chunk",
    ),
    "environment": ("environment.py", "if name not in known", "if not name", "test_an_unknown_option_is_refused"),
}
"""Kind → (file, what is there, what is put in its place, the test that finds it)."""


@pytest.fixture(scope="session")
def core_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the core as it is here."""
    folder = tmp_path_factory.mktemp("core") / "core"
    folder.symlink_to(ROOT / "core", target_is_directory=True)
    return build(folder)


def _is_ready(python: Path, project: Path, kinds: Sequence[str]) -> None:
    listed = json.loads(command(python, "-m", "dovetail", "plugins", "list", "--json", cwd=project.parent))
    [plugin] = [one for one in listed if one["dist"] == "dovetail-acme-disk"]
    assert plugin["status"] == "ready", plugin
    offers = {(offer["kind"], offer["name"]) for offer in plugin["offers"]}
    assert {offer["status"] for offer in plugin["offers"]} == {"ready"}
    chosen = [kind for kind in kinds if kind != "metadata"]
    decorators = {(f"{of}-decorator", f"acme_disk_{kind}") for of in ("step", "flow") for kind in chosen}
    assert offers == {(kind, "acme-disk") for kind in kinds} | decorators


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _is_clean(python: Path, project: Path) -> None:
    for words in (("check", "--no-cache", "."), ("format", "--no-cache", "--check", ".")):
        command(sys.executable, "-m", "ruff", *words, cwd=project)
    command(sys.executable, "-m", "mypy", "--python-executable", python, "--cache-dir", os.devnull, cwd=project)


def _passes(tests: Sequence[dict[str, str]], kinds: Sequence[str]) -> None:
    assert failed(tests) == set()
    assert {test["outcome"] for test in tests} <= {"passed", "skipped"}
    assert {test["plugin"] for test in tests} == {"dovetail-acme-disk"}
    assert {test["suite"] for test in tests} == {"TestPlugin", *(TEST_CLASSES[kind] for kind in kinds)}
    passed = [test for test in tests if test["outcome"] == "passed"]
    assert len(passed) > 0.75 * len(tests)


@pytest.mark.parametrize("kinds", [ALL, *([(kind,) for kind in ALL] if FULL else [])], ids="+".join)
def test_installed_from_a_wheel(kinds: tuple[str, ...], core_wheel: Path, tmp_path: Path) -> None:
    project = render(tmp_path / "plugin", kinds)
    python = installed_alone(tmp_path / "venv", [core_wheel, build(project)])
    again = render(tmp_path / "again", kinds, python=python)
    assert _contents(again) == _contents(project), "expected the template of the wheel to be that of the checkout"
    _is_ready(python, project, kinds)
    _is_clean(python, project)
    _passes(conformance(project, python, effort=1 if FULL else 0), kinds)


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_by_itself(kind: str, tmp_path: Path) -> None:
    project = render(tmp_path / "plugin", [kind])
    found = installed_beside(tmp_path / "site", build(project))
    _passes(conformance(project, sys.executable, **found), [kind])
    broken, before, after, test = BREAKS[kind]
    file = tmp_path / "site" / "dovetail_acme_disk" / broken
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")
    tests = conformance(project, sys.executable, "-k", TEST_CLASSES[kind], expect=1, **found)
    assert failed(tests) == {test}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("a", ALL), ("abcdefgh-jk-mnopqrstuvwx", ALL), ("abcdefgh-jk-mnopqrstuvwx", ("metadata",))],
    ids=["short", "long", "without-decorators"],
)
def test_any_name_is_formatted(name: str, kinds: tuple[str, ...], tmp_path: Path) -> None:
    project = render(tmp_path / "plugin", kinds, name=name)
    for words in (("check", "--no-cache", "."), ("format", "--no-cache", "--check", ".")):
        command(sys.executable, "-m", "ruff", *words, cwd=project)


def test_a_run_uses_all_that_a_driver_can(tmp_path: Path) -> None:
    project = render(tmp_path / "plugin", ALL)
    found = installed_beside(tmp_path / "site", build(project))
    home = tmp_path / "project"
    (home / "lib").mkdir(parents=True)
    (home / "lib" / "words.py").write_text("WORD = 'hello'\n", encoding="utf-8")
    (home / "flow.py").write_text(FLOW, encoding="utf-8")
    box = home / "box"
    attached = (f"acme_disk_datastore:folder={box}", 'acme_disk_environment:folders=["lib"]')
    words = ("run", "flow.py", *(word for text in attached for word in ("--with", text)), "--metadata", "acme-disk")
    command(sys.executable, "-m", "dovetail", *words, cwd=home, **found)
    logs = command(sys.executable, "-m", "dovetail", "logs", "--metadata", "acme-disk", cwd=home, **found)
    assert "hello 250000" in logs
    assert any(box.iterdir())
    assert (home / ".dovetail" / "acme-disk" / "metadata.db").exists()
    words_here = ("run", "flow.py", "--datastore", "acme-disk", *words[-2:], "--with", words[5])
    command(sys.executable, "-m", "dovetail", *words_here, cwd=home, **found)
    online = ("plugins", "doctor", "acme-disk", "--online")
    assert "unhealthy" not in command(sys.executable, "-m", "dovetail", *online, cwd=home, **found)
    compute = (*words, "--with", "acme_disk_compute")
    command(sys.executable, "-m", "dovetail", *compute, cwd=home, expect=3, **found)
