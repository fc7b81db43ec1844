"""A folder with a flow, the command line run in it, and what the runs left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from dovetail.client import Client, Run

__all__ = ["Driving", "FlowProject", "Said", "until"]

_RUN = re.compile(r"\b[0-9a-hjkmnp-tv-z]{26}\b")

COUNTING = '''
import os, sys, time
from dovetail import FlowSpec, JSONType, Parameter, catch, current, isolation, retry, step, timeout

def count():
    """Leave a line for each attempt that begins."""
    with open(os.environ["COUNTS"], "a") as counts:
        counts.write(current.task_id + "\\n")
'''
"""What flows of these tests begin with."""


@dataclass(frozen=True)
class Said:
    """What a command line wrote."""

    code: int
    """Exit code."""
    out: str
    err: str
    ran: Counter[str]
    """Path → attempts that began."""

    @property
    def run(self) -> str:
        """Id of the run that it drove."""
        last = re.findall(r"^run (\S+) ", self.err, re.MULTILINE)
        return last[-1] if last else _RUN.findall(self.err)[0]

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Driving:
    """A `dovetail run` or `resume` that goes on."""

    def __init__(self, project: FlowProject, process: subprocess.Popen[str], id_file: Path) -> None:
        self._project = project
        self.process = process
        self._id_file = id_file

    @property
    def run(self) -> str:
        """Id of its run, once there is one."""
        return until(lambda: self._id_file.exists() and self._id_file.read_text().strip(), self.process)

    def wait_for(self, name: str) -> None:
        """Wait until a step has made a file in the folder."""
        until((self._project.folder / name).exists, self.process)

    def signal(self, number: int) -> None:
        """Send a signal to the driver alone."""
        self.process.send_signal(number)

    def end(self) -> Said:
        """What it wrote, when it has ended."""
        out, err = self.process.communicate(timeout=60)
        return Said(self.process.returncode, out, err, self._project.counted())


def until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Wait until something is so; its value.

    Raises:
        AssertionError: The process ended first, or it took a minute.
    """
    for _ in range(6000):
        ended = process is not None and process.poll() is not None
        value = condition()
        if value:
            return value
        assert not ended, f"it ended too soon:\n{process.communicate()}"  # type: ignore[union-attr]
        time.sleep(0.01)
    raise AssertionError("waited for a minute")


class FlowProject:
    """A project folder with a home of its own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.patience = 120
        """Seconds until a command line hangs."""
        self._counts = folder / "counts.txt"
        self._drivings: list[Driving] = []
        (folder / "pyproject.toml").write_text("")

    # -- files ----------------------------------------------------------------------------------------------------

    def write(self, flow: str, *, name: str = "flow.py", counting: bool = True) -> None:
        """Write a flow file, with the usual imports and `count()` in front."""
        (self.folder / name).write_text((COUNTING if counting else "") + dedent(flow))

    def change(self, old: str, new: str, *, name: str = "flow.py") -> None:
        """Replace a text that occurs once."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        path.write_text(text.replace(old, new))

    # -- the command line -----------------------------------------------------------------------------------------

    def dovetail(self, *words: str, env: dict[str, str] | None = None) -> Said:
        """Run a command line to its end."""
        self._counts.write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "dovetail", *words],
            cwd=self.folder,
            env=self._environment(env),
            text=True,
            capture_output=True,
            timeout=self.patience,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr, self.counted())

    def python(self, *words: str, text: str = "", env: dict[str, str] | None = None) -> Said:
        """Run Python to its end, with a text on its standard input."""
        self._counts.write_text("")
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self._environment(env),
            input=text,
            text=True,
            capture_output=True,
            timeout=self.patience,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr, self.counted())

    def start_python(self, *words: str, env: dict[str, str] | None = None) -> Driving:
        """Begin Python, in a process group of its own; the `run` of what it returns is not known."""
        self._counts.write_text("")
        return self._begin([sys.executable, *words], self.folder / "none.id", env)

    def ok(self, *words: str, env: dict[str, str] | None = None) -> Said:
        """Run a command line that must succeed."""
        said = self.dovetail(*words, env=env)
        assert said.code == 0, str(said)
        return said

    def fails(self, *words: str, code: int = 1, env: dict[str, str] | None = None) -> Said:
        """Run a command line that must end with a code, by an error that is told in words."""
        said = self.dovetail(*words, env=env)
        assert said.code == code, str(said)
        assert "Traceback (most recent call last)" not in said.err or "flow.py" in said.err, str(said)
        assert not re.search(r"^ *File .*/dovetail/", said.err, re.MULTILINE), str(said)
        return said

    def start(self, *words: str, env: dict[str, str] | None = None) -> Driving:
        """Begin a command line that drives a run, in a process group of its own."""
        id_file = self.folder / f"{len(self._drivings)}.id"
        self._counts.write_text("")
        return self._begin([sys.executable, "-m", "dovetail", *words, "--run-id-file", str(id_file)], id_file, env)

    def _begin(self, command: list[str], id_file: Path, env: dict[str, str] | None) -> Driving:
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(env),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        driving = Driving(self, process, id_file)
        self._drivings.append(driving)
        return driving

    def close(self) -> None:
        """End what a failed test left."""
        for driving in self._drivings:
            process = driving.process
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def _environment(self, more: dict[str, str] | None) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
        ours = {"DOVETAIL_HOME": str(self.home), "COUNTS": str(self._counts), "NO_COLOR": "1", "DOVETAIL_USER": "ada"}
        return {**environment, **ours, **(more or {})}

    # -- what there is --------------------------------------------------------------------------------------------

    def counted(self) -> Counter[str]:
        """Attempts that began since the last command line: path → number."""
        return Counter(self._counts.read_text().split())

    def client(self) -> Client:
        """A client of the home."""
        return Client(self.home, namespace=None)

    def runs(self) -> list[Run]:
        """Every run, the newest first."""
        return list(self.client().runs())

    def run(self, run: str) -> Run:
        """A run, as the client sees it now."""
        return self.client().run(run)

    def states(self, run: str) -> dict[str, str]:
        """Path → state."""
        return {task.path: str(task.state) for task in self.run(run).tasks()}

    def data(self, run: str) -> Any:
        """Artifacts of the end task."""
        return self.run(run).data
