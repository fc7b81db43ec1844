"""`python flow.py ...` hands over to the command line; everywhere else the class makes a plain instance."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from dovetail import FlowSpec, step
from dovetail.authoring import entry
from dovetail.interfaces.errors import UsageError

FLOW = """
import os, sys
from dovetail import FlowSpec, step

def shown(path, args):
    print(args)
    sys.exit(7)
os.execv = shown

class Base(FlowSpec):
    @step
    def start(self): self.next(self.end)

class Hello(Base):
    @step
    def end(self): pass
"""


def run_script(tmp_path, text: str, *args: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "hello.py"
    file.write_text(FLOW + textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, *options, str(file), *args], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there a child process takes the place of exec")
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["run", "--alpha", "1"], ["run", "FILE", "--alpha", "1"]),
        (["--profile=x", "run"], ["run", "FILE", "--profile=x"]),
        (["config", "show"], ["config", "show"]),
        ([], ["--help"]),
        (["--help"], ["--help"]),
    ],
)
def test_a_script_becomes_the_command_line(tmp_path, args, expected) -> None:
    done = run_script(tmp_path, "if __name__ == '__main__':\n    Hello()", *args, options=("-X", "dev"))
    assert done.returncode == 7, done.stderr
    words = [word.replace("FILE", str(tmp_path / "hello.py")) for word in expected]
    assert done.stdout.strip() == str([sys.executable, "-X", "dev", "-m", "dovetail", *words])


@pytest.mark.skipif(sys.platform == "win32", reason="there a child process takes the place of exec")
def test_main_and_several_flows_in_a_file(tmp_path) -> None:
    text = "class Other(FlowSpec):\n    @step\n    def start(self): pass\nOther.main(['check'])"
    done = run_script(tmp_path, text)
    assert f"'check', '{tmp_path / 'hello.py'}:Other']" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "import builtins\nbuiltins.__IPYTHON__ = True\nflow = Hello()\nflow.start()\nprint(flow.next_call)",
        "flow = Hello(use_cli=False)\nflow.start()\nprint(flow.next_call)",
        "import types\nmodule = types.ModuleType('other')\nexec('def make(cls): return cls()', vars(module))\n"
        "flow = module.make(Hello)\nflow.start()\nprint(flow.next_call)",
    ],
)
def test_a_plain_instance_in_a_script(tmp_path, text) -> None:
    done = run_script(tmp_path, text)
    assert (done.returncode, done.stdout.strip()) == (0, "NextCall(end)"), done.stderr


def test_an_imported_flow_makes_plain_instances(tmp_path) -> None:
    (tmp_path / "hello.py").write_text(FLOW)
    code = "import hello; flow = hello.Hello(); flow.start(); print(flow.next_call)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "NextCall(end)"), done.stderr


def test_a_flow_without_a_file_has_no_command_line() -> None:
    class Nowhere(FlowSpec):
        @step
        def start(self) -> None: ...

    Nowhere.__module__ = "no_such_module"
    with pytest.raises(UsageError, match="Nowhere has no file"):
        entry.command(Nowhere, ["run"])


def test_without_exec_a_child_process_runs(monkeypatch) -> None:
    ran: list[list[str]] = []

    def run(args: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        ran.append(args)
        return subprocess.CompletedProcess(args, 3)

    class Here(FlowSpec):
        @step
        def start(self) -> None: ...

    monkeypatch.setattr(entry.os, "name", "nt")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as ended:
        Here.main(["run", "--x"])
    assert ended.value.code == 3
    assert ran[0][-3:] == ["run", f"{__file__}", "--x"] or ran[0][-2].startswith(__file__)
