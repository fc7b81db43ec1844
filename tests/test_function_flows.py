"""Flows written as functions: calls, futures, maps, failures, isolation, and going on after a crash."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from flowproject import FlowProject, Said

IMPORTS = "import asyncio, time\nfrom dovetail import allow_failure, flow, isolation, recorded, task, unmapped\n"


def written(project: FlowProject, flow: str) -> None:
    project.write(IMPORTS + flow)


def names(said: Said) -> Counter[str]:
    """How often each task began, whatever its inputs."""
    found: Counter[str] = Counter()
    for path, count in said.ran.items():
        found[path.rpartition("/")[2].partition("~")[0].partition("[")[0]] += count
    return found


def result(project: FlowProject, run: str) -> object:
    return project.data(run).result


ARITHMETIC = """
@task
def double(x):
    count()
    return 2 * x

@task
async def triple(x):
    count()
    await asyncio.sleep(0)
    return 3 * x
"""


def test_a_call_is_a_task_whose_value_comes_back(project: FlowProject) -> None:
    written(project, ARITHMETIC + "@flow\ndef shop(n: int = 2):\n    return double(double(n))\n")
    said = project.ok("run", "flow.py", "--n", "5")
    assert result(project, said.run) == 20
    assert names(said) == {"double": 2}
    tasks = {task.path: task for task in project.run(said.run).tasks() if task.path != "shop"}
    assert sorted(task.data.result for task in tasks.values()) == [10, 20]
    assert all(str(task.state) == "succeeded" for task in tasks.values())


def test_equal_calls_are_counted_and_different_ones_told_apart(project: FlowProject) -> None:
    written(project, ARITHMETIC + "@flow\ndef shop():\n    return [double(1), double(x=1), double(2)]\n")
    said = project.ok("run", "flow.py")
    paths = sorted(said.ran)
    assert len(paths) == 3
    assert sum(path.endswith("#2") for path in paths) == 1
    assert len({path.removesuffix("#2") for path in paths}) == 2


def test_gathered_coroutines_run_side_by_side(project: FlowProject) -> None:
    written(
        project,
        """
waiting = 0
most = 0

@task
async def wait(i):
    global waiting, most
    waiting += 1
    most = max(most, waiting)
    await asyncio.sleep(0.05)
    waiting -= 1
    return i

@flow
async def shop():
    return [*await asyncio.gather(*[wait(i) for i in range(10)]), most]
""",
    )
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == [*range(10), 10]


def test_threads_of_the_body_call_tasks(project: FlowProject) -> None:
    """They belong to the attempt that has the process; each gets its own answer, and equal calls are told apart."""
    written(
        project,
        ARITHMETIC
        + """
from concurrent.futures import ThreadPoolExecutor

def both(n):
    return double(n % 10) + double.submit(n % 10).result()

@flow
def shop():
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(both, range(100)))
""",
    )
    project.patience = 60
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == [4 * (n % 10) for n in range(100)]
    paths = [path for path in project.states(said.run) if path.startswith("double")]
    assert len(paths) == 200
    assert sum("#" in path for path in paths) == 190


def test_futures_in_containers_are_replaced_and_are_the_lineage(project: FlowProject) -> None:
    written(
        project,
        """
from dataclasses import dataclass

@dataclass
class Pair:
    left: int
    right: object

@task
def one(x):
    return x

@task
def add(pair, more):
    return pair.left + pair.right + sum(more["list"])

@flow
def shop():
    a, b, c = one.submit(1), one.submit(10), one.submit(100)
    return add.submit(Pair(a, b), more={"list": [c, 1000]}).result()
""",
    )
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == 1111
    (add,) = [task for task in project.run(said.run).tasks() if task.path.startswith("add~")]
    assert sorted(parent.path.partition("~")[0] for parent in add.parent_tasks) == ["one", "one", "one"]


def test_a_map_keeps_order_and_draws_a_generator_as_it_goes(project: FlowProject) -> None:
    written(
        project,
        """
@task
def scaled(x, by):
    return x * by

def numbers():
    yield from range(50)

@flow
def shop():
    return [future.result() for future in scaled.map(numbers(), by=unmapped(3))]
""",
    )
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == [3 * i for i in range(50)]
    assert sum(path.startswith("scaled[") for path in project.states(said.run)) == 50


@pytest.mark.parametrize("kind", ["inline", "thread", "fork", "spawn"])
def test_isolation_is_a_dial(project: FlowProject, kind: str) -> None:
    written(
        project,
        f"""
@isolation("{kind}")
@task
def where(x):
    import threading
    return os.getpid(), threading.get_ident(), x + 1

@flow
def shop():
    import threading
    return [os.getpid(), threading.get_ident()], where(1), where.submit(2).result()
