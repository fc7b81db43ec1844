"""What becomes of a run whose terminal goes away, or takes less than everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")

FLOW = """
import time
from pathlib import Path
from dovetail import FlowSpec, step


class Talking(FlowSpec):
    @step
    def start(self):
        for n in range(1000):
            print("é line", n, flush=True)
        self.next(self.wait)

    @step
    def wait(self):
        print("unended", end="")
        Path("begun").write_text("")
        while not Path("go").exists():
            time.sleep(0.02)
        self.next(self.end)

    @step
    def end(self):
        print("the end")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dovetail.toml").write_text("")
    (tmp_path / "talking.py").write_text(FLOW)
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    return {**kept, "DOVETAIL_HOME": str(folder / "home"), **more}


def shell(folder: Path, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line.replace("dovetail", f"{sys.executable} -m dovetail")],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "line",
    [
        "dovetail run talking.py | head -1",
        "dovetail run talking.py 2>&1 | head -1",
        "dovetail run talking.py >&- 2>&-",
        "dovetail run talking.py >/dev/full 2>/dev/full",
    ],
)
def test_a_run_outlives_whoever_reads_its_output(folder: Path, line: str) -> None:
    (folder / "go").write_text("")
    shell(folder, line)
    assert "succeeded" in shell(folder, "dovetail runs").stdout


def test_a_terminal_of_few_letters_gets_escapes(folder: Path) -> None:
    (folder / "go").write_text("")
    flow = (folder / "talking.py").read_text()
    (folder / "talking.py").write_text(flow.replace('print("é', 'print("\\u20ac'))
    done = shell(folder, "PYTHONIOENCODING=latin-1:strict dovetail run talking.py", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "\\u20ac line 0" in done.stdout


def test_a_line_without_an_end_comes_with_its_task(folder: Path) -> None:
    (folder / "go").write_text("")
    lines = shell(folder, "dovetail run talking.py 2>/dev/null").stdout.splitlines()
    assert lines[-2:] == ["[wait] unended", "[end] the end"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
def test_a_run_that_is_asked_to_stop_is_interrupted_and_continued(folder: Path, number: int) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "dovetail", "run", "talking.py"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    while not (folder / "begun").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "interrupted: 1 task" in err
    (folder / "go").write_text("")
    again = shell(folder, "dovetail resume")
    assert again.returncode == 0, again.stderr
    assert "✓ start" not in again.stderr, "it did not run again"
    assert "succeeded: 3 tasks, 1 of them done before" in again.stderr
