"""Caching across runs: what makes a value stand for a task's own, what makes it run, and what it costs to ask."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from flowproject import FlowProject, Said

from dovetail.artifacts.manifest import read_marker
from dovetail.artifacts.records import CommitRecord
from dovetail.artifacts.segments import read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.engine.caching import ResultCache, cache_key
from dovetail.engine.calls import StepPlan
from dovetail.interfaces.caching import CacheKey, CachePolicy
from dovetail.interfaces.metadata import Page, Query
from dovetail.interfaces.tasks import Arguments, CallInputs, CodeRef, Isolation, Policy, Resources, Scope, TaskCall
from dovetail.local.metadata import SqliteMetadata
from dovetail.local.store import LocalStore

IMPORTS = "import time\nfrom datetime import timedelta\nfrom dovetail import flow, isolation, task\n"
TWICE = """
FACTOR = 2

def helper(x):
    return FACTOR * x

@task(cache="inputs+code+environment")
def twice(x):
    count()
    return helper(x)

@flow
def shop(n: int = 3):
    return [twice(x) for x in range(n)]
"""


def written(project: FlowProject, flow: str) -> None:
    project.write(IMPORTS + flow)


def names(said: Said) -> Counter[str]:
    """How often each task began."""
    found: Counter[str] = Counter()
    for path, count in said.ran.items():
        found[path.rpartition("/")[2].partition("~")[0].partition("[")[0]] += count
    return found


def result(project: FlowProject, said: Said) -> object:
    return project.data(said.run).result


def test_a_second_run_takes_what_the_first_made(project: FlowProject) -> None:
    written(project, TWICE)
    first = project.ok("run", "flow.py")
    assert names(first) == {"twice": 3}
    second = project.ok("run", "flow.py", "--n", "5")
    assert names(second) == {"twice": 2}
    assert result(project, second) == [0, 2, 4, 6, 8]
    states = Counter(state for path, state in project.states(second.run).items() if path != "shop")
    assert states == {"cached": 3, "succeeded": 2}
    cached = [task for task in project.run(second.run).tasks() if str(task.state) == "cached"]
    assert {task.metadata["origin"] for task in cached} == {first.run}
    earlier = {task.path: task.finished_at for task in project.run(first.run).tasks()}
    assert all(task.finished_at == earlier[task.path] for task in cached)


def test_what_was_taken_is_found_through_the_run_that_took_it(project: FlowProject) -> None:
    written(project, TWICE)
    first = project.ok("run", "flow.py")
    second = project.ok("run", "flow.py")
    shutil.rmtree(project.home / "local" / "runs" / first.run)
    third = project.ok("run", "flow.py")
    assert not second.ran
    assert not third.ran
    origins = {task.metadata["origin"] for task in project.run(third.run).tasks() if str(task.state) == "cached"}
    assert origins == {first.run}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("return helper(x)", "return helper(x) + 0", id="code"),
        pytest.param("return FACTOR * x", "return FACTOR * x + 0", id="helper"),
        pytest.param("FACTOR = 2", "FACTOR = 3", id="constant that a helper reads"),
    ],
)
def test_changed_code_runs(project: FlowProject, old: str, new: str) -> None:
    written(project, TWICE)
    project.ok("run", "flow.py")
    project.change(old, new)
    assert names(project.ok("run", "flow.py")) == {"twice": 3}
    project.change(new, old)
    assert not project.ok("run", "flow.py").ran


def test_a_changed_helper_in_another_module_runs(project: FlowProject) -> None:
    project.write("def helper(x):\n    return 2 * x\n", name="helpers.py", counting=False)
    imported = "from helpers import helper\n" + TWICE.replace("def helper(x):\n    return FACTOR * x\n", "")
    written(project, imported)
    project.ok("run", "flow.py")
    assert not project.ok("run", "flow.py").ran
    project.change("2 * x", "5 * x", name="helpers.py")
    again = project.ok("run", "flow.py")
    assert names(again) == {"twice": 3}
    assert result(project, again) == [0, 5, 10]


def test_parts_say_what_counts(project: FlowProject) -> None:
    written(project, TWICE.replace("inputs+code+environment", "inputs"))
    project.ok("run", "flow.py")
    project.change("return FACTOR * x", "return FACTOR * x + 100")
    second = project.ok("run", "flow.py")
    assert not second.ran
    assert result(project, second) == [0, 2, 4]


def test_another_environment_runs(project: FlowProject) -> None:
    written(project, TWICE)
    project.ok("run", "flow.py")
    with sqlite3.connect(project.home / "metadata.db") as connection:
        keys = {row[0] for row in connection.execute("SELECT cache FROM task WHERE cache NOT NULL")}
    assert len(keys) == 3
    assert all(len(key) == 22 for key in keys)

    def key(by: tuple[str, ...], **more: str) -> bytes:
        plan = StepPlan(
            code=CodeRef(module="m", name="f", key=more.get("code", "c").encode()),
            environment=more.get("environment", "host-3.11"),
            resources=Resources(),
            backend="local",
            datastore=more.get("datastore", "s"),
            isolation=Isolation.AUTO,
            policy=Policy(cache=CachePolicy(by=by)),
        )
        found = cache_key(plan, Arguments(b"", more.get("inputs", "i").encode()), more.get("store", "s"))
        assert found is not None
        return found.digest

    everything = ("inputs", "code", "environment")
    for part in everything:
        without = tuple(name for name in everything if name != part)
        assert key(everything, **{part: "other"}) != key(everything)
        assert key(without, **{part: "other"}) == key(without)
    assert key(everything, store="other") != key(everything) != key(everything, datastore="other")


def test_cache_false_and_tasks_without_cache_run(project: FlowProject) -> None:
    written(project, TWICE.replace("twice(x) for", "twice.with_options(cache=False)(x) for"))
    project.ok("run", "flow.py")
    assert names(project.ok("run", "flow.py")) == {"twice": 3}
    written(project, TWICE.replace('@task(cache="inputs+code+environment")', "@task"))
    project.ok("run", "flow.py")
    assert names(project.ok("run", "flow.py", "--refresh")) == {"twice": 3}
    with sqlite3.connect(project.home / "metadata.db") as connection:
        assert connection.execute("SELECT count(*) FROM task WHERE cache NOT NULL").fetchone() == (0,)
    assert names(project.ok("run", "flow.py", "--with", "cache")) == {"twice": 3}
    assert not project.ok("run", "flow.py", "--with", "cache").ran


def test_refresh_makes_anew_for_later_runs_too(project: FlowProject) -> None:
    written(project, TWICE.replace("return helper(x)", "return os.environ['SAYS']"))
    project.ok("run", "flow.py", env={"SAYS": "a"})
    refreshed = project.ok("run", "flow.py", "--refresh", env={"SAYS": "b"})
    assert result(project, refreshed) == ["b"] * 3
    assert result(project, project.ok("run", "flow.py", env={"SAYS": "c"})) == ["b"] * 3
    one = project.ok("run", "flow.py", "--refresh=twice", env={"SAYS": "d"})
    assert names(one) == {"twice": 3}
    project.change("twice(x) for", "twice.with_options(refresh=True)(x) for")
    assert names(project.ok("run", "flow.py", env={"SAYS": "e"})) == {"twice": 3}


def test_an_old_value_is_made_anew(project: FlowProject) -> None:
    written(project, TWICE.replace('environment")', 'environment", expires=timedelta(hours=2))'))
    first = project.ok("run", "flow.py")
    assert not project.ok("run", "flow.py").ran
    again = project.ok("run", "flow.py", "--set", "twice.cache.expires=0.001s")
    assert names(again) == {"twice": 3}
    notes = json.loads(project.ok("show", again.run, "--notes", "--json").out)["notes"]
    assert any("has expired" in note["message"] for note in notes)
    assert first.run not in {task.metadata.get("origin") for task in project.run(again.run).tasks()}


def test_the_age_is_that_of_the_value_not_of_who_took_it(project: FlowProject) -> None:
    written(project, TWICE)
    project.ok("run", "flow.py")
    begun = time.time()
    project.ok("run", "flow.py")
    with sqlite3.connect(project.home / "metadata.db") as connection:
        finished = connection.execute("SELECT max(created) FROM run").fetchone()[0]
    assert finished > begun  # the second run is younger than the value that it took
    age = time.time() - begun
    said = project.ok("run", "flow.py", "--set", f"twice.cache.expires={age}")
    assert names(said) == {"twice": 3}


def test_failed_and_caught_tasks_are_never_cached(project: FlowProject) -> None:
    written(
        project,
        """
