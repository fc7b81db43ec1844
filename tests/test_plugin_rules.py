"""No command imports a plugin that the rules leave out, and a project's file can't widen the rules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.cli import BELOW, VERBS

FLOW = """
from dovetail import FlowSpec, step

class Small(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Small()
"""
EVIL = """
import os
open(os.environ["CANARY"], "w").close()
from dovetail.plugins import CommandSpec, hookimpl

@hookimpl
def dovetail_commands():
    return [CommandSpec(name="evil", factory="evil.plugin")]
"""
COMMANDS: dict[str, list[list[str]]] = {
    "run": [["run", "flow.py"]],
    "resume": [["resume"], ["resume", "flow.py"]],
    "check": [["check", "flow.py"]],
    "graph": [["graph", "flow.py"], ["graph", "Small"]],
    "show": [["show"], ["show", "--json"]],
    "explain": [["explain"]],
    "logs": [["logs", "Small/start"]],
    "artifacts": [["artifacts"]],
    "get": [["get", "Small/start/x"]],
    "runs": [["runs"], ["runs", "--json"]],
    "runs delete": [["runs", "delete", "nothing"]],
    "runs prune": [["runs", "prune"]],
    "tasks": [["tasks"]],
    "tag": [["tag", "Small", "mine"]],
    "cancel": [["cancel", "Small"]],
    "pause": [["pause", "Small"]],
    "unpause": [["unpause", "Small"]],
    "signal": [["signal", "Small", "x", "1"]],
    "limits": [["limits", "list"]],
    "store": [["store", "du"], ["store", "verify"], ["store", "gc"]],
    "metadata-rebuild": [["metadata-rebuild"]],
    "plugins": [
        ["plugins", "list"],
        ["plugins", "list", "--kind", "command", "--json"],
        ["plugins", "show", "evil"],
        ["plugins", "doctor"],
        ["plugins", "doctor", "evil", "--online"],
        ["plugins", "freeze"],
        ["plugins", "freeze", "--flow", "flow.py"],
        ["plugins", "test", "evil"],
    ],
    "config": [["config", "show"], ["config", "explain", "start", "flow.py"]],
    "": [["evil"], ["--help"], ["--version"], ["no-such-verb"]],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flow that has run, and a plugin that tells when it is imported."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "flow.py").write_text(FLOW)
    (folder / "pyproject.toml").write_text("")
    package = folder / "site" / "evil"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(EVIL)
    info = folder / "site" / "evil_dist-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-dist\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dovetail.plugins]\nevil = evil.plugin\n")
    return folder


@pytest.fixture
def settled(project: Path, tmp_path: Path) -> Path:
    """The project without settings of another test."""
    (project / "pyproject.toml").write_text("")
    return project


def dovetail(project: Path, config: Path, *words: str, **env: str) -> tuple[str, bool]:
    """What a command prints, and whether the plugin was imported."""
    canary = project / "canary"
    canary.unlink(missing_ok=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    variables |= {"PYTHONPATH": str(project / "site"), "CANARY": str(canary), "XDG_CONFIG_HOME": str(config)}
    variables |= {"XDG_CACHE_HOME": str(project / "cache"), **env}
    command = [sys.executable, "-m", "dovetail", *words]
    done = subprocess.run(
        command, cwd=project, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr, canary.exists()


def user_rules(config: Path, text: str) -> Path:
    (config / "dovetail").mkdir(parents=True, exist_ok=True)
    (config / "dovetail" / "config.toml").write_text(f"[plugins]\n{text}\n")
    return config


def test_every_verb_is_tried() -> None:
    below = {f"{verb} {word}" for verb, words in BELOW.items() for word in words}
    assert set(COMMANDS) - {""} == set(VERBS) | below


def test_without_rules_the_plugin_is_imported(settled: Path, tmp_path: Path) -> None:
    assert dovetail(settled, tmp_path, "plugins", "list")[1]
    assert dovetail(settled, tmp_path, "run", "flow.py")[1]


@pytest.mark.parametrize("words", [words for group in COMMANDS.values() for words in group], ids=" ".join)
def test_no_command_imports_what_is_not_allowed(settled: Path, tmp_path: Path, words: list[str]) -> None:
    config = user_rules(tmp_path, "mode = 'allow-list'\nallow = ['something-else']")
    assert not dovetail(settled, config, *words)[1]


@pytest.mark.parametrize("words", [["plugins", "list"], ["plugins", "doctor", "evil"], ["run", "flow.py"], ["evil"]])
def test_each_mode(settled: Path, tmp_path: Path, words: list[str]) -> None:
    for rules in ("mode = 'off'", "block = ['evil']", "block = ['Evil_Dist']", "allow = []"):
        assert not dovetail(settled, user_rules(tmp_path, rules), *words)[1], rules
    user_rules(tmp_path, "mode = 'auto'")
    assert not dovetail(settled, tmp_path, "--no-plugins", *words)[1]
    assert not dovetail(settled, tmp_path, *words, DOVETAIL_PLUGINS="off")[1]
    assert not dovetail(settled, tmp_path, *words, DOVETAIL__PLUGINS__MODE="off")[1]


def test_a_list_that_a_variable_asks_for_is_the_users(settled: Path, tmp_path: Path) -> None:
    (settled / "pyproject.toml").write_text("[tool.dovetail.plugins]\nallow = ['evil']")
    assert not dovetail(settled, tmp_path, "plugins", "list", DOVETAIL_PLUGINS="allow-list")[1]
    assert dovetail(settled, tmp_path, "plugins", "list")[1]


def test_a_refused_plugin_is_named(settled: Path, tmp_path: Path) -> None:
    printed, _ = dovetail(settled, user_rules(tmp_path, "block = ['evil']"), "plugins", "list")
    assert "'evil' is on the block list (plugins.block)" in printed
    printed, _ = dovetail(settled, user_rules(tmp_path, "allow = []"), "plugins", "list")
    assert "not on the allow list (plugins.allow)" in printed


@pytest.mark.parametrize(
    ("user", "project_file", "imported"),
    [
        ("allow = []", "[tool.dovetail.plugins]\nallow = ['evil']", False),
        ("mode = 'off'", "[tool.dovetail.plugins]\nmode = 'auto'", False),
        ("mode = 'allow-list'", "[tool.dovetail.plugins]\nmode = 'auto'\nallow = ['evil']", False),
        ("block = ['evil']", "[tool.dovetail.plugins]\nblock = []", False),
        (
            "allow = []",
            "[tool.dovetail]\nprofile = 'p'\n[tool.dovetail.profiles.p.plugins]\nmode = 'auto'\nallow = ['evil']",
            False,
        ),
        ("allow = []\n[profiles.open.plugins]\nallow = ['evil']", "[tool.dovetail]\nprofile = 'open'", False),
        ("allow = ['evil']", "[tool.dovetail.plugins]\nblock = ['evil']", False),
        ("allow = ['evil']", "[tool.dovetail.plugins]\nallow = []", False),
        ("allow = ['evil']", "[tool.dovetail.plugins]\nmode = 'off'", False),
        ("allow = ['evil']", "[tool.dovetail.plugins]\nallow = ['evil']", True),
    ],
)
def test_a_project_can_only_narrow(settled: Path, tmp_path: Path, user: str, project_file: str, imported: bool) -> None:
    (settled / "pyproject.toml").write_text(project_file)
    config = user_rules(tmp_path, user)
    assert dovetail(settled, config, "plugins", "list")[1] is imported


def test_the_user_can_widen_from_the_command_line(settled: Path, tmp_path: Path) -> None:
    config = user_rules(tmp_path, "allow = []")
    assert dovetail(settled, config, "run", "flow.py", "--set", "plugins.allow=evil")[1]
    assert dovetail(settled, config, "run", "flow.py", DOVETAIL__PLUGINS__ALLOW="evil")[1]
    user_rules(tmp_path, "allow = []\n[profiles.open.plugins]\nallow = ['evil']")
    assert dovetail(settled, config, "run", "flow.py", "--profile", "open")[1]
    assert dovetail(settled, config, "plugins", "list", DOVETAIL_PROFILE="open")[1]
