"""The dispatcher: the static table, exit codes, errors, verbs of plugins, and what `--help` imports."""

from __future__ import annotations

import errno
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import dovetail.cli as cli
from dovetail.cli import VERBS, main
from dovetail.interfaces.errors import BackendError, NotFoundError, SettingsError, StoreError, StoreFullError

HEAVY = {
    "argparse",
    "asyncio",
    "cloudpickle",
    "dataclasses",
    "email",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "msgpack",
    "pathlib",
    "pluggy",
    "re",
    "sqlite3",
    "subprocess",
    "threading",
    "tomllib",
    "typing",
}


def spawn(*argv: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "dovetail", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=60)


def test_help_imports_nothing_heavy(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(Path(cli.__file__).parents[2])!r})
before = set(sys.modules)
from dovetail.cli import main
main(["--help"])
print("new:", *sorted(set(sys.modules) - before))
"""
    # Without site: what a virtual environment's .pth files import is not ours.
    command = [sys.executable, "-S", "-I", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60)
    new = run.stdout.splitlines()[-1].split()[1:]
    assert not set(new) & HEAVY
    assert [name for name in new if name.startswith("dovetail")] == ["dovetail", "dovetail.cli"]
    assert len(new) <= 11  # os, and what it needs itself, are among them.


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb, summary in VERBS.items():
        assert f"  {verb} " in text
        assert summary in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_module(verb):
    assert importlib.util.find_spec(f"dovetail.cli.{verb.replace('-', '_')}") is not None


def test_verbs_have_help(tmp_path):
    for verb in ("plugins", "config"):
        run = spawn(verb, "--help", cwd=tmp_path)
        assert run.returncode == 0
        assert f"usage: dovetail {verb}" in run.stdout


def test_unknown_verb(tmp_path):
    run = spawn("rnu", cwd=tmp_path)
    assert run.returncode == 2
    assert "there is no verb 'rnu'" in run.stderr
    assert "Did you mean 'run'?" in run.stderr
    assert run.stdout == ""


def test_wrong_option_exits_with_2(tmp_path):
    assert spawn("config", "show", "--colour", cwd=tmp_path).returncode == 2


def test_version(tmp_path):
    run = spawn("--version", cwd=tmp_path)
    assert run.stdout.startswith("dovetail ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x", hint="do y"), 2),
        (BackendError("x"), 3),
        (NotFoundError("x"), 3),
        (StoreError("x"), 4),
        (StoreFullError("x"), 4),
        (OSError(errno.ENOSPC, "no space for the output"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(words):
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert main(["run"]) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    if code == 2:
        assert err == "error: x\n  do y\nDOVETAIL-U003\n"


def test_bugs_keep_their_traceback(monkeypatch):
    def fail(words):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_a_reader_that_goes_away(tmp_path):
    command = f"{sys.executable} -m dovetail config schema | head -c 1; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert "Traceback" not in run.stderr


def install(site: Path) -> None:
    (site / "acme").mkdir(parents=True)
    (site / "acme" / "__init__.py").write_text("")
    (site / "acme" / "plugin.py").write_text(
        "from dovetail.plugins import CommandSpec, HealthCheckSpec, hookimpl\n"
        "@hookimpl\n"
        "def dovetail_commands():\n"
        "    return [CommandSpec(name='polish', factory='acme.cli', summary='polish things')]\n"
        "@hookimpl\n"
        "def dovetail_health_checks():\n"
        "    return [HealthCheckSpec(name='shine', factory='acme.cli:shine', checks='environment:host')]\n"
    )
    (site / "acme" / "cli.py").write_text(
        "from dovetail.interfaces.problems import Problem\n"
        "def configure(parser): parser.add_argument('thing')\n"
        "def run(args):\n    print('polished', args.thing)\n    return 7\n"
        "def shine(context):\n"
        "    return [Problem(code='dull', message=f'dull {type(context.backend).__name__}', fix='rub')]\n"
    )
    info = site / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dovetail.plugins]\nacme = acme.plugin\n")


@pytest.fixture
def acme(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_verbs_of_plugins(acme):
    run = spawn("polish", "shoes", cwd=acme)
    assert (run.returncode, run.stdout) == (7, "polished shoes\n"), run.stderr
    run = spawn("polsh", cwd=acme)
    assert "Did you mean 'polish'?" in run.stderr
    run = spawn("--no-plugins", "polish", "shoes", cwd=acme)
    assert run.returncode == 2


def test_plugins_list_show_and_doctor(acme):
    import json

    listed = json.loads(spawn("plugins", "list", "--json", cwd=acme).stdout)
    assert [(p["dist"], p["status"]) for p in listed] == [("dovetail", "built-in"), ("acme", "ready")]
    text = spawn("plugins", "list", "--kind", "command", cwd=acme).stdout
    assert text.splitlines()[1].split()[:2] == ["polish", "command"]
    assert "acme.plugin" in spawn("plugins", "show", "acme", cwd=acme).stdout
    assert "polish things" in spawn("plugins", "show", "polish", cwd=acme).stdout
    run = spawn("plugins", "show", "acm", cwd=acme)
    assert run.returncode == 2
    assert "Did you mean 'acme'?" in run.stderr
    run = spawn("plugins", "doctor", "--json", cwd=acme)
    checks = {check["check"]: check for check in json.loads(run.stdout)}
    assert checks["shine"]["problems"][0]["message"] == "dull HostEnvironment"
    assert run.returncode == 1  # The environment that a run would use is unhealthy.
    assert checks["datastore:local write"]["problems"] == []


def test_config_show(tmp_path):
    import json

    (tmp_path / "dovetail.toml").write_text("max_workers = 3\n[datastore.a]\nuse = 'local'\n")
    shown = json.loads(spawn("config", "show", "--json", cwd=tmp_path).stdout)
    rows = {row["key"]: row for row in shown["settings"]}
    assert rows["max_workers"]["value"] == 3
    assert rows["max_workers"]["source"].endswith("dovetail.toml")
    assert shown["instances"]["datastore"] == ["a"]
    text = spawn("config", "show", "--set", "max_workers=4", cwd=tmp_path).stdout
    assert "--set max_workers=4" in text


def test_config_explain_of_a_description(tmp_path, capsys):
    from dovetail.cli.config import show_step
    from dovetail.interfaces.errors import UnknownNameError
    from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
    from dovetail.settings import Settings

    use = DecoratorUse(kind="retry", name="retry", options={"times": 2}, source="f.py:3")
    step = StepDescription(name="train", decorators=(use,))
    flow = FlowDescription(name="F", module="f", file="f.py", steps=(step,))
    settings = Settings.load(cwd=tmp_path, env={"HOME": str(tmp_path)}, set_=["train.retry.times=5"])
    show_step(settings, flow, "train")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["retry.times", "5", "--set", "train.retry.times=5"] in lines
    assert ["(2)", "overridden:", "f.py:3"] in lines
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        show_step(settings, flow, "trian")
