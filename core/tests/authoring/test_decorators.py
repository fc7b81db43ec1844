"""Decorators store what was written, and keep what is wrong with it for validation."""

from __future__ import annotations

import sys

import pytest

from dovetail import (
    FlowSpec,
    StepDecorator,
    catch,
    compute,
    datastore,
    environment,
    environment_variables,
    isolation,
    resources,
    retry,
    step,
    timeout,
)
from dovetail.authoring.uses import uses_of


def use(decorator):
    @decorator
    def method(self) -> None: ...

    (found,) = uses_of(method)
    return found


@pytest.mark.parametrize(
    ("made", "kind", "name", "options"),
    [
        (lambda: retry, "retry", "retry", {"times": 3}),
        (lambda: retry(), "retry", "retry", {"times": 3}),
        (lambda: retry(times=1, delay=2, backoff=2.0, jitter=0.5, max_delay=9), "retry", "retry",
         {"times": 1, "delay": 2, "backoff": 2.0, "jitter": 0.5, "max_delay": 9}),
        (lambda: retry(times=0, minutes_between_retries=0), "retry", "retry",
         {"times": 0, "minutes_between_retries": 0}),
        (lambda: retry(on=OSError), "retry", "retry", {"times": 3, "on": ["OSError"]}),
        (lambda: retry(on=["ValueError", pytest.UsageError]), "retry", "retry",
         {"times": 3, "on": ["ValueError", "pytest.UsageError"]}),
        (lambda: catch, "catch", "catch", {}),
        (lambda: catch(var="failed", print_exception=False), "catch", "catch",
         {"var": "failed", "print_exception": False}),
        (lambda: timeout(seconds=1, hours=2), "timeout", "timeout", {"seconds": 1, "hours": 2}),
        (lambda: resources(cpu=2, memory=512, gpu=1, disk=10, shared_memory=5), "resources", "resources",
         {"cpu": 2, "memory": 512, "gpu": 1, "disk": 10, "shared_memory": 5}),
        (lambda: environment_variables(A="1", B=2), "environment_variables", "environment_variables",
         {"A": "1", "B": "2"}),
        (lambda: environment_variables({"WITH-DASH": "x"}), "environment_variables", "environment_variables",
         {"WITH-DASH": "x"}),
        (lambda: environment_variables(vars={"A": "1"}, B="2"), "environment_variables", "environment_variables",
         {"A": "1", "B": "2"}),
        (lambda: environment_variables({"vars": "x"}), "environment_variables", "environment_variables",
         {"vars": "x"}),
        (lambda: environment(vars={"A": "1"}), "environment_variables", "environment_variables", {"A": "1"}),
        (lambda: environment("uv", python="3.12"), "environment", "uv", {"python": "3.12"}),
        (lambda: compute("kubernetes", memory=8), "compute", "kubernetes", {"memory": 8}),
        (lambda: datastore("s3://bucket/x", profile="p"), "datastore", "s3://bucket/x", {"profile": "p"}),
        (lambda: isolation("thread"), "isolation", "isolation", {"kind": "thread"}),
        (lambda: isolation(reuse="auto"), "isolation", "isolation", {"reuse": "auto"}),
        (lambda: isolation("fork", reuse=8), "isolation", "isolation", {"kind": "fork", "reuse": 8}),
    ],
)  # fmt: skip
def test_options_are_kept_as_given(made, kind, name, options) -> None:
    found = use(made())
    assert (found.kind, found.name, found.options, found.wrong) == (kind, name, options, [])
    assert found.file == __file__