""",
    )
    said = project.ok("run", "flow.py")
    found: list[tuple[int, int, int]]
    (process, thread), *found = result(project, said.run)  # type: ignore[misc]
    assert [value for _, _, value in found] == [2, 3]
    assert all((pid == process) is (kind in ("inline", "thread")) for pid, _, _ in found)
    if kind in ("inline", "thread"):
        submitted = found[1]
        assert (submitted[1] == thread) is (kind == "inline")


def test_a_failure_that_is_handled_does_not_fail_the_flow(project: FlowProject) -> None:
    written(
        project,
        """
@task
def bad(x):
    raise ValueError(f"bad {x}")

@isolation("fork")
@task
def far(x):
    raise KeyError(f"far {x}")

@task
def told(error):
    return repr(error)

@flow
def shop():
    seen = []
    for task in bad, far:
        try:
            task(1)
        except (ValueError, KeyError) as error:
            seen.append(type(error).__name__)
    seen.append(type(bad.submit(2).exception()).__name__)
    return [*seen, told(allow_failure(bad.submit(3)))]
""",
    )
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == ["ValueError", "KeyError", "ValueError", "ValueError('bad 3')"]


def test_a_failure_that_nobody_asked_about_fails_the_flow_by_its_name(project: FlowProject) -> None:
    written(
        project,
        """
@task
def bad(x):
    raise ValueError(f"bad {x}")

@flow
def shop():
    bad.submit(5)
    return 1
""",
    )
    said = project.fails("run", "flow.py")
    assert "ValueError: bad 5" in said.err
    assert "in bad" in said.err
    assert "dovetail logs" in said.err
    states = project.states(said.run)
    assert sorted(states.values()) == ["failed", "failed"]


RETRIED = """
@task(retries=3)
def flaky(x):
    count()
    if os.path.getsize(os.environ["COUNTS"]) < 100:
        raise OSError("not yet")
    return x

@isolation("fork")
@task
def once(x):
    count()
    return x

@flow(retries=1)
def shop():
    a, b = once(1), flaky(2)
    if not os.path.exists("second"):
        open("second", "w").close()
        raise RuntimeError("the body fails once")
    return a + b
"""


def test_a_retried_body_replays_what_it_called(project: FlowProject) -> None:
    written(project, RETRIED)
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == 3
    ran = names(said)
    assert ran["once"] == 1
    assert 1 < ran["flaky"] <= 4
    assert project.states(said.run)["shop"] == "succeeded"


KILLED = """
@task
def near(i):
    count()
    if i == 5 and not os.path.exists("reached"):
        open("reached", "w").close()
        time.sleep(60)
    return i

@isolation("fork")
@task
def far(i):
    count()
    return 10 * i

@flow
def shop():
    total = 0
    for i in range(10):
        total += near(i) + far(i)
    return total
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on_and_repeats_no_call(project: FlowProject, number: int) -> None:
    written(project, KILLED)
    driving = project.start("run", "flow.py")
    driving.wait_for("reached")
    driving.signal(number)
    before = driving.end()
    assert names(before) == {"near": 6, "far": 5}
    after = project.ok("resume")
    assert after.run == driving.run
    assert names(after) == {"near": 5, "far": 5}
    assert result(project, after.run) == 11 * sum(range(10))


def test_a_changed_body_forks_from_what_is_recorded(project: FlowProject) -> None:
    written(project, KILLED.replace("60", "0").replace("return total", 'raise RuntimeError("end")'))
    failed = project.fails("run", "flow.py")
    project.change('raise RuntimeError("end")', "return total + near(100)")
    after = project.ok("resume")
    assert after.run != failed.run
    assert names(after) == {"near": 1}
    assert result(project, after.run) == 11 * sum(range(10)) + 100


def test_a_changed_task_runs_again(project: FlowProject) -> None:
    written(project, KILLED.replace("60", "0").replace("return total", 'raise RuntimeError("end")'))
    project.fails("run", "flow.py")
    project.change("return 10 * i", "return 100 * i")
    project.change('raise RuntimeError("end")', "return total")
    after = project.ok("resume")
    assert names(after) == {"far": 10}
    assert result(project, after.run) == 101 * sum(range(10))


STEPS = """
@task
def part(i):
    count()
    return i * i

class Squares(FlowSpec):
    @step
    def start(self):
        self.parts = [part(i) for i in range(3)]
        self.more = [one.result() for one in part.map([7, 8])]
        if not os.path.exists("second"):
            open("second", "w").close()
            raise RuntimeError("once")
        self.next(self.end)

    start = retry(times=1)(start)

    @step
    def end(self):
        pass
"""


def test_a_task_called_in_a_step_is_its_child_and_survives_its_retry(project: FlowProject) -> None:
    written(project, STEPS)
    said = project.ok("run", "flow.py")
    assert project.data(said.run).parts == [0, 1, 4]
    assert project.data(said.run).more == [49, 64]
    assert names(said) == {"part": 5}
    assert sum(path.startswith("start/part") for path in project.states(said.run)) == 5


