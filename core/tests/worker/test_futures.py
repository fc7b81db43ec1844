"""Futures of submitted tasks: whatever comes at the same time, each ends, and once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.worker.futures import Submitted, Unfinished

REF = ArtifactRef(digest=b"\0" * 32, size=1, serializer="json", type="int", place=InlinePlace(data=b"7"))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def future_of(value: int) -> Submitted[int]:
    """A future that has its value when it is run."""
    future: Submitted[int] = Submitted("task")
    future.begin = lambda: future.succeed(value)
    return future


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("late", [False, True])
def test_a_task_runs_when_its_inputs_are_there(threads: ThreadPoolExecutor, count: int, late: bool) -> None:
    """Also when the last of them comes just before it is looked at."""
    inputs: list[Future[int]] = [Future() for _ in range(count)]
    future = future_of(5)
    if not late:
        for one in inputs:
            one.set_result(1)
    future.run_after(inputs, threads)
    if late:
        for one in inputs:
            assert not future.done()
            one.set_result(1)
    assert future.wait(30)
    assert future.result() == 5


def test_inputs_that_come_when_the_threads_are_gone() -> None:
    """Who asks runs it then."""
    pool = ThreadPoolExecutor(1)
    given: Future[int] = Future()
    future = future_of(5)
    future.run_after([given], pool)
    pool.shutdown()
    given.set_result(1)
    assert not future.done()
    assert future.result() == 5


ENDS: Any = [
    lambda future: future.succeed(1),
    lambda future: future.succeed_later(REF, lambda: 1),
    lambda future: future.fail(ValueError("no")),
]


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
def test_the_first_end_counts(first: int, second: int) -> None:
    unfinished = Unfinished()
    future: Submitted[int] = Submitted("task")
    unfinished.add(future)
    ENDS[first](future)
    ENDS[second](future)
    if first == 2:
        with pytest.raises(ValueError, match="no"):
            unfinished.finish()
    else:
        unfinished.finish()
        assert future.result() == 1


def test_a_value_that_several_threads_ask_for_is_loaded_once() -> None:
    future: Submitted[int] = Submitted("task")
    begun, go_on = threading.Event(), threading.Event()
    loads = []

    def load() -> int:
        loads.append(1)
        begun.set()
        go_on.wait(30)
        return 7

    future.succeed_later(REF, load)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(future.result)
        begun.wait(30)
        second = pool.submit(future.result)
        go_on.set()
        assert (first.result(), second.result()) == (7, 7)
    assert loads == [1]
