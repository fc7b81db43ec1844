"""Flows that run in memory: what they give, time that passes by waiting, crashes and going on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dovetail import FlowSpec, Parameter, catch, flow, recorded, retry, step, task, wait_for_input
from dovetail.interfaces.errors import RunFailedError, UsageError, ValidationError
from dovetail.testing import CrashError, Harness, VirtualClock, run, run_crashing

calls: list[object] = []


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    calls.clear()


@task
def double(n: int) -> int:
    calls.append(n)
    return 2 * n


@task
def slow_to_succeed(times: int) -> int:
    calls.append("try")
    if calls.count("try") < times:
        raise OSError("not yet")
    return calls.count("try")


@flow
def sums(upto: int = 3) -> int:
    print("adding")
    return sum(double(n) for n in range(upto)) + sum(future.result() for future in double.map([10, 20]))


@flow
def waits() -> tuple[int, float]:
    begun = recorded.now()
    recorded.sleep(3600)
    tries = slow_to_succeed.with_options(retries=3, retry_delay=60)(3)
    return tries, (recorded.now() - begun).total_seconds()


@flow
async def both(n: int) -> list[int]:
    return list(await asyncio.gather(double_async(n), double_async(n + 1)))


@task
async def double_async(n: int) -> int:
    return 2 * n


@flow
def divides(by: int) -> float:
    return 1 / by


class Squares(FlowSpec):
    upto = Parameter("upto", default=3)

    @step
    def start(self) -> None:
        self.ns = list(range(self.upto))
        self.next(self.square, foreach="ns")

    @catch(var="failure")
    @retry(times=1, delay=30)
    @step
    def square(self) -> None:
        calls.append(self.input)
        if self.input == 2:
            raise ValueError("two")
        self.square_ = self.input**2
        self.next(self.end)

    @step
    def end(self, inputs) -> None:  # type: ignore[no-untyped-def]
        self.total = sum(one.square_ for one in inputs if not one.failure)


class Broken(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        raise KeyError("gone")


def test_a_function_flow_gives_its_value_and_tells_what_ran() -> None:
    found = run(sums, upto=4)
    assert found.value == 12 + 60
    assert found.state == "succeeded"
    assert [path.partition("~")[0] for path in found.executed] == ["double"] * 4 + ["double[0]", "double[1]", "sums"]
    assert found.output["sums"] == "adding\n"
    assert found.client.parameters["upto"] == 4
    assert found.client.state == "succeeded"


def test_a_coroutine_runs() -> None:
    assert run(both, 3).value == [6, 8]


def test_a_class_flow_runs_with_retry_and_catch_while_no_time_passes() -> None:
    harness = Harness()
    found = harness.run(Squares, upto=3)
    assert found.client["end"].task.data.total == 1
    assert calls.count(2) == 2
    assert isinstance(harness.clock, VirtualClock)
    assert harness.clock.passed == pytest.approx(30)


def test_waiting_moves_the_clock_and_takes_no_time() -> None:
    tries, seconds = run(waits).value
    assert tries == 3
    assert seconds == pytest.approx(3600 + 2 * 60)


def test_what_a_body_raises_arrives_with_its_run() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(divides, 0)
    assert caught.value.run.state == "failed"  # type: ignore[attr-defined]
    with pytest.raises(RunFailedError, match=r"Broken failed: end: .*gone"):
        run(Broken)


def test_wrong_arguments_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="n"):
        run(both, n="many")
    with pytest.raises(TypeError):
        run(both)
    with pytest.raises((UsageError, ValidationError), match="upto"):
        run(Squares, upto="many")
    with pytest.raises(UsageError, match="by name"):
        run(Squares, 3)


def test_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOVETAIL_HOME", raising=False)
    assert run(sums).value == 66
    assert run(Squares).client["end"].task.data.total == 1
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_gone_on_from_and_nothing_recorded_runs_again() -> None:
    harness = Harness()
    harness.crash_after = 2
    with pytest.raises(CrashError):
        harness.run(sums)
    assert calls[:2] == [0, 1]
    before = len(calls)
    found = harness.resume()
    assert found.value == 66
    assert len(found.reused) == 2
    assert 0 not in calls[before:]
    assert 1 not in calls[before:]


def test_a_crash_anywhere_changes_nothing() -> None:
    runs = run_crashing(sums, upto=3)
    assert len(runs) == 1 + 7  # undisturbed, and before and behind each of the five calls and behind the body
    assert {one.value for one in runs} == {66}
    squares = run_crashing(Squares, upto=2)
    assert len(squares) == 1 + 5
    assert {one.client["end"].task.data.total for one in squares} == {1}


def test_runs_of_a_harness_share_their_backends() -> None:
    harness = Harness()
    harness.run(sums)
    harness.run(divides, 2)
    assert {one.id for one in harness.client} == {"sums", "divides"}
    with pytest.raises(UsageError, match="no run to resume"):
        Harness().resume()


@flow
def asks() -> str:
    said = wait_for_input(bool, question=f"Keep {double(4)}?", timeout=3600, default=False)
    return "kept" if said else "dropped"


def test_a_question_is_answered_or_left_until_its_time_is_over() -> None:
    harness = Harness()
    paused = harness.run(asks)
    assert paused.state == "paused"
    assert [one.question for one in paused.client.waiting] == ["Keep 8?"]
    harness.signal(True)
    assert harness.resume().value == "kept"
    assert calls == [4]

    harness = Harness()
    assert harness.run(asks).state == "paused"
    assert isinstance(harness.clock, VirtualClock)
    harness.clock.advance(3601)
    assert harness.resume().value == "dropped"


_SUITE = """
from dovetail import flow, task

@task
def one() -> int:
    return 1

@flow
def ones() -> int:
    return one() + one()

def test_in_memory(dovetail_harness):
    assert dovetail_harness.run(ones).value == 2

def test_called(dovetail_home):
    assert not dovetail_home.exists()
    assert ones() == 2
    assert dovetail_home.exists()
"""


def test_pytest_finds_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_ones.py").write_text(_SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ones.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixtures_cost_other_tests_next_to_nothing() -> None:
    program = "import pytest, sys; import dovetail.testing.pytest_plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("dovetail")}
    assert ours == {"dovetail", "dovetail.testing", "dovetail.testing.pytest_plugin"}


class Slow(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        time.sleep(0.1)  # meanwhile the journal is told that it comes


def test_a_run_that_goes_on_expects_no_more_tasks_than_before() -> None:
    for one in run_crashing(Slow):
        assert {name: states["expected"] for name, states in one.client.counts().items()} == {"start": 1, "end": 1}
