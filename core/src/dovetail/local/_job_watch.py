"""Follows the jobs of a group through their folders; woken by a named pipe, never polling where there is one."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.compute import JobEvent, JobHandle, JobState, JobWatch
from dovetail.local._job_folder import FINAL_STATES, JobFolder, JobRow
from dovetail.local._proc import has_pidfds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LocalJobWatch", "handle_of"]

_POLL_SECONDS = 0.2


def handle_of(folder: JobFolder, instance: str) -> JobHandle:
    """The handle of the job that a folder holds."""
    job = folder.job()
    return JobHandle(
        backend=instance,
        id=f"{folder.path.parent.name}/{folder.path.name}",
        key=job["key"],
        size=job["size"],
    )


class _Followed:
    """A job that is followed."""

    def __init__(self, folder: JobFolder, handle: JobHandle, offset: int) -> None:
        self.folder = folder
        self.handle = handle
        self.offset = offset
        self.states: dict[int, JobState] = {}
        self.executions: dict[int, str] = {}
        self.pidfd = -1

    @property
    def is_over(self) -> bool:
        return len(self.states) == self.handle.size and all(state in FINAL_STATES for state in self.states.values())


class LocalJobWatch(JobWatch):
    """See the module.

    Args:
        group: Folder of the group.
        instance: Name of the compute instance.
        resume: A former watch's `state()`.
    """

    def __init__(self, group: Path, instance: str, resume: Mapping[str, Any] | None) -> None:
        self._group = group
        self._instance = instance
        self._offsets = dict(resume or {})
        self._jobs: dict[str, _Followed] = {}
        self._closed = threading.Event()
        self._epoll: Any = None
        self._fifo = -1
        self._pipe = group / "watchers" / f"{os.getpid()}-{os.urandom(6).hex()}"
        if hasattr(select, "epoll") and has_pidfds():
            self._pipe.parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(self._pipe, 0o600)
            self._fifo = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self._fifo, b"\0")  # the first read tells the present state
            self._epoll = select.epoll()
            self._epoll.register(self._fifo, select.EPOLLIN)

    def fileno(self) -> int | None:
        return None if self._epoll is None else int(self._epoll.fileno())

    def read(self) -> list[JobEvent]:
        if self._epoll is not None:
            with suppress(BlockingIOError):
                while os.read(self._fifo, 4096):
                    pass
            return self._look()
        while not self._closed.is_set():
            events = self._look()
            if events:
                return events
            time.sleep(_POLL_SECONDS)
        return []

    def state(self) -> Any:
        return {**self._offsets, **{name: followed.offset for name, followed in self._jobs.items()}}

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if self._epoll is not None:
            for followed in self._jobs.values():
                self._forget_supervisor(followed)
            self._epoll.close()
            os.close(self._fifo)
            self._pipe.unlink(missing_ok=True)

    def _look(self) -> list[JobEvent]:
        events: list[JobEvent] = []
        for name in self._names():
            followed = self._jobs.get(name)
            if followed is None:
                folder = JobFolder(self._group / name)
                followed = _Followed(folder, handle_of(folder, self._instance), int(self._offsets.get(name, 0)))
                if followed.offset:
                    for index, row in folder.latest(followed.offset).items():  # what was told
                        followed.states[index] = row.state
                        followed.executions[index] = row.execution
                self._jobs[name] = followed
                events += self._present(followed)
            elif not followed.is_over:
                events += self._changes(followed)
            self._watch_supervisor(followed)
        return events

    def _names(self) -> list[str]:
        try:
            found = [entry.name for entry in os.scandir(self._group) if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name != "watchers" and not name.startswith("."))

    def _present(self, followed: _Followed) -> list[JobEvent]:
        """What a job is when it is first seen: of each index the latest only."""
        first = followed.offset == 0
        changes = self._changes(followed)
        latest = {event.index: event for event in changes}
        events = [latest[index] for index in sorted(latest)]
        if first:
            events += [
                self._event(followed, JobRow(index, JobState.PENDING))
                for index in range(followed.handle.size)
                if index not in latest
            ]
        return events

    def _changes(self, followed: _Followed) -> list[JobEvent]:
        was_abandoned = followed.folder.abandoned()  # asked first: what it wrote before it died is read below
        rows, followed.offset = followed.folder.rows(followed.offset)
        events = []
        for row in rows:
            if followed.states.get(row.index) not in FINAL_STATES:
                followed.states[row.index] = row.state
                followed.executions[row.index] = row.execution
                events.append(self._event(followed, row))
        if was_abandoned and not rows and not followed.is_over:
            self._note_lost(followed)
            return events + self._changes(followed)
        return events

    def _note_lost(self, followed: _Followed) -> None:
        over = [index for index, state in followed.states.items() if state in FINAL_STATES]
        reason = "the process that supervised the job died"
        followed.folder.append(
            JobRow(
                index,
                JobState.LOST,
                execution=followed.executions.get(index, ""),
                reason=reason,
                platform_fault=True,
            )
            for index in range(followed.handle.size)
            if index not in over
        )

    def _event(self, followed: _Followed, row: JobRow) -> JobEvent:
        return JobEvent(
            handle=followed.handle,
            index=row.index,
            execution_id=row.execution,
            state=row.state,
            reason=row.reason,
            exit_code=row.code,
            signal=row.signal,
            platform_fault=row.platform_fault,
        )

    def _watch_supervisor(self, followed: _Followed) -> None:
        """Wake up when a supervisor ends, however it does."""
        if self._epoll is None:
            return
        if followed.is_over:
            self._forget_supervisor(followed)
        elif followed.pidfd < 0:
            owner = followed.folder.owner()
            if owner is None:
                return
            try:
                followed.pidfd = os.pidfd_open(owner.pid)
            except OSError:  # it is gone; the next look finds out
                with suppress(BlockingIOError):
                    os.write(self._fifo, b"\0")
                return
            self._epoll.register(followed.pidfd, select.EPOLLIN | select.EPOLLONESHOT)
            if followed.folder.abandoned():
                with suppress(BlockingIOError):
                    os.write(self._fifo, b"\0")

    def _forget_supervisor(self, followed: _Followed) -> None:
        if followed.pidfd >= 0:
            with suppress(OSError):
                self._epoll.unregister(followed.pidfd)
            os.close(followed.pidfd)
            followed.pidfd = -1
