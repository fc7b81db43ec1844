"""Compute backend: validating, submitting, and how jobs end."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.compute import ComputeBackend, ComputeCapability, Job, JobHandle, JobState
from dovetail.interfaces.tasks import Resources
from dovetail.testing.conformance.abilities import need, need_absence
from dovetail.testing.conformance.compute_suite import ComputeSuite, Follower, as_json, output
from dovetail.testing.conformance.races import race
from dovetail.testing.conformance.suite import guards

__all__ = ["ComputeJobs"]

_Submit = Callable[..., JobHandle]
_Follow = Callable[..., Follower]
_ODD = ("two words", "$HOME `id` *", "é\"'\\", "", "--flag")
_TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['GIVEN'], os.environ['DOVETAIL_JOB_INDEX']]))"


def _mark(file: Path) -> str:
    """Code that leaves a byte in a file."""
    return f"import os; os.write(os.open({str(file)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), b'x')"


class ComputeJobs(ComputeSuite):
    """`validate`, `submit`, ends."""

    @guards("compute.validate")
    def test_validate_tells_all_at_once(self, backend: ComputeBackend, shared_folder: Path) -> None:
        mark = shared_folder / "ran"
        fine = self.job(_mark(mark))
        problems = backend.validate(fine)
        assert problems == [], f"expected no problems of a job that can run, came {[str(one) for one in problems]}"
        wrong = backend.validate(Job(key="bad", group="run1", argv=(), size=0, image=self.image))
        assert len(wrong) >= 2, f"expected problems of no program and of no index, came {[str(one) for one in wrong]}"
        bare = [problem for problem in wrong if not (problem.code and problem.message)]
        assert not bare, f"expected a code and a message of each problem, came {bare}"
        assert len({problem.code for problem in wrong}) == len(wrong), "expected each problem once, came one twice"
        assert not mark.exists(), "expected validate to submit nothing, but the job has run"

    @guards("compute.submit")
    def test_submit_gives_a_handle_for_each_job(self, backend: ComputeBackend, follow: _Follow) -> None:
        jobs = [self.job(key=f"k{n}", size=1 + n % 2) for n in range(3)]
        handles = backend.submit(jobs)
        told = [(handle.key, handle.size) for handle in handles]
        expected = [(job.key, job.size) for job in jobs]
        assert told == expected, f"expected handles of (key, size) {expected}, came {told}"
        assert len({handle.id for handle in handles}) == 3, f"expected another id for each job, came {handles}"
        assert backend.submit([]) == [], "expected no handles of no jobs"
        latest = follow().finish(*handles)
        assert len(latest) == 4, f"expected four indexes to end, came {len(latest)}"

    @guards("compute.submit-is-idempotent")
    def test_a_key_is_submitted_once(
        self, backend: ComputeBackend, submit: _Submit, follow: _Follow, shared_folder: Path
    ) -> None:
        mark = shared_folder / "ran"
        first = submit(_mark(mark))
        second = submit(_mark(mark))
        assert second == first, f"expected the handle {first} for the same key, came {second}"
        race([partial(backend.submit, [self.job(_mark(mark), key="other")]) for _ in range(4)])
        follower = follow()
        other = submit(_mark(mark), key="other")
        follower.finish(first, other)
        third = submit(_mark(mark))
        assert third == first, f"expected the handle {first} when the job has ended, came {third}"
        later = submit(key="later")
        follower.finish(later)
        ran = len(mark.read_bytes())
        assert ran == 2, f"expected two keys to run once each, came {ran} runs"

    @guards("compute.job-is-run-as-given")
    def test_a_job_runs_as_it_is_given(self, backend: ComputeBackend, follow: _Follow) -> None:
        job = Job(
            key="k",
            group="run1",
            argv=(*self.python, "-c", _TELL, *_ODD),
            env={"GIVEN": "größe $x 'y'", "PYTHONIOENCODING": "utf-8"},
            image=self.image,
            labels={"flow": "Train", "step": "start"},
        )
        [handle] = backend.submit([job])
        event = follow().finish(handle)["k", 0]
        assert event.state == JobState.SUCCEEDED, f"expected the job to succeed, came {event.state}: {event.reason}"
        found = json.loads(output(backend, handle) or b"null")
        expected = [list(_ODD), "größe $x 'y'", "0"]
        assert found == expected, f"expected arguments, env and index {expected}, came {found}"

    @guards("compute.array")
    def test_every_index_runs_once(
        self, backend: ComputeBackend, submit: _Submit, follow: _Follow, shared_folder: Path
    ) -> None:
        code = (
            "import os; n = os.environ['DOVETAIL_JOB_INDEX']; print(n);"
            f"open({str(shared_folder)!r} + '/ran' + n, 'a').write('x')"
        )
        handle = submit(code, size=3)
        latest = follow().finish(handle)
        assert set(latest) == {("k", n) for n in range(3)}, f"expected the indexes 0, 1, 2, came {sorted(latest)}"
        for n in range(3):
            found = output(backend, handle, n)
            assert found.split() == [b"%d" % n], f"expected index {n} to print its number, came {found!r}"
            ran = (shared_folder / f"ran{n}").read_text()
            assert ran == "x", f"expected index {n} to run once, came {len(ran)} runs"

    @guards("compute.secret-env")
    def test_secrets_reach_the_job_alone(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        if self.secret is None:
            pytest.skip("the suite names no secret")
        ref, value = self.secret
        code = "import os, hashlib; print(hashlib.sha256(os.environ['TOKEN'].encode()).hexdigest())"
        handle = submit(code, secret_env={"TOKEN": ref})
        follower = follow()
        follower.finish(handle)
        import hashlib

        found = output(backend, handle).strip().decode()
        assert found == hashlib.sha256(value.encode()).hexdigest(), (
            "expected the secret's value in the job, came another"
        )
        shown = [name for name, text in (("handle", repr(handle)), ("events", repr(follower.events))) if value in text]
        assert not shown, f"expected the value of a secret nowhere, came one in the {', '.join(shown)}"
        assert value not in repr(follower.watch.state()), "expected no secret in the state of a watch"

    @guards("compute.ends-are-told")
    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_the_exit_code_is_told(self, submit: _Submit, follow: _Follow, code: int) -> None:
        handle = submit(f"import sys; sys.exit({code})")
        event = follow().finish(handle)["k", 0]
        expected = JobState.FAILED if code else JobState.SUCCEEDED
        assert (event.state, event.exit_code) == (expected, code), (
            f"expected {expected} with exit code {code}, came {event.state} with {event.exit_code}"
        )
        assert bool(event.reason) or not code, "expected a reason of the failure, came none"
        assert event.execution_id, "expected an id of the execution, came none"

    @guards("compute.user-faults")
    def test_a_fault_of_the_program_is_its_own(self, submit: _Submit, follow: _Follow) -> None:
        failed = submit("import sys; sys.exit(3)", key="failed")
        killed = submit("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", key="killed")
        latest = follow().finish(failed, killed)
        for key in ("failed", "killed"):
            event = latest[key, 0]
            assert (event.state, event.platform_fault) == (JobState.FAILED, False), (
                f"expected {key} to be its own fault, came {event.state}, platform_fault={event.platform_fault}"
            )

    @guards("compute.never-retries")
    def test_a_failed_job_runs_once(self, submit: _Submit, follow: _Follow, shared_folder: Path) -> None:
        mark = shared_folder / "ran"
        handle = submit(f"{_mark(mark)}; raise SystemExit(1)")
        follower = follow()
        follower.finish(handle)
        follower.finish(submit(key="later"))
        ran = len(mark.read_bytes())
        assert ran == 1, f"expected a job that fails to run once, came {ran} runs"
        executions = {
            event.execution_id for event in follower.events if event.handle.key == handle.key and event.execution_id
        }
        assert len(executions) == 1, f"expected one execution, came {executions}"

    @guards("compute.timeout")
    def test_a_job_is_ended_after_its_timeout(self, submit: _Submit, follow: _Follow) -> None:
        handle = submit("import time; time.sleep(1000)", timeout=0.2)
        event = follow().finish(handle)["k", 0]
        assert event.state == JobState.FAILED, f"expected it to be ended as failed, came {event.state}"
        assert event.reason, "expected a reason, came none"
        assert not event.platform_fault, "expected it to be no fault of the platform"

    @guards("compute.handle-is-json")
    def test_a_handle_survives_json(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        handle = submit("print('here')")
        again = as_json(handle)
        assert again == handle, f"expected {handle} after a way through JSON, came {again}"
        event = follow().finish(again)["k", 0]
        assert event.handle == handle, f"expected events to name the handle {handle}, came {event.handle}"
        found = output(backend, again)
        assert found.strip() == b"here", f"expected the job's output by a handle from JSON, came {found!r}"
        runs = as_json(submit("import time; time.sleep(1000)", key="runs"))
        backend.cancel(runs)
        event = follow().finish(runs)["runs", 0]
        assert event.state == JobState.CANCELLED, f"expected a handle from JSON to cancel its job, came {event.state}"

    @guards("compute.gpu", flag="GPU")
    def test_a_gpu_may_be_asked_for(self, backend: ComputeBackend) -> None:
        need(backend, ComputeCapability.GPU)
        problems = backend.validate(self.job(resources=Resources(gpu=1)))
        assert problems == [], (
            f"expected no problem of a job that asks for a GPU, came {[str(one) for one in problems]}"
        )

    @guards("compute.gpu", flag="!GPU")
    def test_a_gpu_is_refused_where_there_is_none(self, backend: ComputeBackend) -> None:
        need_absence(backend, ComputeCapability.GPU)
        problems: list[Any] = backend.validate(self.job(resources=Resources(gpu=1)))
        assert problems, "expected a problem of a job that asks for a GPU, came none"

    @guards("compute.thread-safe")
    def test_threads_share_a_handle(self, backend: ComputeBackend, follow: _Follow) -> None:
        def work(n: int) -> JobHandle:
            [handle] = backend.submit([self.job(f"print({n})", key=f"k{n}")])
            return handle

        handles = race([partial(work, n) for n in range(4)])
        odd = [outcome for outcome in handles if not isinstance(outcome, JobHandle)]
        assert not odd, f"expected a handle for each thread, came {odd[0]!r}"
        follow().finish(*handles)
        found = [output(backend, handle).strip() for handle in handles]
        assert found == [b"0", b"1", b"2", b"3"], f"expected each thread's own job, came the outputs {found}"