@task(cache=True)
def bad(x):
    count()
    raise ValueError(x)

@catch
@task(cache=True)
def caught(x):
    count()
    raise ValueError(x)

@flow
def shop():
    caught(1)
    try:
        bad(1)
    except ValueError:
        return "handled"
""",
    )
    for _ in range(2):
        assert names(project.ok("run", "flow.py")) == {"bad": 1, "caught": 1}


@pytest.mark.parametrize("kind", ["inline", "thread", "fork", "spawn"])
def test_every_isolation_takes_cached_values(project: FlowProject, kind: str) -> None:
    written(
        project,
        f"""
@isolation("{kind}")
@task(cache=True)
def big(x):
    count()
    return bytes([x]) * 100_000

@flow
def shop():
    return [len(value) for value in [*[f.result() for f in big.map(range(6))], big.submit(1).result(), big(7)]]
""",
    )
    first = project.ok("run", "flow.py")
    assert names(first) == {"big": 8}
    second = project.ok("run", "flow.py")
    assert not second.ran
    assert result(project, second) == [100_000] * 8


def test_coroutines_take_cached_values(project: FlowProject) -> None:
    written(
        project,
        """
import asyncio

@task(cache=True)
async def twice(x):
    count()
    return 2 * x

@flow
async def shop():
    return await asyncio.gather(*[twice(x) for x in range(5)])
