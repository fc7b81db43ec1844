"""Compute backend: watching."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress

from dovetail.interfaces.compute import ComputeBackend, JobHandle, JobState
from dovetail.interfaces.errors import DovetailError
from dovetail.testing.conformance.compute_suite import FINAL, ComputeSuite, Follower, readable
from dovetail.testing.conformance.suite import guards

__all__ = ["ComputeWatches"]

_Submit = Callable[..., JobHandle]
_Follow = Callable[..., Follower]
_WAIT = "import time; time.sleep(1000)"


class ComputeWatches(ComputeSuite):
    """`watch`."""

    @guards("compute.watch-present")
    def test_the_first_read_tells_the_present(self, submit: _Submit, follow: _Follow) -> None:
        done, failed, runs = submit(key="done"), submit("raise SystemExit(2)", key="failed"), submit(_WAIT, key="runs")
        follower = follow()
        follower.finish(done, failed)
        follower.running(key="runs")
        late = follow()
        fileno = late.watch.fileno()
        assert fileno is None or readable(fileno, self.patience), "expected a new watch to have something to read"
        late.events += late.read(self.patience)
        told = {event.handle.key: event.state for event in late.events}
        expected = {"done": JobState.SUCCEEDED, "failed": JobState.FAILED, "runs": JobState.RUNNING}
        assert told == expected, f"expected the present states {expected} of the first read, came {told}"
        handles = {event.handle.key: event.handle for event in late.events}
        expected_handles = {handle.key: handle for handle in (done, failed, runs)}
        assert handles == expected_handles, f"expected the handles that submit gave, came {handles}"

    @guards("compute.watch-later")
    def test_later_jobs_are_followed(self, submit: _Submit, follow: _Follow) -> None:
        follower = follow()
        follower.finish(submit(key="one"))
        follower.finish(submit(key="two"))
        told = {event.handle.key for event in follower.events}
        assert told == {"one", "two"}, f"expected events of one and two, came {told}"

    @guards("compute.watch-one-group")
    def test_other_groups_are_left_out(self, submit: _Submit, follow: _Follow) -> None:
        other = submit(key="other", group="run2")
        mine = submit(key="mine", group="run1")
        follower, theirs = follow("run1"), follow("run2")
        follower.finish(mine)
        theirs.finish(other)
        told = {event.handle.key for event in follower.events}
        assert told == {"mine"}, f"expected events of the own group alone, came {told}"

    @guards("compute.watch-final-once")
    def test_a_final_state_is_told_once(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        follower = follow()
        first = submit("raise SystemExit(1)", key="first", size=2)
        follower.finish(first)
        with suppress(DovetailError):  # whether it may be called is another test's
            backend.cancel(first)
        follower.finish(submit(key="second"))
        for index in range(2):
            states = follower.states("first", index)
            ends = [n for n, state in enumerate(states) if state in FINAL]
            assert ends == [len(states) - 1], f"expected one final state, the last, of index {index}, came {states}"

    @guards("compute.watch-resume")
    def test_a_watch_goes_on_where_it_was(self, submit: _Submit, follow: _Follow) -> None:
        first = follow()
        done, runs = submit(key="done"), submit("import sys; sys.stdin.read()", key="two")
        first.finish(done, runs)
        state = json.loads(json.dumps(first.watch.state()))
        first.watch.close()
        third = submit("raise SystemExit(1)", key="third")
        resumed = follow(resume=state)
        resumed.finish(third)
        told = [(event.handle.key, event.state) for event in resumed.events if event.state in FINAL]
        assert told == [("third", JobState.FAILED)], f"expected the end of 'third' alone, came {told}"

    @guards("compute.watch-resume")
    def test_what_happened_meanwhile_is_told(self, backend: ComputeBackend, submit: _Submit, follow: _Follow) -> None:
        first = follow()
        runs = submit(_WAIT, key="runs")
        first.running(key="runs")
        state = json.loads(json.dumps(first.watch.state()))
        first.watch.close()
        backend.cancel(runs)
        follow().finish(runs)
        resumed = follow(resume=state)
        resumed.finish(runs)
        told = [event.state for event in resumed.events if event.state in FINAL]
        assert told == [JobState.CANCELLED], f"expected the end that came between the watches once, came {told}"

    @guards("compute.watch-descriptor")
    def test_the_descriptor_tells_when_to_read(self, submit: _Submit, follow: _Follow) -> None:
        follower = follow()
        fileno = follower.watch.fileno()
        if fileno is None:
            return  # then `read` waits, as the other tests have it do
        follower.finish(submit(key="one"))
        for _ in range(20):  # it may be readable for nothing, but not for ever
            if not readable(fileno, 0.02):
                break
            follower.events += follower.read(0.02)
        else:
            raise AssertionError("expected a descriptor that is not readable when nothing happens, came one that is")
        follower.read(self.patience)
        assert not follower.waits, "expected read to return at once, it waits though there is a descriptor"
        submit(key="two")
        assert readable(fileno, self.patience), "expected the descriptor to be readable when a job changes"

    @guards("compute.watch-close")
    def test_a_watch_may_be_closed_again(self, submit: _Submit, follow: _Follow) -> None:
        follower = follow()
        follower.finish(submit())
        follower.watch.close()
        follower.watch.close()
        other = follow()
        other.until("the job's end through another watch", lambda latest: ("k", 0) in latest)

    @guards("compute.watch-close")
    def test_closing_ends_a_blocked_read(self, follow: _Follow) -> None:
        follower = follow("empty")
        if follower.watch.fileno() is not None:
            return  # it never blocks
        ended = threading.Event()

        def read() -> None:
            follower.watch.read()
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        assert not ended.wait(0.1), "expected read to wait for a change where there is no descriptor"
        follower.watch.close()
        assert ended.wait(self.patience), "expected a blocked read to return when the watch is closed"
