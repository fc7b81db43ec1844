"""Layers, profiles, the home rule, and complaints about files and variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.interfaces.errors import SettingsError


def test_nothing_is_set(project):
    settings = project.load()
    assert settings.core.max_workers is None
    assert settings.core.on_failure == "finish"
    assert settings.core_sources == {}
    assert settings.layers == ()


def test_high_to_low(project):
    project.user("max_workers = 1\non_failure = 'cancel'\n[tags]\ndefault = ['u']")
    project.pyproject("[tool.dovetail]\nmax_workers = 2\n[tool.dovetail.tags]\nrequired = ['team:']")
    settings = project.load()
    assert (settings.core.max_workers, settings.core.on_failure) == (2, "cancel")
    assert (settings.core.tags.default, settings.core.tags.required) == (("u",), ("team:",))
    assert settings.core_sources["max_workers"] == "pyproject.toml"
    project.env["DOVETAIL__MAX_WORKERS"] = "3"
    settings = project.load()
    assert settings.core.max_workers == 3
    assert settings.core_sources["max_workers"] == "environment variable DOVETAIL__MAX_WORKERS"
    settings = project.load("max_workers=4", "tags.default=a,b")
    assert (settings.core.max_workers, settings.core.tags.default) == (4, ("a", "b"))
    assert settings.core_sources["max_workers"] == "--set max_workers=4"


def test_dovetail_toml_and_nearest_project(project):
    (project.root / "dovetail.toml").write_text("max_workers = 5")
    below = project.root / "a" / "b"
    below.mkdir(parents=True)
    (project.root / "a" / "pyproject.toml").write_text("[project]\nname = 'dovetail-user'\n")
    assert project.load(cwd=below).core.max_workers == 5
    (project.root / "a" / "pyproject.toml").write_text("[tool.dovetail]\nmax_workers = 6")
    assert project.load(cwd=below).core.max_workers == 6


def test_both_files_in_one_folder(project):
    (project.root / "dovetail.toml").write_text("")
    project.pyproject("[tool.dovetail]\nmax_workers = 1")
    with pytest.raises(SettingsError, match="Keep one of them"):
        project.load()
    project.pyproject("[project]\nname = 'x'")
    project.load()


@pytest.mark.parametrize(
    "text",
    [
        "tool.dovetail.max_workers = 7",
        "[tool]\ndovetail.max_workers = 7",
        "[tool]\ndovetail = { max_workers = 7 }",
        "tool = { dovetail = { max_workers = 7 } }",
        "[ tool . dovetail ]\nmax_workers = 7",
        "[\"tool\".'dovetail']\nmax_workers = 7",
    ],
)
def test_every_spelling_of_the_table_is_seen(project, text):
    project.pyproject(text)
    assert project.load().core.max_workers == 7


def test_profiles(project):
    project.pyproject(
        """
        [tool.dovetail]
        max_workers = 1
        [tool.dovetail.profiles.big]
        max_workers = 64
        compute = "cluster"
        [tool.dovetail.compute.cluster]
        use = "local"
        """
    )
    assert project.load().core.max_workers == 1
    big = project.load(profile="big")
    assert (big.core.max_workers, big.profile) == (64, "big")
    assert big.core_sources["max_workers"].endswith("pyproject.toml (profile big)")
    assert big.select("compute").instance == "cluster"
    project.env["DOVETAIL_PROFILE"] = "big"
    assert project.load().core.max_workers == 64
    with pytest.raises(SettingsError) as caught:
        project.load(profile="bg")
    assert "Did you mean 'big'?" in str(caught.value)


def test_a_file_may_choose_its_profile(project):
    project.user("profile = 'laptop'\n[profiles.laptop]\nmax_workers = 2")
    assert project.load().core.max_workers == 2


def test_everything_wrong_is_named_at_once(project):
    project.pyproject(
        """
        [tool.dovetail]
        max_worker = 1
        on_failure = "stop"
        metadata = 5
        [tool.dovetail.tags]
        requird = []
        pattern = 3
        [tool.dovetail.datastore]
        host = "x"
        [tool.dovetail.retry]
        tims = 2
        """
    )
    project.env["DOVETAIL__COMPUT__DEFAULT"] = "x"
    with pytest.raises(SettingsError) as caught:
        project.load("max_workers=none-of-it")
    text = str(caught.value)
    for part in (
        "there is no setting 'max_worker'",
        "Did you mean 'max_workers'?",
        "on_failure must be one of finish, cancel, continue, not 'stop'",
        "metadata must be a name or a table",
        "has no setting 'requird'",
        "pattern must be text",
        "datastore.host must be a table: settings belong to an instance",
        "has no setting 'tims'",
        "environment variable DOVETAIL__COMPUT__DEFAULT",
        "Did you mean 'compute'?",
        "max_workers must be a whole number, not 'none-of-it' (--set max_workers=none-of-it)",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.dovetail", "is not TOML"),
        ("[tool]\ndovetail = 3", "tool.dovetail must be a table"),
        ("[tool.dovetail]\nprofiles = 3", "profiles must be tables"),
        ("[tool.dovetail]\nmax_workers = 0", "max_workers must be at least 1"),
        ("[tool.dovetail.tags]\npattern = '('", "pattern is not a regular expression"),
        ("[tool.dovetail]\ntags = 3", "tags must be a table"),
        ("[tool.dovetail]\nplugins = 'off'", "plugins must be a table"),
        ("[tool.dovetail.compute]\ndefault = 3", "compute.default must be a name or URL"),
        ("[tool.dovetail.catch]\nvar = 'x'", "there is no setting 'catch'"),
    ],
)
def test_malformed(project, text, message):
    project.pyproject(text)
    with pytest.raises(SettingsError) as caught:
        project.load()
    assert message in str(caught.value)


def test_home(project):
    root = project.root
    assert project.load().home == root / ".dovetail"
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert project.load(cwd=below).home == below / ".dovetail"
    (root / "pyproject.toml").write_text("")
    assert project.load(cwd=below).home == root / ".dovetail"
    (root / "a" / ".dovetail").mkdir()
    assert project.load(cwd=below).home == root / "a" / ".dovetail"
    project.env["DOVETAIL_HOME"] = "state"
    assert project.load(cwd=below).home == below / "state"
    assert not (below / "state").exists()


def test_home_from_a_file(project):
    project.pyproject("[tool.dovetail]\nhome = 'state'")
    assert project.load().home == project.root / "state"
    project.env["DOVETAIL_HOME"] = "/elsewhere"
    assert project.load().home == Path("/elsewhere")


def test_tags(project):
    project.pyproject("[tool.dovetail.tags]\nrequired = ['team:', 'reviewed']\npattern = '[a-z:]+'")
    tags = project.load().core.tags
    assert tags.problems(("team:x", "reviewed")) == []
    assert tags.problems(("team:x", "Bad")) == [
        "a tag reviewed is required: add --tag reviewed",
        "tag 'Bad' does not match the pattern '[a-z:]+'",
    ]
    assert tags.problems(())[0] == "a tag team:... is required: add --tag team:..."


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'x'\ndependencies = ['dovetail']\n[tool.ruff]\nline-length = 1"]
)
def test_files_without_our_table_are_not_parsed(project, text):
    project.pyproject(text)
    code = "import sys; from dovetail.settings import Settings; Settings.load(); print('tomllib' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "False"
