"""Stands by the indexes of one job: starts them, ends them, notes what becomes of them. A process of its own.

It outlives whoever submitted the job. The indexes die with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from dovetail.interfaces.compute import JobState
from dovetail.local._job_folder import JobFolder, JobRow
from dovetail.local._proc import start_time
from dovetail.worker.lifeline import bind, open_end

__all__ = ["ENTRY", "main"]

ENTRY: Final = "from dovetail.local.job_supervisor import main; main()"
"""What the interpreter runs; the job's folder is its argument."""
GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_POLL_SECONDS = 0.2  # where no signal tells of an ended child


class _Running:
    """An index that runs."""

    def __init__(self, process: subprocess.Popen[bytes], execution: str, deadline: float | None) -> None:
        self.process = process
        self.execution = execution
        self.deadline = deadline
        self.kill_at: float | None = None
        self.why: JobRow | None = None
        """What is noted when it ends because it was told to."""


class Supervisor:
    """The loop.

    Args:
        folder: The job; taken already.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._job = folder.job()
        self._env = {**os.environ, **self._job["env"]}
        self._waiting = deque(range(self._job["size"]))
        self._running: dict[int, _Running] = {}
        self._wake = _Wake(folder.path / "wake")
        self._life_read, self._life_write = os.pipe()

    def run(self) -> None:
        """Until every index has ended."""
        while self._waiting or self._running:
            self._obey()
            while self._waiting and len(self._running) < self._job["parallel"]:
                self._start(self._waiting.popleft())
            self._enforce()
            self._collect()
            if self._running:
                self._wake.wait(self._next_deadline())
                self._collect()

    def _start(self, index: int) -> None:
        folder = self._folder
        own = open_end(self._life_read) if os.name == "posix" else None
        try:
            process = self._launch(index, own)
            if own is not None:
                bind(own, process.pid)
        except OSError as error:
            folder.append([JobRow(index, JobState.FAILED, reason=f"can't be started: {error}")])
            return
        finally:
            if own is not None:
                os.close(own)
        execution = f"{process.pid}-{start_time(process.pid)}"
        timeout = self._job["timeout"]
        deadline = None if timeout is None else time.monotonic() + timeout
        self._running[index] = _Running(process, execution, deadline)
        folder.append([JobRow(index, JobState.RUNNING, execution=execution)])

    def _launch(self, index: int, tie: int | None) -> subprocess.Popen[bytes]:
        """Start an index; it holds its tie to this process as long as it runs."""
        out, err = self._folder.log(index, "stdout"), self._folder.log(index, "stderr")
        with out.open("ab") as stdout, err.open("ab") as stderr:
            return subprocess.Popen(
                self._job["argv"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self._job["cwd"],
                env={**self._env, "DOVETAIL_JOB_INDEX": str(index)},
                start_new_session=os.name == "posix",
                pass_fds=() if tie is None else (tie,),
            )

    def _obey(self) -> None:
        """Do what the cancel file says."""
        for wanted in set(self._folder.cancelled()):
            for index in list(self._waiting) if wanted is None else [wanted]:
                if index in self._waiting:
                    self._waiting.remove(index)
                    self._folder.append([JobRow(index, JobState.CANCELLED, reason="cancelled before it began")])
            for index in list(self._running) if wanted is None else [wanted]:
                running = self._running.get(index)
                if running is not None and running.why is None:
                    self._end(running, JobRow(index, JobState.CANCELLED, reason="cancelled"))

    def _enforce(self) -> None:
        now = time.monotonic()
        for index, running in self._running.items():
            if running.deadline is not None and running.deadline <= now and running.why is None:
                reason = f"timed out after {self._job['timeout']:g} s"
                self._end(running, JobRow(index, JobState.FAILED, reason=reason))
            if running.kill_at is not None and running.kill_at <= now:
                running.kill_at = None
                _signal_group(running.process, "SIGKILL")

    def _end(self, running: _Running, why: JobRow) -> None:
        running.why = why
        running.kill_at = time.monotonic() + GRACE
        _signal_group(running.process, "SIGTERM")

    def _collect(self) -> None:
        rows = []
        for index, running in list(self._running.items()):
            if _has_ended(running.process):
                _signal_group(running.process, "SIGKILL")  # what it left in its group
                code = running.process.wait()
                del self._running[index]
                rows.append(_final_row(index, running, code))
        if rows:
            self._folder.append(rows)

    def _next_deadline(self) -> float | None:
        times = [r.kill_at for r in self._running.values() if r.kill_at is not None]
        times += [r.deadline for r in self._running.values() if r.deadline is not None and r.why is None]
        return max(0.0, min(times) - time.monotonic()) if times else None


class _Wake:
    """Waits for an ended child or a word in the job's pipe."""

    def __init__(self, pipe: Path) -> None:
        self._fifo: int | None = None
        if os.name != "posix":
            return
        self._fifo = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait(self, seconds: float | None) -> None:
        """Block until something may have happened."""
        if self._fifo is None:
            time.sleep(_POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS))
            return
        import select

        for descriptor in select.select([self._fifo, self._read], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                os.read(descriptor, 4096)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without reaping it where that can be had: its id stays its own."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _final_row(index: int, running: _Running, code: int) -> JobRow:
    row = running.why
    if row is None:
        if code == 0:
            row = JobRow(index, JobState.SUCCEEDED)
        elif code > 0:
            row = JobRow(index, JobState.FAILED, reason=f"exit code {code}")
        else:
            name = _signal_name(-code)
            reason = f"killed by {name}" + (", possibly out of memory" if name == "SIGKILL" else "")
            row = JobRow(index, JobState.FAILED, reason=reason)
    row.execution = running.execution
    row.code, row.signal = (code, None) if code >= 0 else (None, -code)
    return row


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    if os.name != "posix":
        with suppress(OSError):
            process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))


def main() -> None:
    """Supervise the job whose folder is the argument."""
    folder = JobFolder(Path(sys.argv[1]))
    if folder.take():
        Supervisor(folder).run()
