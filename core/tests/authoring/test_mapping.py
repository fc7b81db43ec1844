"""`.map`: one task for each item, drawn as tasks finish."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from dovetail import FutureList, allow_failure, task, unmapped
from dovetail.interfaces.errors import UsageError


@task
def seen(x: Any, y: Any = None) -> tuple[Any, Any]:
    return x, y


@task
def fails(x: int) -> int:
    if x == 2:
        raise ValueError("two")
    return x


def test_items_and_constants(inside: Any) -> None:
    futures = seen.map([1, 2, 3], y=unmapped([4, 5]))
    assert isinstance(futures, FutureList)
    assert futures.result() == futures.results() == [(1, [4, 5]), (2, [4, 5]), (3, [4, 5])]
    assert [call["index"] for call in inside.calls] == [(0,), (1,), (2,)]
    for constant in ("text", b"bytes", {"a": 1}, 7, None, StringIO("lines\nof it")):
        assert seen.map((1,), constant).result() == [(1, constant)]
    assert seen.map(range(2), y={"only"}.union({"one"})).wait()
    assert seen.map([]) == []


def test_futures_as_items_and_as_constants(inside: Any) -> None:
    first = seen.map([1, 2])
    one = seen.submit(0)
    assert seen.map(first, one).result() == [((1, None), (0, None)), ((2, None), (0, None))]
    assert seen.map(first, wait_for=[one]).wait()
    assert inside.calls[-1]["wait_for"] == (one,)
    bad = fails.map([1, 2])
    made = seen.map([allow_failure(future) for future in bad], unmapped(allow_failure(bad[1]))).result()
    assert made[0][0] == 1
    assert all(isinstance(value, ValueError) for value in (made[0][1], made[1][0]))


def test_pydantic_models_and_other_constants(inside: Any) -> None:
    class Config:
        model_fields = ("a",)

        def __iter__(self) -> Iterator[Any]:
            return iter([("a", 1)])

    class Rows:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, n: int) -> int:
            if n == 2:
                raise IndexError
            return n * 10

    config = Config()
    assert seen.map(Rows(), config).result() == [(0, config), (10, config)]


def test_a_generator_is_drawn_from_as_tasks_finish(inside: Any) -> None:
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for n in range(20):
            drawn.append(n)
            assert inside.rooms == n + 1  # room was made for each before it was drawn
            assert sum(not future.done() for future in inside.unfinished) < inside.limit
            yield n

    assert seen.map(numbers()).result() == [(n, None) for n in range(20)]
    assert len(drawn) == 20


def test_lengths_must_agree(inside: Any) -> None:
    with pytest.raises(UsageError, match=r"argument 1 has 2, y has 3"):
        seen.map([1, 2], y=[1, 2, 3])
    assert inside.calls == []
    with pytest.raises(UsageError, match=r"y ended after 1, argument 1 did not"):
        seen.map(iter([1, 2]), y=(n for n in [1]))
    assert len(inside.calls) == 1
    with pytest.raises(UsageError, match=r"nothing to iterate over"):
        seen.map(1, y="text")


def test_wrong_arguments_are_those_of_the_function(inside: Any) -> None:
    with pytest.raises(TypeError, match=r"seen\(\) got an unexpected keyword argument 'z'"):
        seen.map([1], z=[2])


def test_a_failed_item_is_raised_and_a_time_limit_is_for_all(inside: Any) -> None:
    with pytest.raises(ValueError, match="two"):
        fails.map([1, 2, 3]).result()
    futures = FutureList([fails.submit(1)])
    assert futures.result(timeout=60) == [1]
    from dovetail import TaskFuture

    futures.append(TaskFuture("never"))
    with pytest.raises(TimeoutError, match="1 of 2 tasks have not ended"):
        futures.result(timeout=0)


def test_arrays(inside: Any) -> None:
    numpy = pytest.importorskip("numpy")
    assert [pair[0] for pair in seen.map(numpy.arange(3)).result()] == [0, 1, 2]
    assert seen.map([1], numpy.float64(2.0)).result() == [(1, 2.0)]
    with pytest.raises(UsageError, match="one length"):
        seen.map([1], numpy.arange(3))
