"""What the parts of the compute backend's suite share: fixtures, jobs, and one who follows them."""

from __future__ import annotations

import json
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dovetail.interfaces.compute import ComputeBackend, Job, JobEvent, JobHandle, JobState, JobWatch
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import DovetailError
from dovetail.testing.conformance.suite import Conformance

__all__ = ["FINAL", "ComputeSuite", "Follower", "as_json", "output", "readable"]

FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST})
_States = dict[tuple[str, int], JobEvent]


class ComputeSuite(Conformance):
    """Give a fixture `backend`: an open backend without jobs, another one for each test.

    Give `reopen` too, a function that returns another handle of the same backend, where there is such a thing.
    """

    interface: ClassVar[str] = "compute"
    python: ClassVar[tuple[str, ...]] = (sys.executable, "-S", "-E")
    """The Python that runs in jobs, with its options."""
    image: ClassVar[str | None] = None
    """The image that jobs run in, where the backend needs one."""
    patience: ClassVar[float] = 60.0
    """Seconds after which a job that should have done something is given up."""
    secret: ClassVar[tuple[SecretRef, str] | None] = None
    """A secret that the fixture's backend can resolve, and its value."""

    @pytest.fixture
    def backend(self) -> ComputeBackend:
        """To be overridden."""
        pytest.fail(f"{type(self).__qualname__} needs a fixture `backend` that returns an open compute backend")

    @pytest.fixture
    def reopen(self, backend: ComputeBackend) -> Callable[[], ComputeBackend]:
        """Opens further handles of `backend`; to be overridden."""
        pytest.skip("there is no fixture reopen")

    @pytest.fixture
    def shared_folder(self, tmp_path: Path) -> Path:
        """A folder that jobs see under the same path, the oracle of what they did; to be overridden where jobs run
        elsewhere (skip where there is none)."""
        return tmp_path

    @pytest.fixture
    def follow(self, backend: ComputeBackend) -> Iterator[Callable[..., Follower]]:
        """Begins to follow a group; what still runs in the end is cancelled."""
        opened: list[Follower] = []

        def begin(group: str = "run1", *, resume: Any = None, of: ComputeBackend | None = None) -> Follower:
            opened.append(Follower((of or backend).watch(group, resume=resume), self.patience))
            return opened[-1]

        yield begin
        for follower in opened:
            follower.watch.close()

    @pytest.fixture
    def submit(self, backend: ComputeBackend) -> Iterator[Callable[..., JobHandle]]:
        """Submits a job that runs Python code; what still runs in the end is cancelled."""
        submitted: list[JobHandle] = []

        def one(code: str = "pass", *, key: str = "k", group: str = "run1", **fields: Any) -> JobHandle:
            [handle] = backend.submit([self.job(code, key=key, group=group, **fields)])
            submitted.append(handle)
            return handle

        yield one
        for handle in submitted:
            with suppress(DovetailError):
                backend.cancel(handle)

    def job(self, code: str = "pass", *, key: str = "k", group: str = "run1", **fields: Any) -> Job:
        """A job that runs Python code."""
        return Job(key=key, group=group, argv=(*self.python, "-c", code), image=self.image, **fields)


class Follower:
    """Waits for what a watch tells."""

    def __init__(self, watch: JobWatch, patience: float) -> None:
        self.watch = watch
        self.events: list[JobEvent] = []
        self._patience = patience
        self._found: queue.SimpleQueue[list[JobEvent]] = queue.SimpleQueue()
        self.waits = False
        """Whether a `read` has not returned yet."""

    def until(self, what: str, done: Callable[[_States], bool]) -> _States:
        """The latest event of each index, once a condition holds."""
        deadline = time.monotonic() + self._patience
        while not done(latest := {(event.handle.key, event.index): event for event in self.events}):
            left = deadline - time.monotonic()
            told = [(event.handle.key, event.index, event.state.value) for event in self.events]
            assert left > 0, f"expected {what} within {self._patience:g} s, came {told}"
            fileno = self.watch.fileno()
            if fileno is None or readable(fileno, left):
                self.events += self.read(left)
        return latest

    def read(self, seconds: float) -> list[JobEvent]:
        """What the watch tells within some time, also where its `read` waits longer."""
        if not self.waits:
            self.waits = True
            threading.Thread(target=lambda: self._found.put(self.watch.read()), daemon=True).start()
        try:
            found = self._found.get(timeout=seconds)
        except queue.Empty:
            return []
        self.waits = False
        return found

    def states(self, key: str = "k", index: int = 0) -> list[JobState]:
        """What was told of an index, in order."""
        return [event.state for event in self.events if (event.handle.key, event.index) == (key, index)]

    def running(self, *indexes: int, key: str = "k") -> _States:
        """Wait until indexes run."""
        return self.until(
            f"{key} to run",
            lambda latest: all(
                (key, n) in latest and latest[key, n].state == JobState.RUNNING for n in indexes or (0,)
            ),
        )

    def finish(self, *handles: JobHandle) -> _States:
        """Wait until jobs are over."""
        wanted = [(handle.key, index) for handle in handles for index in range(handle.size)]
        names = ", ".join(handle.key for handle in handles)
        return self.until(
            f"{names} to end", lambda latest: all(key in latest and latest[key].state in FINAL for key in wanted)
        )


def output(backend: ComputeBackend, handle: JobHandle, index: int = 0, stream: str = "stdout") -> bytes:
    """All that an index has written to a stream so far."""
    return b"".join(chunk.data for chunk in backend.logs(handle, index) if chunk.stream == stream)


def as_json(handle: JobHandle) -> JobHandle:
    """A handle after a way through JSON."""
    return JobHandle(**json.loads(json.dumps(asdict(handle))))


def readable(fileno: int, seconds: float = 0.0) -> bool:
    """Whether a descriptor has something to read."""
    return bool(select.select([fileno], [], [], seconds)[0])
