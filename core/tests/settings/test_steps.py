"""Policies of a step: options, aliases, merging."""

from __future__ import annotations

import pytest

from dovetail.interfaces.errors import SettingsError
from dovetail.interfaces.tasks import CatchPolicy, Isolation, Policy, Resources, RetryPolicy
from dovetail.settings import StepOptions


def options(project, flow, *set_, with_=(), **more):
    return project.load(*set_, with_=with_, **more).step_options(flow.steps[0], flow)


def test_defaults(project, build):
    assert options(project, build.flow()) == StepOptions()
    assert StepOptions().policy == Policy()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, RetryPolicy(times=3)),
        ({"times": 5}, RetryPolicy(times=5)),
        ({"times": 0}, RetryPolicy(times=0)),
        ({"minutes_between_retries": 2}, RetryPolicy(times=3, delay=120.0)),
        ({"minutes_between_retries": 2, "delay": 5}, RetryPolicy(times=3, delay=5.0)),
        (
            {"times": 1, "delay": 1, "backoff": 2, "max_delay": 9, "jitter": 0.5, "on": ["ValueError", "a.B"]},
            RetryPolicy(times=1, delay=1.0, backoff=2.0, max_delay=9.0, jitter=0.5, on=("ValueError", "a.B")),
        ),
    ],
)
def test_retry(project, build, given, expected):
    assert options(project, build.flow(build.use("retry", **given))).retry == expected


def test_catch(project, build):
    assert options(project, build.flow(build.use("catch"))).catch == CatchPolicy()
    found = options(project, build.flow(build.use("catch", var="error", print_exception=False))).catch
    assert found == CatchPolicy(var="error", print_exception=False)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({"seconds": 5}, 5), ({"minutes": 1.5}, 90), ({"hours": 1, "minutes": 1, "seconds": 1}, 3661)],
)
def test_timeout_adds_up(project, build, given, seconds):
    assert options(project, build.flow(build.use("timeout", **given))).timeout == seconds


def test_a_time_limit_is_taken_from_one_place_as_a_whole(project, build):
    flow = build.flow(build.use("timeout", seconds=30), flow=(build.use("timeout", hours=1),))
    assert options(project, flow).timeout == 30
    assert options(project, flow, "train.timeout.minutes=2").timeout == 120
    assert options(project, flow, "train.timeout.minutes=2", "train.timeout.seconds=1").timeout == 121


def test_isolation(project, build):
    found = options(project, build.flow(build.use("isolation", kind="spawn", reuse=4)))
    assert (found.isolation, found.reuse) == (Isolation.SPAWN, 4)
    found = options(project, build.flow(build.use("isolation", "thread", reuse="auto")))
    assert (found.isolation, found.reuse) == (Isolation.THREAD, 0)
    found = options(project, build.flow(), with_=("isolation:kind=inline,reuse=auto",))
    assert (found.isolation, found.reuse) == (Isolation.INLINE, 0)


def test_environment_variables(project, build):
    flow = build.flow(
        build.use("environment_variables", vars={"A": "step", "B": "b"}),
        flow=(build.use("environment_variables", vars={"A": "flow", "C": "c"}),),
    )
    project.pyproject("[tool.dovetail.environment_variables]\nD = 'd'\nOMP_NUM_THREADS = 1")
    found = options(project, flow, "train.environment_variables.B=set")
    assert found.env == {"A": "step", "B": "set", "C": "c", "D": "d", "OMP_NUM_THREADS": "1"}
    found = options(project, build.flow(), with_=('environment_variables:vars={"X": "1,2"},Y=2',))
    assert found.env["X"] == "1,2"
    assert found.env["Y"] == "2"


def test_resources(project, build):
    found = options(project, build.flow(build.use("resources", cpu=0.5, memory=100, gpu=1, disk=2, shared_memory=3)))
    assert found.resources == Resources(cpu=0.5, memory_mb=100, gpu=1, disk_mb=2, shared_memory_mb=3)


def test_resources_and_compute_merge_by_maximum(project, build):
    flow = build.flow(
        build.use("compute", "local", cpu=4, memory=1000, disk=7), build.use("resources", cpu=2, memory=8000)
    )
    assert options(project, flow).resources == Resources(cpu=4.0, memory_mb=8000, disk_mb=7)
    assert options(project, flow, "train.compute.memory=9000").resources.memory_mb == 9000
    assert options(project, build.flow(build.use("compute", "local", cpu=0.25))).resources.cpu == 0.25


