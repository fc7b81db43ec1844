"""`@task`: plain outside of a run, through the caller inside one; options; methods; names that others find."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from dovetail import TaskFuture, catch, flow, limit, retry, task, timeout
from dovetail.authoring.hooks import hooks_of
from dovetail.authoring.task_function import TaskFunction
from dovetail.interfaces.errors import UsageError


@task
def double(x: int, by: int = 2) -> int:
    """Twice."""
    return x * by


@task(name="other", retries=2, retry_delay=0.5, timeout=9, isolation="fork", cpu=2)
def configured(x: int) -> int:
    return x


@task
async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


class Model:
    scale = 3

    @task
    def times(self, x: int) -> int:
        return x * self.scale

    @staticmethod
    @task
    def plain(x: int) -> int:
        return x

    @task
    @staticmethod
    def inner(x: int) -> int:
        return -x

    @task
    @classmethod
    def made(cls, x: int) -> tuple[type, int]:
        return cls, x


fast = double.with_options(cpu=4)


def test_outside_of_a_run_it_is_the_function() -> None:
    assert double(2) == 4
    assert double.fn(2, by=5) == 10
    assert double(2, wait_for=[]) == 4
    assert asyncio.run(later(1)) == 2
    assert double.__doc__ == "Twice."
    assert (double.__name__, double.__module__) == ("double", __name__)
    for call in (double.submit, double.map):
        with pytest.raises(UsageError, match=r"needs a run.*\n.*inside a @flow") as told:
            call([1])
        assert told.value.hint is not None


def test_inside_it_goes_through_the_caller(inside: Any) -> None:
    assert double(2) == 4
    assert inside.calls[0]["given"] == {"x": 2, "by": 2}
    assert inside.calls[0]["task"] is double
    assert asyncio.run(later(4)) == 5
    assert inside.calls[1]["verb"] == "call_async"
    future = double.submit(by=7, x=1)
    assert isinstance(future, TaskFuture)
    assert future.result() == 7
    assert double.submit(future, wait_for=[future]).result() == 14
    assert inside.calls[3]["wait_for"] == (future,)
    assert double(future, wait_for=future) == 14
    assert double.fn(1) == 2
    assert len(inside.calls) == 5


def test_wrong_arguments_fail_as_the_function_does(inside: Any) -> None:
    for call in (double, double.submit, double.fn):
        with pytest.raises(TypeError, match=r"^double\(\) missing 1 required positional argument: 'x'$"):
            call()
    assert inside.calls == []


def test_keys(inside: Any) -> None:
    double.with_options(key="a")(1)
    keyed = double.with_options(key=lambda x, by=0: f"{x}-{by}")
    keyed(1)
    keyed.submit(2, by=3).result()
    assert [call["key"] for call in inside.calls] == ["a", "1-0", "2-3"]
    with pytest.raises(UsageError, match=r"key= of task double made 3, which is no text"):
        double.with_options(key=lambda x: 3)(1)  # type: ignore[arg-type,return-value]


def test_its_own_parameter_named_wait_for_is_its_own(inside: Any) -> None:
    @task
    def waits(wait_for: int) -> int:
        return wait_for

    assert waits(wait_for=3) == 3


def test_decorators_count_above_and_below() -> None:
    @retry
    @catch(var="error")
    @task(timeout=5)
    @timeout(minutes=1)
    def decorated() -> None: ...

    assert isinstance(decorated, TaskFunction)
    assert [use.kind for use in decorated.uses] == ["retry", "catch", "timeout", "timeout"]
    assert {use.kind: use.options for use in configured.uses} == {
        "retry": {"times": 2, "delay": 0.5},
        "timeout": {"seconds": 9},
        "isolation": {"kind": "fork"},
        "resources": {"cpu": 2},
    }
    assert configured.name == "other"
    assert all(use.file == __file__ for use in configured.uses)


def test_options_at_the_call_site_come_first() -> None:
    small = configured.with_options(retries=5, compute="archive", cpu=8, memory=100)
    assert [(use.kind, use.name, use.options) for use in small.uses[:2]] == [
        ("retry", "retry", {"times": 5}),
        ("compute", "archive", {"cpu": 8, "memory": 100}),
    ]
    smaller = small.with_options(retry_delay=2, name="third", environment="uv", datastore="s3://b")
    assert [(use.kind, use.name) for use in smaller.called_with] == [
        ("retry", "retry"),
        ("datastore", "s3://b"),
        ("environment", "uv"),
        ("retry", "retry"),
        ("compute", "archive"),
    ]
    assert smaller.called_with[0].options == {"delay": 2}
    assert (smaller.name, configured.name) == ("third", "other")
    assert smaller.fn is configured.fn
    assert configured.called_with == ()
    assert all(use.file == __file__ and use.line > 0 for use in smaller.uses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": -1}, "times=-1 is not a number of retries"),
        ({"isolation": "forked"}, "'forked' is no kind of isolation"),
        ({"name": "no name"}, "'no name' is no name"),
        ({"cache": "input"}, "cache='input' does not say what a value depends on"),
        ({"timeout": 0}, "needs a time above zero"),
        ({"cpu": "many"}, "cpu='many' is not an amount"),
        ({"limit": ""}, "needs the name of a limit first, not ''"),
        ({"limit": {"gpu": 0}}, "occupy=0 is not a number of slots"),
        ({"limit": 3}, "limit=3 names no limits"),
    ],
)
def test_wrong_options_are_told_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        double.with_options(**options)


def test_limits_are_a_name_several_or_slots_of_each() -> None:
    def said(limits: Any) -> list[dict[str, int]]:
        return [use.options for use in double.with_options(limit=limits).uses if use.kind == "limit"]

    assert said("gpu") == [{"gpu": 1}]
    assert said(["gpu", "api"]) == [{"gpu": 1}, {"api": 1}]
    assert said({"gpu": 2, "api": 1}) == [{"gpu": 2}, {"api": 1}]
    assert said([]) == []

    @limit("a")
    @task(limit={"b": 2})
    def limited() -> None: ...

    assert [use.options for use in limited.uses] == [{"a": 1}, {"b": 2}]
    assert [use.options for use in limited.with_options(limit="c").uses] == [{"c": 1}, {"a": 1}, {"b": 2}]


def told(*_: object) -> None: ...


def test_hooks_at_the_call_site_are_added_to_a_copy() -> None:
    hooked = task(on_failure=told)(double.fn)
    more = hooked.with_options(on_failure=[told], on_success=told, on_commit=told)
    assert hooks_of(hooked) == (("on_failure", told),)
    assert hooks_of(more) == (
        ("on_failure", told),
        ("on_success", told),
        ("on_failure", told),
        ("on_commit", told),
    )
    assert hooks_of(hooked.with_options(retries=1)) == hooks_of(hooked)
    assert hooks_of(pickle.loads(pickle.dumps(double.with_options(on_crash=told)))) == (("on_crash", told),)
    with pytest.raises(TypeError, match="on_failure takes functions, not 3"):
        double.with_options(on_failure=3)  # type: ignore[call-overload]


def test_methods(inside: Any) -> None:
    model = Model()
    assert model.times(2) == 6
    assert inside.calls[0]["given"] == {"self": model, "x": 2}
    assert Model.times(model, 3) == 9
    assert model.times.submit(4).result() == 12
    assert model.times.map([1, 2]).result() == [3, 6]
    assert model.times.with_options(retries=1)(1) == 3
    assert Model.plain(5) == model.plain(5) == 5
    assert Model.inner(5) == model.inner(5) == -5
    assert Model.made(1) == model.made(1) == (Model, 1)
    with pytest.raises(TypeError, match=r"Model.times\(\) missing 1 required positional argument: 'x'"):
        model.times()


def test_addresses_are_what_another_process_can_find() -> None:
    @task
    def local() -> None: ...

    assert double.address == (__name__, "double")
    assert fast.address == (__name__, "double")
    assert Model.times.address == Model().times.address == (__name__, "Model.times")
    assert local.address is None


def test_pickling_is_by_name(inside: Any) -> None:
    assert pickle.loads(pickle.dumps(double)) is double
    assert pickle.loads(pickle.dumps(Model.times)) is Model.times
    assert len(pickle.dumps(double)) < 100
    again = pickle.loads(pickle.dumps(fast))
    assert [use.options for use in again.uses] == [{"cpu": 4}]
    assert again.fn is double.fn
    assert again(3) == 6
    bound = pickle.loads(pickle.dumps(Model().times))
    assert bound(2) == 6


def test_a_task_without_a_name_is_pickled_by_value() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    factor = 5

    @task(retries=1)
    def local(n: int) -> int:
        return n if n <= 0 else factor + local(n - 1)

    again = pickle.loads(cloudpickle.dumps(local))
    assert again(2) == 10
    assert [use.kind for use in again.uses] == ["retry"]


def test_only_functions_can_be_tasks() -> None:
    for thing in (3, Model, len):
        with pytest.raises(TypeError, match="belongs on a function"):
            task(thing)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="belongs on a function"):
        flow(3)  # type: ignore[call-overload]
    assert repr(double) == "<task double>"
