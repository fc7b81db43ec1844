"""What the terminal shows while a run is driven from here."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from dovetail.cli.output import clean, human_duration, paint, shortened
from dovetail.engine.listener import RunListener
from dovetail.interfaces.paths import step_of
from dovetail.interfaces.states import RunState, TaskState

if TYPE_CHECKING:
    from typing import IO

    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.waits import Question
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import Output

__all__ = ["RunProgress"]

EACH_LIMIT = 20
"""Steps with more tasks are told as a count, not task by task."""
REASONS_EACH = 5
"""For how many tasks of a step it is told, one by one, why they run."""
COUNT_SECONDS = 2.0
"""Without a terminal, how often a wide step's count is printed."""

_MARKS = {
    TaskState.SUCCEEDED: ("✓", "green"),
    TaskState.CACHED: ("=", "cyan"),
    TaskState.FAILED: ("✗", "red"),
    TaskState.CANCELLED: ("-", "yellow"),
    TaskState.WAITING: ("↻", "yellow"),
}


class _Step:
    __slots__ = ("cached", "done", "expected", "failed", "known", "running", "told")

    def __init__(self) -> None:
        self.expected = self.running = self.done = self.failed = self.cached = self.known = 0
        self.told = 0.0


class RunProgress(RunListener):
    """Prints the tasks' output on stdout, and how the run goes on stderr.

    In a terminal the last line is live; elsewhere (a pipe, CI), and beside a debugger, only whole lines are written.
    Where nobody reads any more (`| head`, a closed terminal, a full disk), nothing is written, and the run goes on.

    Args:
        quiet: Print failures only.
        live: Whether the last line may be live.
        continues: What to say of a run that is taken over.
    """

    def __init__(self, *, quiet: bool = False, live: bool = True, continues: str = "continues as") -> None:
        self._quiet = quiet
        self._continues = continues
        self._live = live and not quiet and sys.stderr.isatty()
        self._steps: dict[str, _Step] = {}
        self._held_up: set[tuple[str, str]] = set()
        self._drawn = ""
        self._begun = time.monotonic()
        self._reasons: dict[tuple[str, str], int] = {}
        self._notes: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._partial: dict[tuple[str, str], bytes] = {}
        self._gone: list[IO[str]] = []
        self._asked: dict[str, Question] = {}
        self.run = ""

    # -- what happens ---------------------------------------------------------------------------------------------

    def run_started(self, manifest: RunManifest, *, continued: bool) -> None:
        self.run = manifest.run
        verb = self._continues if continued else f"resumes {manifest.origin} as" if manifest.origin else "runs as"
        self._say(f"{paint(manifest.flow, 'bold', stream=sys.stderr)} {verb} {manifest.run}")

    def expected(self, step: str, count: int) -> None:
        self._step(step).expected = count

    def task_began(self, path: str, attempt: int) -> None:
        self._step(step_of(path)).running += 1

    def task_ended(self, path: str, state: TaskState, attempt: int, error: ErrorReport | None, seconds: float) -> None:
        name = step_of(path)
        step = self._step(name)
        self._asked.pop(path, None)
        self._flush_partial(path)
        if state is not TaskState.CACHED:
            step.running = max(0, step.running - 1)
        if state is TaskState.FAILED:
            step.failed += 1
        elif state.committed:
            step.done += 1
            step.cached += state is TaskState.CACHED
        if state is TaskState.WAITING and error is not None and error.kind == "lost":
            self._lost[path] = self._lost.get(path, 0) + 1
            if self._lost[path] > 1:  # the same attempt again; counted at the end
                return
        each = max(step.expected, step.done + step.failed) <= EACH_LIMIT
        if error is not None or each:
            mark, colour = _MARKS[state]
            what = f" (attempt {attempt})" if attempt > 1 or state is TaskState.WAITING else ""
            caught = "caught " if error and state.committed else ""
            why = f"  {caught}{clean(str(error))}" if error else ""
            took = "reused" if state is TaskState.CACHED else human_duration(seconds) or ""
            shown = _shown(path, sys.stderr, beside=len(f"  {mark} {what}  {took}{why}"))
            self._say(f"  {paint(mark, colour, stream=sys.stderr)} {shown}{what}  {took}{why}")
        else:
            self._count(name, step)

    def asked(self, question: Question) -> None:
        self._asked[question.path] = question
        self._say(f"  {paint('?', 'yellow', stream=sys.stderr)} {self._question(question)}")

    def answered(self, path: str) -> None:
        self._asked.pop(path, None)

    def task_known(self, path: str) -> None:
        step = self._step(step_of(path))
        step.done += 1
        step.known += 1

    def held_up(self, path: str, limit: str) -> None:
        """Once for the tasks of a step."""
        said = (step_of(path), limit)
        if said not in self._held_up:
            self._held_up.add(said)
            self.note(
                f"{_shown(path, sys.stderr)} waits for limit {limit} (who holds it: dovetail limits show {limit})"
            )

    def not_reused(self, path: str, reason: str) -> None:
        key = (step_of(path), reason)
        count = self._reasons[key] = self._reasons.get(key, 0) + 1
        if count <= REASONS_EACH:
            self.note(f"{_shown(path, sys.stderr)} runs: {reason}")

    def output(self, output: Output) -> None:
        """Whole lines, each with the task that wrote it."""
        key = (output.path, output.stream)
        data = self._partial.pop(key, b"") + output.data
        *lines, rest = data.split(b"\n")
        if rest:
            self._partial[key] = rest
        if lines and not self._quiet:
            self._print(output.path, output.stream, lines)

    def note(self, message: str) -> None:
        """Said once; how often it came is said at the end."""
        count = self._notes[message] = self._notes.get(message, 0) + 1
        if count == 1:
            self._say(f"  {paint('·', 'dim', stream=sys.stderr)} {message}")

    def tick(self) -> None:
        self._draw()

    def run_ended(self, state: RunState, root_cause: tuple[str, ErrorReport] | None) -> None:
        for path, _ in list(self._partial):
            self._flush_partial(path)
        self._erase()
        for name, counted in self._steps.items():
            if not counted.expected and counted.done + counted.failed > EACH_LIMIT:
                self._say(f"  {self._summary(name, counted)}")
        for (step, reason), count in self._reasons.items():
            if count > REASONS_EACH:
                self.note(f"{count - REASONS_EACH} more of {step} ran: {reason}")
        for message, count in list(self._notes.items()):
            if count > 1:
                self.note(f"{count} times: {message}")
        again = {path: count for path, count in self._lost.items() if count > 1}
        if again:
            who = next(iter(again)) if len(again) == 1 else f"{len(again)} tasks"
            self.note(f"{who} began again {sum(again.values())} times, since the process was lost")
        took = human_duration(time.monotonic() - self._begun)
        cached = sum(step.cached for step in self._steps.values())
        done = sum(step.done for step in self._steps.values())
        tasks = "1 task" if done == 1 else f"{done} tasks"
        known = sum(step.known for step in self._steps.values())
        reused = f", {cached} of them reused" if cached else f", {known} of them done before" if known else ""
        colour = {RunState.SUCCEEDED: "green", RunState.PAUSED: "yellow"}.get(state, "red")
        self._say(f"run {self.run} {paint(str(state), colour, stream=sys.stderr)}: {tasks}{reused}, {took}")
        if root_cause is not None:
            self._say_why(*root_cause)
        if state is RunState.PAUSED:
            self._say_paused()
        elif state is not RunState.SUCCEEDED:
            path = root_cause[0] if root_cause else ""
            where = f"{self.run}/{path}" if path else self.run
            self._say(
                f"\n  look deeper:  dovetail logs {where}\n  go on:        dovetail resume {self.run}", always=True
            )

    def _say_paused(self) -> None:
        """How a run goes on that waits for somebody."""
        for question in self._asked.values():
            self._say(f"\n  it waits for {self._question(question)}", always=True)
        if not self._asked:
            self._say(f"\n  go on:  dovetail unpause {self.run}", always=True)

    def _question(self, question: Question) -> str:
        """A question, and the command that answers it."""
        from dovetail.client.signals import command_of, waiting_from

        alone = len({one.path for one in (*self._asked.values(), question)}) == 1
        command = command_of(self.run, waiting_from(question.path, question.to_plain()), alone=alone)
        text = f": {question.text}" if question.text else ""
        refused = f"\n    the answer before was refused: {question.refused}" if question.refused else ""
        return clean(f"{question.name}{text}{refused}\n    answer it:  {command}")

    # -- how it looks ---------------------------------------------------------------------------------------------

    def _say_why(self, path: str, error: ErrorReport) -> None:
        who = _shown(path, sys.stderr, beside=8) if path else "the run"
        self._say(f"\n{paint(who, 'bold', stream=sys.stderr)} failed:", always=True)
        text = error.traceback.rstrip() or str(error)
        self._say(clean("\n".join("  " + line for line in text.splitlines())), always=True)

    def _step(self, name: str) -> _Step:
        step = self._steps.get(name)
        if step is None:
            step = self._steps[name] = _Step()
        return step

    def _count(self, name: str, step: _Step) -> None:
        """Without a terminal: a wide step's count, now and then and at its end."""
        now = time.monotonic()
        whole = step.done + step.failed == step.expected
        if self._live or (not whole and now - step.told < COUNT_SECONDS):
            return
        if step.told == 0.0 and not whole:
            step.told = now
            return
        step.told = now
        self._say("  " + self._summary(name, step))

    @staticmethod
    def _summary(name: str, step: _Step) -> str:
        parts = [f"{name} {step.done}/{step.expected}" if step.expected else f"{name} {step.done}"]
        if step.running:
            parts.append(f"{step.running} running")
        if step.failed:
            parts.append(f"{step.failed} failed")
        if step.cached:
            parts.append(f"{step.cached} reused")
        return ", ".join(parts)

    def _print(self, path: str, stream: str, lines: list[bytes]) -> None:
        self._erase()
        target = sys.stdout if stream == "stdout" else sys.stderr
        prefix = paint(f"[{_shown(path, target)}] ", "dim", stream=target) if path else ""
        self._write(target, "".join(f"{prefix}{line.decode(errors='replace')}\n" for line in lines))
        self._draw()

    def _flush_partial(self, path: str) -> None:
        """Print what a task wrote last without ending the line."""
        for stream in ("stdout", "stderr"):
            rest = self._partial.pop((path, stream), None)
            if rest and not self._quiet:
                self._print(path, stream, [rest])

    def _say(self, line: str, *, always: bool = False) -> None:
        if self._quiet and not always:
            return
        self._erase()
        self._write(sys.stderr, line + "\n")

    def _write(self, target: IO[str], text: str) -> None:
        """Write at once; a stream that takes no more is left alone from then on."""
        if target in self._gone:
            return
        try:
            try:
                target.write(text)
            except UnicodeEncodeError as error:
                target.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            target.flush()
        except (OSError, ValueError) as error:
            self._give_up(target, error)

    def _give_up(self, target: IO[str], error: Exception) -> None:
        self._gone.append(target)
        self._live = self._live and target is not sys.stderr
        try:
            # What is left in the buffer would fail again when the interpreter ends.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, target.fileno())
            os.close(null)
        except (OSError, ValueError):
            pass
        if not isinstance(error, BrokenPipeError) and target is sys.stdout:
            self.note(f"stdout takes no more ({error}); the run goes on, and dovetail logs {self.run} has it all")

    def _draw(self) -> None:
        if not self._live:
            return
        active = [(name, step) for name, step in self._steps.items() if step.running or step.done < step.expected]
        text = "  " + " · ".join(self._summary(name, step) for name, step in active[:4]) if active else ""
        if text != self._drawn:
            self._erase()
            self._write(sys.stderr, text[: _columns() - 1])
            self._drawn = text

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = ""
            self._write(sys.stderr, "\r\x1b[2K")


def _shown(path: str, stream: IO[str], *, beside: int | None = None) -> str:
    """A path as a terminal shows it: with what stands beside it on one line, but never less than half of that."""
    try:
        if not stream.isatty():
            return path
    except ValueError:  # closed
        return path
    width = _columns()
    return shortened(path, width // 2 if beside is None else max(width // 2, width - beside))


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
