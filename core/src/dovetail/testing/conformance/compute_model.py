"""Any sequence of submits, cancels and watches: each index comes to the state that the calls say, and stays there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dovetail.interfaces.compute import ComputeBackend, ComputeCapability, JobHandle, JobState
from dovetail.testing.conformance.compute_suite import FINAL, ComputeSuite, Follower, output

__all__ = ["compute_machine"]

_JOBS = 3
"""Of an example at most: each may be a machine that is started."""
_AT = st.integers(0, _JOBS - 1)
_SAY = "import os, sys, time; os.write(1, b'index ' + os.environ['DOVETAIL_JOB_INDEX'].encode());"
_CODES: dict[str, tuple[str, tuple[JobState, ...]]] = {
    "ends": (_SAY, (JobState.SUCCEEDED,)),
    "fails": (f"{_SAY} sys.exit(3)", (JobState.FAILED,)),
    "waits": ("import time; time.sleep(1000)", (JobState.RUNNING,)),
    "ends in part": (
        f"{_SAY} time.sleep(1000 * int(os.environ['DOVETAIL_JOB_INDEX']))",
        (JobState.SUCCEEDED, JobState.RUNNING),
    ),
}
"""What a job does → its code, and the state that each index comes to by itself."""
_numbers = itertools.count()


class _Submitted(NamedTuple):
    """A job of an example."""

    handle: JobHandle
    code: str
    states: list[JobState]
    """What each index must have come to."""


def compute_machine(backend: ComputeBackend, suite: ComputeSuite) -> type[RuleBasedStateMachine]:
    """A machine whose examples each have a group of their own in the backend."""
    return type("ComputeMachine", (_ComputeMachine,), {"real": backend, "suite": suite})


def _has_jobs(machine: Any) -> bool:
    return bool(machine.jobs)


def _has_room(machine: Any) -> bool:
    return len(machine.jobs) < _JOBS


class _ComputeMachine(RuleBasedStateMachine):
    real: ComputeBackend
    suite: ComputeSuite

    def __init__(self) -> None:
        super().__init__()
        self.group = f"model{next(_numbers)}"
        self.jobs: dict[str, _Submitted] = {}
        self.told: dict[tuple[str, int], JobState] = {}
        """What watches before this one have told."""
        self.follower = self._watch(None)

    def _watch(self, resume: Any) -> Follower:
        return Follower(self.real.watch(self.group, resume=resume), self.suite.patience)

    @precondition(_has_room)
    @rule(does=st.sampled_from([*_CODES, "waits"]))
    def submit(self, does: str) -> None:
        code, states = _CODES[does]
        if len(states) > 1 and ComputeCapability.ARRAY not in self.real.capabilities:
            return
        key = f"{self.group}-{len(self.jobs)}"
        [handle] = self.real.submit([self.suite.job(code, key=key, group=self.group, size=len(states))])
        self.jobs[key] = _Submitted(handle, code, list(states))

    @precondition(_has_jobs)
    @rule(at=_AT)
    def submit_again(self, at: int) -> None:
        known, code, states = self._job(at)
        [handle] = self.real.submit([self.suite.job(code, key=known.key, group=self.group, size=len(states))])
        assert handle == known, f"expected the handle {known} of a key that is there, came {handle}"
        self.watch_again(False)  # whatever began anew would be told

    @precondition(_has_jobs)
    @rule(at=_AT, indexes=st.sampled_from([None, None, [0], [1], [0, 1], []]))
    def cancel(self, at: int, indexes: list[int] | None) -> None:
        handle, _, states = self._job(at)
        chosen = range(handle.size) if indexes is None else [index for index in indexes if index < handle.size]
        self.real.cancel(handle, None if indexes is None else list(chosen))
        for index in chosen:
            if states[index] not in FINAL:
                states[index] = JobState.CANCELLED

    @rule(resume=st.booleans())
    def watch_again(self, resume: bool) -> None:
        state = json.loads(json.dumps(self.follower.watch.state()))
        self._keep()
        self.follower.watch.close()
        if not resume:
            self.told = {}
        self.follower = self._watch(state if resume else None)

    @invariant()
    def all_come_to_it(self) -> None:
        expected = {(key, n): state for key, job in self.jobs.items() for n, state in enumerate(job.states)}

        def agree(latest: Mapping[tuple[str, int], Any]) -> bool:
            came = {**self.told, **{key: event.state for key, event in latest.items()}}
            odd = [key for key, state in came.items() if state in FINAL and state != expected[key]]
            assert not odd, f"expected {odd[0]} to be {expected[odd[0]]} after these calls, came {came[odd[0]]}"
            return came == expected

        self.follower.until(f"{_named(expected)} after these calls", agree)
        for key, index in expected:
            states = self.follower.states(key, index)
            told = [self.told[key, index]] if (key, index) in self.told else []
            ends = [state for state in [*told, *states] if state in FINAL]
            assert len(ends) <= 1, f"expected one end of {key}, index {index}, to be told, came {ends}"

    @invariant()
    def all_is_there_that_was_written(self) -> None:
        for handle, _, states in self.jobs.values():
            for index, state in enumerate(states):
                if state in (JobState.SUCCEEDED, JobState.FAILED):
                    found = output(self.real, handle, index)
                    expected = b"index %d" % index
                    assert found == expected, f"expected {expected!r} from the logs of {handle.key}, came {found!r}"

    def _job(self, at: int) -> _Submitted:
        return list(self.jobs.values())[at % len(self.jobs)]

    def _keep(self) -> None:
        self.told |= {(event.handle.key, event.index): event.state for event in self.follower.events}

    def teardown(self) -> None:
        for handle, _, _ in self.jobs.values():
            self.real.cancel(handle)
        self.follower.watch.close()


def _named(states: Mapping[tuple[str, int], JobState]) -> str:
    return ", ".join(f"{key}[{index}] {state.value}" for (key, index), state in states.items()) or "nothing"