@pytest.mark.parametrize(
    ("made", "message", "fix"),
    [
        (lambda: retry(tims=2), "@retry has no argument 'tims'", "Did you mean times?"),
        (lambda: retry(2), "@retry takes only named arguments", "times"),
        (lambda: retry(times=-1), "times=-1 is not a number of retries", "0 or more"),
        (lambda: retry(times=True), "times=True is not", "0 or more"),
        (lambda: retry(delay="5"), "delay='5' is not a length of time", "number"),
        (lambda: retry(backoff=0.5), "backoff=0.5 is not a factor", "1 or more"),
        (lambda: retry(jitter=2), "jitter=2 is not a fraction", "from 0 to 1"),
        (lambda: retry(delay=1, minutes_between_retries=1), "both delay= and minutes_between_retries=", "one of them"),
        (lambda: catch(var="not a name"), "var='not a name' is not the name of an artifact", "leading _"),
        (lambda: catch(var="_x"), "var='_x' is not the name of an artifact", "leading _"),
        (lambda: timeout(), "needs a time above zero", "minutes=10"),
        (lambda: timeout(seconds=-1), "needs a time above zero", "minutes=10"),
        (lambda: timeout(second=1), "has no argument 'second'", "seconds"),
        (lambda: resources(memory="4G"), "memory='4G' is not an amount", "number"),
        (lambda: environment_variables(A=None), "A is a NoneType", "str"),
        (lambda: environment_variables(vars="x"), "vars='x' is not a mapping", "vars"),
        (lambda: environment(), "needs the name of an environment builder", "environment_variables"),
        (lambda: environment("uv", vars={"A": "1"}), "has a name and vars=", "environment_variables"),
        (lambda: compute(memory=1), "@compute needs a name first, not None", "local"),
        (lambda: datastore, "@datastore needs a name first, not None", "local"),
        (lambda: compute(3), "@compute needs a name first, not 3", "local"),
        (lambda: compute("local", hook=object()), "hook= can't be written as JSON", "plain data"),
        (lambda: isolation("forked"), "'forked' is no kind of isolation", "auto, fork, spawn, thread, inline"),
        (lambda: isolation(reuse=0), "reuse=0 is not a number of tasks", "auto"),
    ],
)
def test_wrong_arguments_are_kept_as_problems(made, message, fix) -> None:
    found = use(made())
    assert any(message in said and fix in mend for said, mend in found.wrong), found.wrong


def test_the_line_is_that_of_the_decorator() -> None:
    @retry
    @timeout(
        seconds=1,
    )
    @environment(vars={"A": "1"})
    @step
    def method(self) -> None: ...

    first = method.__code__.co_firstlineno
    lines = [(u.kind, u.line - first) for u in uses_of(method)]
    # Before 3.11 a decorator without parentheses runs on the line of the `def`.
    bare = 0 if sys.version_info >= (3, 11) else 6
    assert lines == [("retry", bare), ("timeout", 1), ("environment_variables", 4)]


def test_decorators_leave_the_method_as_it_is() -> None:
    def method(self) -> int:
        return 1

    assert retry(times=1)(step(method)) is method
    assert step(retry(method)) is method
    assert method(None) == 1


def test_a_decorator_of_a_plugin() -> None:
    def kubernetes(*, memory: int = 4096) -> StepDecorator:
        made = StepDecorator("compute", "kubernetes", {"memory": memory})
        if memory <= 0:
            made.wrong("memory must be above 0", "Give mebibytes.")
        return made

    found = use(kubernetes(memory=0))
    assert (found.kind, found.name, found.options) == ("compute", "kubernetes", {"memory": 0})
    assert found.file == __file__
    assert found.wrong == [("memory must be above 0", "Give mebibytes.")]


def test_only_steps_and_flows_can_be_decorated() -> None:
    @retry
    class Flow(FlowSpec): ...

    assert [u.kind for u in Flow._dovetail_uses] == ["retry"]
    with pytest.raises(TypeError, match="on a step or a flow class, not on Other"):

        @retry(times=1)
        class Other: ...

    with pytest.raises(TypeError, match="belongs on a step"):
        retry(times=1)(3)  # type: ignore[type-var]


def test_every_decorator_has_a_docstring_and_its_name() -> None:
    for decorator in (
        retry,
        catch,
        timeout,
        resources,
        environment_variables,
        compute,
        environment,
        datastore,
        isolation,
    ):
        assert decorator.__doc__
        assert decorator.__module__ == "dovetail.authoring.decorators"
    assert retry.__name__ == "retry"