def test_precedence_key_by_key(project, build):
    project.user("[retry]\nbackoff = 5\njitter = 0.1")
    project.pyproject("[tool.dovetail.retry]\nbackoff = 4\nmax_delay = 40")
    project.env["DOVETAIL__RETRY__MAX_DELAY"] = "30"
    flow = build.flow(build.use("retry", times=1), flow=(build.use("retry", times=9, delay=2),))
    found = options(project, flow)
    assert found.retry == RetryPolicy(times=1, delay=2.0, backoff=4.0, max_delay=30.0, jitter=0.1)
    assert found.sources["retry.max_delay"] == "environment variable DOVETAIL__RETRY__MAX_DELAY"
    assert options(project, flow, "train.retry.times=7").retry.times == 7
    assert options(project, flow, "*.retry.times=8", "train.retry.times=7").retry.times == 7
    assert options(project, flow, "train.retry.times=7", "train.retry.times=6").retry.times == 6


def test_with_fills_kinds_that_the_step_did_not_set(project, build):
    with_ = ("retry:times=9,delay=9", "timeout:seconds=5")
    found = options(project, build.flow(build.use("retry", times=1)), with_=with_)
    assert (found.retry, found.timeout) == (RetryPolicy(times=1), 5)
    found = options(project, build.flow(flow=(build.use("retry", times=1, backoff=3),)), with_=with_)
    assert found.retry == RetryPolicy(times=9, delay=9.0, backoff=3.0)


def test_set_makes_a_policy_that_nothing_else_mentions(project, build):
    assert options(project, build.flow(), "train.retry.times=2").retry == RetryPolicy(times=2)
    assert options(project, build.flow(), "train.catch.var=error").catch == CatchPolicy(var="error")


BAD = [
    (("retry", {"tims": 2}), "has no setting 'tims'"),
    (("retry", {"times": -1}), "times must be 0 or more"),
    (("retry", {"times": "2"}), "times must be a whole number"),
    (("retry", {"backoff": 0.5}), "backoff must be at least 1"),
    (("retry", {"jitter": 2}), "jitter must be between 0 and 1"),
    (("retry", {"minutes_between_retries": "x"}), "minutes_between_retries must be a number"),
    (("catch", {"var": "not a name"}), "var must be the name of an artifact"),
    (("timeout", {}), "the time must be more than 0"),
    (("timeout", {"seconds": -5}), "the time must be more than 0"),
    (("resources", {"cpu": 0}), "cpu must be more than 0"),
    (("resources", {"memory": 1.5}), "memory must be a whole number"),
    (("environment_variables", {"vars": {"A B": "x"}}), "'A B' is not the name of a variable"),
    (("environment_variables", {"vars": {"DOVETAIL_HOME": "x"}}), "DOVETAIL_HOME is Dovetail's own"),
    (("environment_variables", {"vars": "A"}), "vars must be a table"),
    (("isolation", {"kind": "process"}), "kind must be one of auto, fork, spawn, thread, inline"),
    (("isolation", {"reuse": 0}), "reuse must be at least 1"),
    (("isolation", {"reuse": "often"}), "reuse must be"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_wrong_options(project, build, wrong, message):
    kind, given = wrong
    flow = build.flow(build.use(kind, source="f.py:9", **given))
    with pytest.raises(SettingsError) as caught:
        options(project, flow)
    assert message in str(caught.value)
    assert f"{kind} of step 'train'" in str(caught.value)


def test_several_problems_at_once(project, build):
    flow = build.flow(build.use("retry", times=-1), build.use("timeout"), build.use("isolation", kind="x"))
    with pytest.raises(SettingsError) as caught:
        options(project, flow)
    assert str(caught.value).count("\n  ") == 3


@pytest.mark.parametrize("text", ["train.retry=3", "train.retry.times.x=3", "nothing", "=3", "a..b=1"])
def test_malformed_set(project, text):
    with pytest.raises(SettingsError, match="--set"):
        project.load(text)
