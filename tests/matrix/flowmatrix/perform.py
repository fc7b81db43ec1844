"""Runs generated flows with the real command line, and keeps what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flowmatrix.oracle import Expected, interpret

if TYPE_CHECKING:
    from flowmatrix.generate import Case

__all__ = ["CONTEXTS", "Bench", "Context", "Outcome", "Performed", "chains"]


@dataclass(frozen=True)
class Context:
    """How the tasks of a run are executed."""

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


CONTEXTS: Mapping[str, Context] = {
    context.name: context
    for context in (
        Context("fork"),
        Context("portable", env={"DOVETAIL_FORCE_SPAWN": "1"}),  # what macOS and Windows do
        Context("spawn", arguments=("--with", "isolation:kind=spawn")),
        Context("thread", arguments=("--with", "isolation:kind=thread")),
        Context("inline", arguments=("--with", "isolation:kind=inline")),
        Context("reuse", arguments=("--with", "isolation:reuse=auto")),
        Context("reuse_2", arguments=("--with", "isolation:reuse=2")),
    )
}
"""Name → context."""


@dataclass
class Performed:
    """A command that drove a run."""

    run: str
    """Its id."""
    code: int
    """Exit code."""
    output: str
    """Both streams, for the message of a test that fails."""
    attempts: list[tuple[str, int]]
    """Every attempt whose code began: path and retry count."""


@dataclass
class Outcome:
    """What came of a case."""

    case: Case
    home: Path
    expected: Expected
    runs: list[Performed]
    """The run; after a failure also those that resumed it, each until it was told to fail once more."""
    told: list[str]
    """Paths of the tasks that were told to misbehave, in the order of the runs."""
    said: dict[tuple[str, ...], str]
    """Verb and options → what the command line wrote of the last run."""


class Bench:
    """Performs cases in one home.

    Args:
        folder: For flow files, traces and the home.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "home"

    def perform(self, case: Case, context: Context) -> Outcome:
        """Run a case, ask the command line about it, and work out what was to be expected."""
        expected = interpret(case)
        told = _told(case, case.at, expected) if case.at else ""
        if told:
            expected = interpret(case, told=told)
        folder = self._write(case, context)
        run = self._drive(folder, _first(case), context, (told and {f"MATRIX_{case.body.ask}": told}) or {})
        return Outcome(case, self.home, expected, [run], [told] if told else [], self._question(folder, case, run))

    def perform_resumes(self, chain: Sequence[Sequence[Case]], context: Context) -> Outcome:
        """Run a flow that fails, resume it to fail at a later task, and so on until it succeeds.

        Args:
            chain: Cases of one shape, as `chains` puts them together.
            context: How.
        """
        case = chain[0][0]
        expected = interpret(case)
        told = [_told(case, link[0].at, expected) for link in chain]
        folder = self._write(case, context)
        runs = [self._drive(folder, _first(case), context, {"MATRIX_FAIL": told[0]})]
        for path in [*told[1:], ""]:
            runs.append(self._drive(folder, ["resume", runs[-1].run], context, {"MATRIX_FAIL": path}))
        return Outcome(case, self.home, expected, runs, told, self._question(folder, case, runs[-1]))

    def _write(self, case: Case, context: Context) -> Path:
        folder = self._folder / f"{case.name}-{context.name}"
        folder.mkdir()
        (folder / "flow.py").write_text(case.source())
        return folder

    def _question(self, folder: Path, case: Case, performed: Performed) -> dict[tuple[str, ...], str]:
        """What the command line says of a run."""
        questions: list[tuple[str, ...]] = [("show", "--tree", "--json")]
        if case.body.logs:
            questions.append(("logs", "--json"))
        if case.body.name == "artifacts":
            questions.append(("artifacts", "--json", "--limit", "0"))
        return {words: self._ask(folder, [*words, performed.run]) for words in questions}

    def _drive(self, folder: Path, words: list[str], context: Context, asked: Mapping[str, str]) -> Performed:
        number = len(list(folder.glob("*.trace")))
        id_file, trace = folder / f"{number}.id", folder / f"{number}.trace"
        trace.touch()
        words = [*words, *context.arguments, "--run-id-file", str(id_file)]
        done = self._command(folder, words, {**context.env, **asked, "MATRIX_TRACE": str(trace)})
        run = id_file.read_text().strip() if id_file.exists() else ""
        attempts = [(path, int(count)) for path, count in map(str.split, trace.read_text().splitlines())]
        return Performed(run, done.returncode, done.stdout + done.stderr, attempts)

    def _ask(self, folder: Path, words: list[str]) -> str:
        done = self._command(folder, words, {})
        return done.stdout if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr}"

    def _command(self, folder: Path, words: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dovetail", *words],
            cwd=folder,
            env={**os.environ, "DOVETAIL_HOME": str(self.home), "DOVETAIL_USER": "ada", **env},
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )


def chains(cases: Iterable[Case]) -> list[list[list[Case]]]:
    """Cases of one shape that resume, put together: in a chain each task that fails follows from the one before.

    A task beside the one that failed may have been done before the run ended; only what follows is sure to be open.
    A link of a chain holds the cases that tell the same task.
    """
    told: dict[str, list[Case]] = {}
    expected: Expected | None = None
    for case in cases:
        expected = expected or interpret(case)
        told.setdefault(_told(case, case.at, expected), []).append(case)
    if expected is None:
        return []
    found: list[list[str]] = []
    for path in [path for path in expected.tasks if path in told]:
        for chain in found:
            if chain[-1] in _ancestors(expected, path):
                chain.append(path)
                break
        else:
            found.append([path])
    return [[told[path] for path in chain] for chain in found]


def _ancestors(expected: Expected, path: str) -> set[str]:
    found: set[str] = set()
    pending = list(expected.tasks[path].parents)
    while pending:
        before = pending.pop()
        if before not in found:
            found.add(before)
            pending += expected.tasks[before].parents
    return found


def _told(case: Case, at: str, expected: Expected) -> str:
    """The last task of the step that is told to misbehave."""
    node = case.body.told(case.graph, at)
    assert node is not None
    return [task.path for task in expected.tasks.values() if task.step == node.name][-1]


def _first(case: Case) -> list[str]:
    return ["run", "flow.py", *case.body.arguments, *(word for tag in case.body.tags for word in ("--tag", tag))]
