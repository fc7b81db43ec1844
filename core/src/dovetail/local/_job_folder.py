"""The folder of a job: what it is, who supervises it, what became of each index. Outlives every process.

job.json            the job as data, without secrets; written before the folder has its name
owner               the supervisor, as a lease holder names itself; created once
events              one JSON line a change; only appended to
cancel              indexes that shall end, a line each; `*` for all
wake                a pipe with a name: something is to be read in `cancel`
<index>.stdout, <index>.stderr
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dovetail.interfaces.compute import JobState
from dovetail.interfaces.metadata import Holder
from dovetail.plugins.holder import current_holder, is_known_dead

__all__ = ["FINAL_STATES", "JobFolder", "JobRow", "poke"]

FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST})


class JobRow:
    """One change of one index."""

    __slots__ = ("code", "execution", "index", "platform_fault", "reason", "signal", "state", "time")

    def __init__(
        self,
        index: int,
        state: JobState,
        *,
        execution: str = "",
        reason: str = "",
        code: int | None = None,
        signal: int | None = None,
        platform_fault: bool = False,
        time: float = 0.0,
    ) -> None:
        self.index = index
        self.state = state
        self.execution = execution
        self.reason = reason
        self.code = code
        self.signal = signal
        self.platform_fault = platform_fault
        self.time = time

    def to_line(self) -> bytes:
        """As it stands in the file."""
        plain = {
            "index": self.index,
            "state": self.state.value,
            "execution": self.execution,
            "reason": self.reason,
            "code": self.code,
            "signal": self.signal,
            "platform_fault": self.platform_fault,
            "time": self.time or time.time(),
        }
        return json.dumps(plain).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> JobRow:
        """The inverse of `to_line`."""
        plain = json.loads(line)
        index, state = plain.pop("index"), JobState(plain.pop("state"))
        return cls(index, state, **plain)


class JobFolder:
    """One job on disk.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, job: Mapping[str, Any]) -> JobFolder:
        """Make the folder of a job; when it is there already, that one."""
        import tempfile

        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
            (made / "job.json").write_text(json.dumps(job), encoding="utf-8")
            if hasattr(os, "mkfifo"):
                os.mkfifo(made / "wake", 0o600)
            try:
                made.rename(path)
            except OSError:  # another one was first
                import shutil

                shutil.rmtree(made, ignore_errors=True)
                if not path.exists():
                    raise
        return cls(path)

    def job(self) -> dict[str, Any]:
        """The job as data."""
        found: dict[str, Any] = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        return found

    def take(self) -> bool:
        """Become the job's supervisor; False when it has, or had, one."""
        own = self.path / f".owner-{os.getpid()}"
        own.write_text(json.dumps(_holder_to_plain(current_holder())), encoding="utf-8")
        try:
            os.link(own, self.path / "owner")
        except FileExistsError:
            return False
        finally:
            own.unlink()
        return True

    def owner(self) -> Holder | None:
        """The supervisor; None before there is one."""
        try:
            return Holder(**json.loads((self.path / "owner").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def abandoned(self) -> bool:
        """Whether the supervisor is dead."""
        owner = self.owner()
        return owner is not None and is_known_dead(owner)

    def log(self, index: int, stream: str) -> Path:
        """The file that holds what an index wrote."""
        return self.path / f"{index}.{stream}"

    # -- events ---------------------------------------------------------------------------------------------------

    def append(self, rows: Iterable[JobRow]) -> None:
        """Add changes, and wake everyone who watches the group."""
        data = b"".join(row.to_line() for row in rows)
        descriptor = os.open(self.path / "events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        poke(self.path.parent / "watchers")

    def rows(self, start: int = 0, stop: int | None = None) -> tuple[list[JobRow], int]:
        """Changes behind a byte offset, up to another, and the offset behind them."""
        try:
            with open(self.path / "events", "rb") as file:
                file.seek(start)
                data = file.read() if stop is None else file.read(stop - start)
        except FileNotFoundError:
            return [], start
        end = data.rfind(b"\n") + 1
        return [JobRow.from_line(line) for line in data[:end].splitlines()], start + end

    def latest(self, stop: int | None = None) -> dict[int, JobRow]:
        """The last change of each index that had one, up to a byte offset."""
        found: dict[int, JobRow] = {}
        for row in self.rows(0, stop)[0]:
            before = found.get(row.index)
            if before is None or before.state not in FINAL_STATES:
                found[row.index] = row
        return found

    # -- cancelling -----------------------------------------------------------------------------------------------

    def cancel(self, indexes: Sequence[int] | None) -> None:
        """Ask for the end of some indexes, or all."""
        lines = "*\n" if indexes is None else "".join(f"{index}\n" for index in indexes)
        with open(self.path / "cancel", "a", encoding="ascii") as file:
            file.write(lines)
        _write_byte(self.path / "wake")

    def cancelled(self) -> Iterator[int | None]:
        """What was asked to end; None stands for all."""
        with suppress(FileNotFoundError), open(self.path / "cancel", encoding="ascii") as file:
            for line in file:
                yield None if line.strip() == "*" else int(line)


def poke(folder: Path) -> None:
    """Write a byte into every named pipe of a folder that someone reads."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if not _write_byte(folder / name):
            with suppress(OSError):
                (folder / name).unlink()  # its reader died


def _write_byte(pipe: Path) -> bool:
    """False when nobody reads."""
    if not hasattr(os, "mkfifo"):
        return True
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, b"\0")
    except BlockingIOError:
        return True  # it has not read the last ones yet
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _holder_to_plain(holder: Holder) -> dict[str, Any]:
    return {"host": holder.host, "boot": holder.boot, "pid": holder.pid, "started": holder.started}
