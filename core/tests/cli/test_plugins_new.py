"""`dovetail plugins new`: what it makes, and what it refuses."""

from __future__ import annotations

import importlib.metadata
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from seed import Seed
from shell import Shell

from dovetail.cli._plugins_new import template_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(autouse=True)
def _nobody_to_ask(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_a_plugin_of_chosen_kinds(shell: Shell, tmp_path: Path) -> None:
    told = shell("plugins", "new", "--name", "big-disk", "--kind", "metadata", "--kind", "datastore")
    assert f"dovetail-big-disk is in {tmp_path / 'dovetail-big-disk'}" in told
    made = tmp_path / "dovetail-big-disk"
    code = {path.name for path in (made / "src" / "dovetail_big_disk").iterdir()}
    backends = {"datastore.py", "metadata.py", "rows.py"}
    assert code == backends | {"__init__.py", "plugin.py", "settings.py", "decorators.py", "py.typed"}
    assert not [path for path in made.rglob("*") if "{" in path.name or path.suffix == ".jinja"]


def test_what_is_said_of_it(shell: Shell, tmp_path: Path) -> None:
    words = ("--kind", "compute", "--licence", "mit", "--author", 'Ada "L"', "--org", "acme", "--into", "some/where")
    facts = shell.json("plugins", "new", "--name", "grid", *words)
    made = tmp_path / "some" / "where"
    assert facts["folder"] == str(made)
    assert (facts["distribution"], facts["kinds"]) == ("dovetail-grid", ["compute"])
    assert sorted(facts["files"]) == sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file())
    project = tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor = importlib.metadata.version("dovetail").split(".")[:2]
    assert project["dependencies"] == [f"dovetail>={major}.{minor},<{int(major) + 1}"]
    assert (project["license"], project["authors"]) == ("MIT", [{"name": 'Ada "L"'}])
    assert project["urls"] == {"Source": "https://github.com/acme/dovetail-grid"}
    assert "MIT License" in (made / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("--name", "My_Plugin", "--kind", "compute"), "'My_Plugin' can't be the name", "Try my-plugin"),
        (("--name", "dovetail-acme", "--kind", "compute"), "called dovetail-NAME anyway", "Try acme"),
        (("--name", "é", "--kind", "compute"), "can't be the name", "Such as acme"),
        (("--name", "a" * 25, "--kind", "compute"), "at most 24 characters", f"Try {'a' * 24}"),
        (("--name", "local", "--kind", "compute"), "a backend of Dovetail itself", "Try my-local"),
        (("--name", "file", "--kind", "datastore"), "a backend of Dovetail itself", "Try my-file"),
        (("--name", "acme", "--kind", "compute", "--org", 'x y"z'), "can't be an account", "--org acme"),
        (("--name", "acme", "--kind", "datastor"), "no kind of backend 'datastor'", "Did you mean 'datastore'?"),
        (("--name", "acme", "--kind", "x"), "no kind of backend 'x'", "datastore, metadata, compute, environment"),
        (("--name", "acme", "--kind", "compute", "--licence", "GPL"), "'GPL'", "Apache-2.0, MIT"),
        (("--kind", "compute"), "--name must be given", "dovetail plugins new --name"),
        ((), "--name and --kind must be given", "dovetail plugins new --name"),
    ],
)
def test_wrong_answers_make_nothing(shell: Shell, tmp_path: Path, words: tuple[str, ...], said: str, hint: str) -> None:
    shell("plugins", "new", *words, code=2)
    told = shell.err
    assert said in told
    assert hint in told
    assert [path for path in tmp_path.iterdir() if path.name != "home"] == []


def test_a_folder_with_files_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    there = tmp_path / "dovetail-acme"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    shell("plugins", "new", "--name", "acme", "--kind", "compute", code=3)
    told = shell.err
    assert "not an empty folder" in told
    assert "--into" in told
    assert [path.name for path in there.iterdir()] == ["mine.txt"]
    (there / "mine.txt").unlink()
    shell("plugins", "new", "--name", "acme", "--kind", "compute")
    assert (there / "pyproject.toml").exists()


def test_a_folder_that_cannot_be_made_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    shell("plugins", "new", "--name", "acme", "--kind", "compute", "--into", "file/acme", code=2)
    assert f"{tmp_path / 'file' / 'acme'} can't be written: Not a directory" in shell.err
    assert "--into" in shell.err


@pytest.mark.parametrize("rules", [{"DOVETAIL_PLUGINS": "off"}, {"DOVETAIL__PLUGINS__BLOCK": '["evil"]'}, {}])
def test_no_installed_plugin_is_imported(tmp_path: Path, rules: dict[str, str]) -> None:
    (tmp_path / "evil_plugin.py").write_text("print('imported')")
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dovetail.plugins]\nevil = evil_plugin\n")
    command = [sys.executable, "-m", "dovetail", "plugins", "new", "--name", "acme", "--kind", "compute"]
    environment = {**os.environ, **rules, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "imported" not in done.stdout
    assert "dovetail-acme is in" in done.stdout


def test_without_copier_it_says_how_to_get_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)  # as if it were not installed
    shell("plugins", "new", "--name", "acme", "--kind", "compute", code=3)
    told = shell.err
    assert "copier" in told
    assert "pip install 'dovetail[testing]'" in told


def test_the_template_is_the_one_of_this_checkout() -> None:
    assert template_folder() == Path(__file__).parents[3] / "plugin-template"


def test_a_person_is_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dovetail", "plugins", "new", "--kind", "metadata"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(theirs)
    os.write(ours, b"acme\n")
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, out.decode()
    assert b"Name of the plugin: " in out
    assert (tmp_path / "dovetail-acme" / "src" / "dovetail_acme" / "metadata.py").exists()


def test_a_person_who_goes_away_makes_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dovetail", "plugins", "new", "--kind", "metadata"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(theirs)
    os.write(ours, b"\x04")  # the end of what is typed
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 130
    assert b"interrupted" in out
    assert b"Traceback" not in out
    assert not (tmp_path / "dovetail-acme").exists()