def test_a_timeout_stops_a_task_or_is_refused(project: FlowProject) -> None:
    written(
        project,
        """
@task(timeout=0.5)
def slow():
    time.sleep(60)

@flow
def shop():
    slow()
""",
    )
    said = project.fails("run", "flow.py")
    assert "slow" in said.err
    assert "time" in said.err
    project.change("@task(timeout=0.5)", '@task(timeout=0.5, isolation="thread")')
    refused = project.fails("run", "flow.py", code=2)
    assert "slow" in refused.err
    assert "isolation 'thread' can't enforce" in refused.err


def test_an_option_at_the_call_site_wins(project: FlowProject) -> None:
    written(
        project,
        """
@task
def where():
    return os.getpid()

@flow
def shop():
    return os.getpid() == where(), os.getpid() == where.with_options(isolation="fork")()
""",
    )
    said = project.ok("run", "flow.py")
    assert tuple(result(project, said.run)) == (True, False)  # type: ignore[arg-type]


def test_a_task_that_no_process_can_find_is_refused_where_it_is_called(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def shop():
    @task
    def inner(x):
        return x + 1
    assert inner(1) == 2
    return inner.with_options(isolation="fork")(1)
""",
    )
    said = project.fails("run", "flow.py")
    assert "inner" in said.err
    assert "top level" in said.err


def test_time_and_chance_are_the_same_when_a_run_goes_on(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def shop():
    drawn = [recorded.now().isoformat(), recorded.random(), recorded.random(), recorded.uuid()]
    recorded.sleep(0.01)
    with open("drawn", "a") as file:
        file.write(repr(drawn) + "\\n")
    if not os.path.exists("reached"):
        open("reached", "w").close()
        time.sleep(60)
    return drawn
""",
    )
    driving = project.start("run", "flow.py")
    driving.wait_for("reached")
    driving.signal(signal.SIGKILL)
    driving.end()
    after = project.ok("resume")
    first, second = (project.folder / "drawn").read_text().splitlines()
    assert first == second == repr(result(project, after.run))
    assert len(set(result(project, after.run))) == 4  # type: ignore[call-overload]


def test_a_killed_task_that_is_caught_gives_the_error(project: FlowProject) -> None:
    written(
        project,
        """
@catch
@task(isolation="fork")
def dies():
    os.kill(os.getpid(), 9)

@flow
def shop():
    found = dies()
    return bool(found), found.kind
""",
    )
    said = project.ok("run", "flow.py")
    assert tuple(result(project, said.run)) == (True, "signal")  # type: ignore[arg-type]


def test_a_call_chooses_another_data_store(project: FlowProject) -> None:
    """One that no task of the file names: the run comes to know it when the task is called."""
    (project.folder / "dovetail.toml").write_text('[datastore.archive]\nuse = "local"\npath = "archive"\n')
    project.write(
        """
from dovetail import flow, task

@task
def text(n: int):
    return "x" * n

@task
def size(text: str):
    return len(text)

@flow
def sizes(fail: bool = False):
    kept = text.with_options(datastore="archive")
    found = [
        len(kept(5000)),
        size(kept(6000)),
        size.with_options(isolation="fork")(kept.submit(7000)),
        len(kept.with_options(isolation="fork")(8000)),
    ]
    if fail:
        raise ValueError("on purpose")
    return found
"""
    )
    said = project.ok("run", "flow.py")
    assert project.ok("get", f"{said.run}/result").out == "[5000, 6000, 7000, 8000]\n"
    assert sum(path.stat().st_size > 1000 for path in (project.folder / "archive").rglob("*") if path.is_file()) == 4
    failed = project.fails("run", "flow.py", "--fail", "true", code=1)
    project.write((project.folder / "flow.py").read_text().replace('raise ValueError("on purpose")', "pass"))
    resumed = project.ok("resume", failed.run)
    assert project.ok("get", f"{resumed.run}/result").out == "[5000, 6000, 7000, 8000]\n"
    assert "7 of them reused" in resumed.err or "6 of them reused" in resumed.err


def test_a_forked_task_finds_all_that_it_needs_imported(project: FlowProject) -> None:
    """What each of a thousand processes would import for itself costs more than a short task does."""
    written(
        project,
        """
import sys

HERE, LATE = os.getpid(), []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if os.getpid() != HERE:
            LATE.append(name)

sys.meta_path.insert(0, Watch())

@isolation("fork")
@task
def late(x):
    return os.getpid() != HERE, [name for name in LATE if name.startswith("dovetail.")]

@flow
def shop():
    return late(1)
""",
    )
    said = project.ok("run", "flow.py")
    assert result(project, said.run) == (True, [])
