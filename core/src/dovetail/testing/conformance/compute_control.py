"""Compute backend: cancelling, logs, and going on from another handle."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.compute import ComputeBackend, ComputeCapability, JobHandle, JobState
from dovetail.interfaces.errors import NotFoundError, UnsupportedOperationError
from dovetail.interfaces.workers import Described, Failed, Launch
from dovetail.testing.conformance.abilities import facts_of, missing_methods, need, need_absence, refusal
from dovetail.testing.conformance.compute_suite import (
    FINAL,
    ComputeSuite,
    Follower,
    as_json,
    output,
    readable,
)
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.secrecy import shown_secrets
from dovetail.testing.conformance.suite import guards

__all__ = ["ComputeControl"]

_Submit = Callable[..., JobHandle]
_Follow = Callable[..., Follower]
_Reopen = Callable[[], ComputeBackend]
_WAIT = "import time; time.sleep(1000)"
_UNTIL = "import os, time\nwhile not os.path.exists({file!r}): time.sleep(0.01)"
_HEARTS = """
import subprocess, sys, time
beat = "import sys, time\\nwhile True:\\n open(sys.argv[1], 'a').write('x'); time.sleep(0.01)"
subprocess.Popen([sys.executable, "-S", "-E", "-c", beat, {file!r}])
time.sleep(1000)
"""
_SPEAK = """
import os
for n in range(3):
    os.write(1, b"out%d\\n" % n)
    os.write(2, b"err%d\\xff\\n" % n)
"""
_FLOW = """
from dovetail import FlowSpec, step


