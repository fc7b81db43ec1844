"""Everything wrong with a flow's choices at once, and where every value came from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dovetail.interfaces.caching import CachePolicy
from dovetail.interfaces.errors import PluginError, SettingsError
from dovetail.interfaces.problems import Problem
from dovetail.settings.exported import exported


def codes(problems):
    return [problem.code for problem in problems]


def test_nothing_wrong(project, build):
    flow = build.flow(build.use("retry", times=2), build.use("compute", "local", cpu=2))
    assert project.load("train.retry.times=1", with_=("timeout:seconds=5",)).check(flow) == []


def test_all_problems_with_their_places(project, build):
    flow = build.flow(
        build.use("compute", "kuberntes", source="f.py:3"),
        build.use("retry", times=-1, source="f.py:4"),
        build.use("rety", source="f.py:5"),
        build.use("timeout", seconds=5, source="f.py:6"),
        build.use("isolation", kind="inline", source="f.py:8"),
        flow=(build.use("datastore", "s3", source="f.py:1"),),
    )
    problems = project.load("trian.retry.times=1", "end.retry.delay=x").check(flow)
    text = "\n".join(map(str, problems))
    for part in (
        "--set trian.retry.times=1: F has no step 'trian'",
        "Did you mean 'train'?",
        "f.py:3: step 'train' asks for compute 'kuberntes'",
        "pip install dovetail-kubernetes",
        "f.py:5: no installed plugin provides the decorator 'rety'",
        "Did you mean 'retry'?",
        "f.py:4: retry of step 'train': times must be 0 or more",
        "pip install dovetail-s3",
    ):
        assert part in text
    assert all(problem.message for problem in problems)
    assert len(problems) == len(set(problems))


def test_wrong_options_and_isolation(project, build):
    flow = build.flow(build.use("retry", times=-1), build.use("catch", var="a b"))
    problems = project.load().check(flow)
    assert [p.message.partition(":")[0] for p in problems] == ["retry of step 'train'", "catch of step 'train'"]
    assert {(p.file, p.line) for p in problems} == {("f.py", 10)}
    told = Problem(code="decorator-argument", message="told already", file="f.py", line=4)
    flow = build.flow(build.use("retry", times=-1, source="f.py:4"), build.use("catch", var="a b", source="f.py:5"))
    assert [p.line for p in project.load().check(replace(flow, problems=(told,)))] == [5]
    flow = build.flow(build.use("timeout", seconds=5), build.use("isolation", kind="thread"))
    assert codes(project.load().check(flow)) == ["timeout-needs-process"]


@pytest.mark.parametrize("how", ["decorator", "--with", "--set"])
def test_fork_where_the_import_forbids_it(project, build, how):
    """The decorator, `--with` and `--set` are refused alike; what chooses for itself is not."""
    flow = build.flow(build.use("isolation", kind="fork", source="f.py:8")) if how == "decorator" else build.flow()
    with_ = ("isolation:kind=fork",) if how == "--with" else ()
    settings = project.load(*(("train.isolation.kind=fork",) if how == "--set" else ()), with_=with_)
    assert settings.check(flow) == []
    hazards = ("thread 'ticker' was started at import", "CUDA was used at import")
    problems = settings.check(replace(flow, fork_hazards=hazards))
    assert codes(problems) == ["unsafe-fork"] * (2 if how == "--with" else 1)
    assert "step 'train'" in problems[0].message
    assert "; ".join(hazards) in problems[0].message
    assert "'spawn'" in problems[0].fix
    assert (problems[0].file, problems[0].line) == ("f.py", 8 if how == "decorator" else 10)
    assert project.load(with_=("isolation:kind=auto",)).check(replace(build.flow(), fork_hazards=hazards)) == []


def test_with_that_means_nothing_is_a_problem(project, build):
    assert "Did you mean 'retry'?" in str(project.load(with_=("retri",)).check(build.flow())[0])


def test_explain(project, build):
    project.pyproject("[tool.dovetail.retry]\ntimes = 4\nbackoff = 2")
    flow = build.flow(build.use("retry", times=2, source="f.py:3"), build.use("resources", cpu=1, source="f.py:4"))
    settings = project.load("train.retry.times=5", "train.compute.cpu=3")
    rows = {row.key: row for row in settings.explain(flow.steps[0], flow)}
    times = rows["retry.times"]
    assert (times.value, times.source) == ("5", "--set train.retry.times=5")
    assert times.overridden == ((2, "f.py:3"), (4, "pyproject.toml"))
    assert rows["retry.delay"].source == "default"
    assert rows["retry.backoff"].value == 2
    assert rows["compute"].value == "local"
    assert (rows["resources in all: cpu"].value, rows["compute.cpu"].source) == (3.0, "--set train.compute.cpu=3")
    assert "metadata" not in rows


def test_explain_a_run_and_what_was_overridden(project, build):
    project.pyproject("[tool.dovetail.compute]\ndefault = 'x'\nx.use = 'local'")
    flow = build.flow(build.use("compute", "x", source="f.py:3"))
    settings = project.load(compute="local")
    row = next(row for row in settings.explain(flow.steps[0], flow) if row.key == "compute")
    assert (row.value, row.source) == ("local", "--compute")
    assert row.overridden[0] == ("x", "f.py:3")
    keys = {row.key.partition(".")[0] for row in settings.explain()}
    assert keys == {"datastore", "metadata", "compute", "environment"}
    assert row.to_plain()["overridden"][0] == {"value": "x", "source": "f.py:3"}


def test_names_that_plugins_export(project, monkeypatch):
    monkeypatch.chdir(project.root)
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        exported("colour")
    with pytest.raises(ImportError) as caught:
        exported("kubernetes")
    assert isinstance(caught.value, PluginError)
    assert "pip install dovetail-kubernetes" in str(caught.value)


def test_a_task_with_a_time_limit_that_nothing_can_keep(project, build):
    task = replace(build.flow(build.use("timeout", seconds=5)).steps[0], kind="task")
    inline = replace(task, decorators=(*task.decorators, build.use("isolation", kind="inline")))
    flow = replace(build.flow(), style="function")
    assert project.load().check(replace(flow, steps=(task,))) == []  # it has a process of its own then
    problem = project.load().check(replace(flow, steps=(inline,)))[0]
    assert problem.code == "timeout-needs-process"
    assert problem.message == "task 'train' has a time limit, which isolation 'inline' can't enforce"


def test_tasks_are_cached_and_steps_are_not(project, build):
    flow = build.flow(build.use("cache", by="code+inputs", expires="2h"))
    step = flow.steps[0]
    task = replace(step, kind="task")
    assert [problem.code for problem in project.load().check(flow)] == ["cache-step"]
    assert project.load().check(replace(flow, steps=(task,))) == []
    assert project.load().step_options(task, flow).cache == CachePolicy(by=("inputs", "code"), expires=7200)
    assert project.load().step_options(step, flow).cache is None
    told = project.load("train.cache.by=inputs").check(build.flow())
    assert "--set train.cache.by=inputs: 'train' is no task" in told[0].message
    assert project.load("*.cache.by=inputs").check(build.flow()) == []


def test_refresh_alone_caches_nothing(project, build):
    flow = build.flow()
    task = replace(flow.steps[0], kind="task")
    refreshed = project.load("*.cache.refresh=true")
    assert refreshed.step_options(task, flow).cache is None
    cached = replace(task, decorators=(build.use("cache", by="inputs"),))
    assert refreshed.step_options(cached, flow).cache == CachePolicy(by=("inputs",), refresh=True)
    never = replace(task, decorators=(build.use("cache", by=""),))
    assert refreshed.step_options(never, flow).cache is None
    aged = project.load("train.cache.expires=90").step_options(task, flow).cache
    assert aged == CachePolicy(by=("inputs", "code", "environment"), expires=90)
    with pytest.raises(SettingsError, match=r"expires='soon' is no time"):
        project.load("train.cache.expires=soon").step_options(task, flow)