""",
    )
    project.ok("run", "flow.py")
    second = project.ok("run", "flow.py")
    assert not second.ran
    assert result(project, second) == [0, 2, 4, 6, 8]


def test_a_missing_object_or_record_is_a_miss(project: FlowProject) -> None:
    flow = """
@task(cache=True)
def big(x):
    count()
    return os.urandom(200_000)

@flow
def shop():
    return sum(len(big(x)) for x in range(3))
"""
    written(project, flow)
    first = project.ok("run", "flow.py")
    store = project.home / "local"
    objects = sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size >= 200_000)
    assert len(objects) == 3
    objects[0].unlink()
    second = project.ok("run", "flow.py")
    assert names(second) == {"big": 1}
    assert result(project, second) == 600_000
    for run in (first.run, second.run):
        for folder in [path for path in store.rglob(run) if path.is_dir()]:
            shutil.rmtree(folder)
    third = project.ok("run", "flow.py")
    assert names(third) == {"big": 3}
    assert not project.ok("run", "flow.py").ran


def test_small_values_live_on_in_each_run_that_took_them(project: FlowProject) -> None:
    written(
        project,
        """
@task(cache=True)
def text(x):
    count()
    return chr(97 + x) * 5000

@flow
def shop():
    return "".join(text(x)[0] for x in range(3))
""",
    )
    first = project.ok("run", "flow.py")
    second = project.ok("run", "flow.py")
    for folder in [path for path in (project.home / "local").rglob(first.run) if path.is_dir()]:
        shutil.rmtree(folder)
    assert result(project, second) == "abc"
    assert [t.data.result for t in project.run(second.run).tasks(step="text", oldest_first=True)][2] == "c" * 5000
    assert not project.ok("run", "flow.py").ran


def test_runs_at_the_same_time_each_make_their_own(project: FlowProject) -> None:
    written(
        project,
        """
@task(cache=True)
def slow(x):
    count()
    time.sleep(0.2)
    return x

@flow
def shop():
    return [f.result() for f in slow.map(range(3))]
""",
    )
    both = [project.start("run", "flow.py") for _ in range(2)]
    for driving in both:
        said = driving.end()
        assert said.code == 0, str(said)
        assert result(project, said) == [0, 1, 2]
    assert not project.ok("run", "flow.py").ran


def test_a_value_kept_though_the_code_changed_is_not_found_by_other_runs(project: FlowProject) -> None:
    written(
        project, TWICE.replace("return [twice(x) for x in range(n)]", "v = [twice(x) for x in range(n)]\n    boom\n")
    )
    first = project.fails("run", "flow.py")
    project.change("return helper(x)", "return helper(x) + 100")
    project.change("    boom\n", "    return v\n")
    kept = project.ok("resume", first.run, "--ignore", "code")
    assert result(project, kept) == [0, 2, 4]
    fresh = project.ok("run", "flow.py")
    assert names(fresh) == {"twice": 3}
    assert result(project, fresh) == [100, 102, 104]


def test_resume_from_a_task_runs_it_though_it_is_cached(project: FlowProject) -> None:
    written(project, TWICE)
    first = project.ok("run", "flow.py")
    again = project.ok("resume", first.run, "--from", "twice", "--from", "shop")
    assert names(again) == {"twice": 3}


def test_tasks_of_steps_are_cached_and_steps_are_not(project: FlowProject) -> None:
    written(
        project,
        """
@task(cache=True)
def twice(x):
    count()
    return 2 * x