class Small(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def _still(file: Path, patience: float) -> bool:
    """Whether a file ends to grow."""
    deadline = time.monotonic() + min(patience, 20.0)
    while time.monotonic() < deadline:
        size = file.stat().st_size
        time.sleep(0.15)
        if file.stat().st_size == size:
            return True
    return False


class ComputeControl(ComputeSuite):
    """`cancel`, `logs`, abilities, `close`."""

    @guards("compute.cancel")
    def test_cancel_ends_all_that_was_started(
        self, backend: ComputeBackend, submit: _Submit, follow: _Follow, shared_folder: Path
    ) -> None:
        file = shared_folder / "hearts"
        handle = submit(_HEARTS.format(file=str(file)))
        follower = follow()
        follower.running()
        deadline = time.monotonic() + self.patience
        while not file.exists():
            assert time.monotonic() < deadline, "expected the job's own process to begin, came nothing"
            time.sleep(0.01)
        backend.cancel(handle)
        event = follower.finish(handle)["k", 0]
        assert event.state == JobState.CANCELLED, f"expected it to end as cancelled, came {event.state}"
        assert _still(file, self.patience), "expected what the job had started to end with it, it goes on"

    @guards("compute.cancel-is-idempotent")
    def test_cancel_may_be_called_again(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        handle, done = submit(_WAIT), submit(key="done")
        follower = follow()
        follower.finish(done)
        for _ in range(2):
            backend.cancel(done)
        for _ in range(2):
            backend.cancel(handle)
        follower.finish(handle)
        backend.cancel(handle, [0])
        late = follow()
        late.finish(handle, done)
        states = (late.states("k")[-1], late.states("done")[-1])
        assert states == (JobState.CANCELLED, JobState.SUCCEEDED), f"expected ends to stay as they are, came {states}"

    @guards("compute.cancel-some")
    def test_some_indexes_are_cancelled(
        self, backend: ComputeBackend, submit: _Submit, follow: _Follow, shared_folder: Path
    ) -> None:
        handle = submit(_UNTIL.format(file=str(shared_folder / "go")), size=2)
        follower = follow()
        follower.running(0, 1)
        backend.cancel(handle, [])
        backend.cancel(handle, [1])
        follower.until("index 1 to end", lambda latest: ("k", 1) in latest and latest["k", 1].state in FINAL)
        follower.finish(submit(key="later"))  # by then the end of index 0 would have been told, too
        states = (follower.states()[-1], follower.states(index=1)[-1])
        expected = (JobState.RUNNING, JobState.CANCELLED)
        assert states == expected, f"expected index 0 to run on and 1 to be cancelled, came {states}"
        (shared_folder / "go").touch()
        latest = follower.finish(handle)
        assert latest["k", 0].state == JobState.SUCCEEDED, (
            f"expected index 0 to end by itself, came {latest['k', 0].state}: {latest['k', 0].reason}"
        )

    @guards("compute.unknown-job")
    def test_an_unknown_job_is_told(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        known = submit()
        follow().finish(known)
        unknown = JobHandle(backend=known.backend, id=f"{known.id}-none", key="none", data=known.data)
        for name, call in (
            ("cancel", lambda: backend.cancel(unknown)),
            ("logs", lambda: list(backend.logs(unknown, 0))),
        ):
            error = error_of(call)
            assert isinstance(error, NotFoundError), f"expected NotFoundError of {name}, came {error!r}"

    @guards("compute.logs")
    def test_logs_are_what_was_written(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        handle, silent = submit(_SPEAK), submit(key="silent")
        follow().finish(handle, silent)
        chunks = list(backend.logs(handle, 0))
        for stream, expected in (("stdout", b"out0\nout1\nout2\n"), ("stderr", b"err0\xff\nerr1\xff\nerr2\xff\n")):
            pieces = [chunk for chunk in chunks if chunk.stream == stream]
            found = b"".join(chunk.data for chunk in pieces)
            assert found == expected, f"expected {expected!r} in {stream}, came {found!r}"
            place = 0
            for chunk in pieces:
                assert chunk.offset == place, f"expected a chunk of {stream} at {place}, came {chunk.offset}"
                place += len(chunk.data)
        assert list(backend.logs(silent, 0)) == [], "expected nothing of a job that wrote nothing"

    @guards("compute.logs-resume")
    def test_logs_go_on_behind_any_chunk(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        handle = submit(f"{_SPEAK}\nos.write(1, b'y' * (3 << 20))")
        follow().finish(handle)
        chunks = list(backend.logs(handle, 0))
        for n, chunk in enumerate(chunks):
            rest = list(backend.logs(handle, 0, after=chunk.cursor))
            for stream in ("stdout", "stderr"):
                expected = b"".join(one.data for one in chunks[n + 1 :] if one.stream == stream)
                found = b"".join(one.data for one in rest if one.stream == stream)
                is_same = found == expected  # apart: pytest would draw a difference of megabytes
                assert is_same, (
                    f"expected {len(expected)} bytes of {stream} behind chunk {n} of {len(chunks)}, came {len(found)}"
                )

    @guards("compute.live-logs", flag="LIVE_LOGS")
    def test_lines_are_there_while_a_job_runs(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        need(backend, ComputeCapability.LIVE_LOGS)
        handle = submit("import time; print('first', flush=True); time.sleep(1000)")
        follow().running()
        deadline = time.monotonic() + self.patience
        while not (found := output(backend, handle)):
            assert time.monotonic() < deadline, "expected a line while the job runs, came none"
            time.sleep(0.02)
        assert found == b"first\n", f"expected the line b'first\\n' while the job runs, came {found!r}"

    @guards("compute.reattach", flag="REATTACH")
    def test_another_handle_goes_on_with_a_job(
        self, backend: ComputeBackend, submit: _Submit, follow: _Follow, reopen: _Reopen
    ) -> None:
        need(backend, ComputeCapability.REATTACH)
        handle = as_json(submit("import time; print('here', flush=True); time.sleep(1000)"))
        follow().running()
        other = reopen()
        [again] = other.submit([self.job("raise SystemExit(9)")])
        assert again == handle, f"expected the handle {handle} of the same key, came {again}"
        other.cancel(handle)
        event = follow(of=other).finish(handle)["k", 0]
        assert event.state == JobState.CANCELLED, f"expected another handle to cancel the job, came {event.state}"
        found = output(other, handle)
        assert found in (b"here\n", b""), f"expected the job's output through another handle, came {found!r}"

    @guards("compute.reattach", flag="!REATTACH")
    def test_another_handle_is_refused(self, backend: ComputeBackend, submit: _Submit, reopen: _Reopen) -> None:
        need_absence(backend, ComputeCapability.REATTACH)
        handle = as_json(submit())
        other = reopen()
        error = error_of(lambda: list(other.logs(handle, 0)))
        assert isinstance(error, (UnsupportedOperationError, NotFoundError)), (
            f"expected UnsupportedOperationError or NotFoundError without REATTACH, came {error!r}"
        )

    @guards("compute.direct", flag="DIRECT")
    def test_direct_workers_describe_a_flow(self, backend: Any, tmp_path: Path) -> None:
        need(backend, ComputeCapability.DIRECT)
        missing = missing_methods(backend, "compute")
        assert not missing, f"expected a method for each declared ability, came none for {', '.join(missing)}"
        file = tmp_path / "small.py"
        file.write_text(_FLOW, encoding="utf-8")
        group = backend.open_group(Launch(file=str(file), python=(sys.executable,), cwd=str(tmp_path)))
        try:
            deadline = time.monotonic() + self.patience
            events: list[Any] = []
            while not any(isinstance(event, (Described, Failed)) for event in events):
                assert time.monotonic() < deadline, f"expected a description of the flow, came {events}"
                readable(group.fileno(), 0.1)
                events += group.read()
        finally:
            group.close()
            group.close()
        [told] = [event for event in events if isinstance(event, (Described, Failed))]
        assert isinstance(told, Described), f"expected a description of the flow, came {told}"
        assert told.flow.name == "Small", f"expected the flow Small to be described, came {told.flow.name}"

    @guards("compute.direct", flag="!DIRECT")
    def test_direct_workers_are_refused(self, backend: ComputeBackend, tmp_path: Path) -> None:
        need_absence(backend, ComputeCapability.DIRECT)
        launch = Launch(file=str(tmp_path / "none.py"), python=(sys.executable,), cwd=os.fspath(tmp_path))
        works = refusal(backend, "compute", "DIRECT", {"open_group": ((launch,), {})})
        assert not works, f"expected UnsupportedOperationError or no method without DIRECT, came {', '.join(works)}"

    @guards("compute.close")
    def test_close_leaves_jobs_alone(self, backend: ComputeBackend, follow: _Follow, reopen: _Reopen) -> None:
        other = reopen()
        if ComputeCapability.REATTACH not in backend.capabilities:
            other.close()
            other.close()
            return
        [handle] = other.submit([self.job("import time; time.sleep(0.2); print('done')")])
        other.close()
        other.close()
        event = follow().finish(handle)["k", 0]
        assert event.state == JobState.SUCCEEDED, f"expected the job to run on after close, came {event.state}"

    @guards("compute.hides-secrets")
    def test_no_secret_is_shown(
        self, request: pytest.FixtureRequest, backend: ComputeBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.note(request, **facts_of(backend))
        secrets = [*self.secrets, *([self.secret[1]] if self.secret else [])]
        if not secrets:
            pytest.skip("the suite names no secrets")
        handle = JobHandle(backend="none", id="none/none", key="none")
        errors = [error_of(lambda: backend.cancel(handle))]
        places = {"repr": repr(backend), "errors": repr(errors), "log": caplog.text}
        shown = shown_secrets(secrets, places)
        assert not shown, f"expected no secret to be shown, came one in the {', '.join(shown)}"

    @guards("compute.model")
    def test_any_sequence_of_calls(self, backend: ComputeBackend) -> None:
        from dovetail.testing.conformance.compute_model import compute_machine
        from dovetail.testing.conformance.effort import run_machine

        run_machine(compute_machine(backend, self), effort=self.effort, examples=8, steps=12)
