"""Calls that end in unusual ways: refused arguments, `sys.exit`, cancelled coroutines, futures as results."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from dovetail import flow, task
from dovetail.interfaces.errors import ValidationError
from dovetail.testing import CrashError, Harness, run


@flow
def typed(x: int) -> int:
    return x


@flow
def refused() -> str:
    with pytest.raises(ValidationError, match="zz"):
        typed("zz")  # type: ignore[arg-type]
    return "went on"


def test_a_flow_within_a_flow_that_refuses_its_arguments_ends() -> None:
    found = run(refused)
    assert found.value == "went on"
    (task_,) = found.client["typed"].tasks()
    assert task_.state == "failed"


@task
def quits() -> None:
    sys.exit(4)


@flow
def exits(submitted: bool) -> int:
    try:
        quits.submit().result() if submitted else quits()
    except SystemExit as error:
        return int(str(error.code))
    return 0


@pytest.mark.parametrize("submitted", [False, True])
def test_a_task_that_exits_has_failed(submitted: bool) -> None:
    found = run(exits, submitted)
    assert found.value == 4
    (task_,) = found.client["quits"].tasks()
    assert task_.state == "failed"


@task
async def slow() -> None:
    await asyncio.sleep(60)


@flow
async def gives_up() -> str:
    try:
        await asyncio.wait_for(slow(), 0.02)
    except asyncio.TimeoutError:
        return "gave up"
    return "waited"


def test_a_call_whose_coroutine_is_cancelled_is_cancelled() -> None:
    found = run(gives_up)
    assert found.value == "gave up"
    (task_,) = found.client["slow"].tasks()
    assert task_.state == "cancelled"


@task
def double(n: int) -> int:
    return 2 * n


@flow
def futures() -> dict[str, Any]:
    return {"one": double.submit(2), "more": double.map([1, 2])}


def test_returned_futures_become_their_values() -> None:
    found = run(futures)
    assert found.value == {"one": 4, "more": [2, 4]}
    assert found.client.data.result == found.value


@task
def same(value: tuple[int, ...]) -> tuple[int, ...]:
    return value


@task
def count(values: list[tuple[int, ...]]) -> int:
    return len(values)


@flow
def shares() -> int:
    pair = (1, 2)
    return count([same(pair), same.with_options(name="other")(pair)])


def test_a_recorded_call_is_found_whether_its_arguments_share_parts_or_not() -> None:
    harness = Harness()
    harness.crash_after = 3
    with pytest.raises(CrashError):
        harness.run(shares)
    assert harness.resume().executed == ("shares",)