class Shop(FlowSpec):
    @step
    def start(self):
        self.y = twice(4)
        self.next(self.end)

    @step
    def end(self):
        pass
""",
    )
    first = project.ok("run", "flow.py", "--with", "cache")
    assert names(first) == {"twice": 1}
    second = project.ok("run", "flow.py")
    assert not second.ran
    states = project.states(second.run)
    assert states["start"] == "succeeded"
    assert [state for path, state in states.items() if "twice" in path] == ["cached"]
    said = project.fails("run", "flow.py", "--set", "start.cache.by=inputs", code=2)
    assert "only tasks are cached" in said.err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('cache="inputs+cod"', "does not say what a value depends on"),
        ('cache=True, expires="soon"', "is no time"),
        ("cache=True, expires=-1", "is no time"),
    ],
)
def test_what_makes_no_sense_is_told(project: FlowProject, given: str, told: str) -> None:
    written(project, TWICE.replace('cache="inputs+code+environment"', given))
    assert told in project.fails("run", "flow.py", code=2).err


def test_an_index_made_anew_finds_values_again(project: FlowProject) -> None:
    written(project, TWICE)
    project.ok("run", "flow.py")
    project.ok("metadata-rebuild")
    assert not project.ok("run", "flow.py").ran


def test_an_older_database_is_brought_up_to_date(project: FlowProject) -> None:
    written(project, TWICE)
    first = project.ok("run", "flow.py")
    with sqlite3.connect(project.home / "metadata.db") as connection:
        connection.execute("DROP INDEX task_cache")
        connection.execute("ALTER TABLE task DROP COLUMN cache")
        connection.execute("PRAGMA user_version = 1")
    assert project.states(first.run)
    assert names(project.ok("run", "flow.py")) == {"twice": 3}
    assert not project.ok("run", "flow.py").ran


class Counting(SqliteMetadata):
    """Counts what it is asked."""

    asked = 0

    def query(self, query: Query, *, columns: Sequence[str] | None = None) -> Page:
        self.asked += 1
        return super().query(query, columns=columns)


@pytest.mark.parametrize("way", ["[f.result() for f in small.map(range(600))]", "[small(x) for x in range(600)]"])
def test_the_index_is_asked_once_a_batch(project: FlowProject, way: str) -> None:
    written(project, f"@task(cache=True)\ndef small(x):\n    return x\n\n@flow\ndef shop():\n    return {way}\n")
    said = project.ok("run", "flow.py")
    store = LocalStore(project.home / "local")
    uuid = read_marker(store).uuid
    records = [record for record in read_records(store, said.run) if record.cache is not None]
    assert len(records) == 600
    policy = Policy(cache=CachePolicy(by=("inputs", "code", "environment")))
    calls = [a_call(record, policy, uuid) for record in records]

    opened: list[Counting] = []

    def cache() -> tuple[ResultCache, Counting]:
        provider = Counting(project.home / "metadata.db")
        opened.append(provider)
        artifacts = ArtifactStore({uuid: store}, default=uuid)
        return ResultCache(run="another", provider=provider, store=store, uuid=uuid, artifacts=artifacts), provider

    batched, provider = cache()
    batched.look_up(calls)
    assert provider.asked == 1
    assert all(batched.find(call).record is not None for call in calls)
    assert provider.asked <= 3
    one_by_one, provider = cache()
    found = [one_by_one.find(call).record for call in calls]
    assert [record.path for record in found if record is not None] == [record.path for record in records]
    assert provider.asked <= 4  # what one run made in turn is looked up ahead
    nothing, provider = cache()
    nothing.look_up([replace(call, cache_key=CacheKey(bytes(32), "inputs")) for call in calls])
    assert provider.asked == 1
    assert nothing.find(replace(calls[0], cache_key=CacheKey(bytes(32), "inputs"))).record is None
    assert provider.asked == 1
    own, provider = cache()
    own._run = said.run
    assert own.find(calls[0]).record is None
    for one in opened:
        one.close()


def a_call(record: CommitRecord, policy: Policy, store: str) -> TaskCall:
    return TaskCall(
        path=record.path,
        step="small",
        code=CodeRef(module="flow", name="small", key=record.code_key),
        inputs=CallInputs(scope=Scope(None, b"", b"")),
        digest=record.call_digest,
        environment=record.environment,
        resources=Resources(),
        backend="local",
        datastore=store,
        isolation=Isolation.AUTO,
        policy=policy,
        cache_key=record.cache,
    )
