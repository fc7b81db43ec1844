"""Flows that are called from Python: in a script, a test, a prompt; what they return, raise and leave behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowproject import FlowProject, Said, until

from dovetail import flow, task
from dovetail.client import Client
from dovetail.interfaces.errors import ValidationError

IMPORTS = "import asyncio, time\nfrom dovetail import flow, isolation, task\n"
MAIN = "\nif __name__ == '__main__':\n    "
ARITHMETIC = """
@task
def double(x):
    count()
    return 2 * x

@flow
def shop(n: int = 2):
    print("selling", n)
    return double(double(n))
"""


def script(project: FlowProject, flow: str, main: str, *, code: int = 0, env: dict[str, str] | None = None) -> Said:
    """Write a script and run it as a user does: `python flow.py`."""
    project.write(IMPORTS + flow + MAIN + main.replace("\n", "\n    ") + "\n")
    said = project.python("flow.py", env=env)
    assert said.code == code, str(said)
    return said


# -- what a call is ---------------------------------------------------------------------------------------------------


def test_a_call_returns_what_the_body_returns_and_is_a_run(project: FlowProject) -> None:
    said = script(project, ARITHMETIC, "print(shop(5))")
    assert said.out == "selling 5\n20\n"
    (run,) = project.runs()
    assert (run.flow_name, str(run.state), run.data.result) == ("shop", "succeeded", 20)
    assert sorted(task.data.result for task in run.tasks() if task.path != "shop") == [10, 20]
    assert f"shop/{run.id}" in project.ok("show", run.id).out
    assert run.id in project.ok("runs").out


def test_the_caller_gets_the_very_object(project: FlowProject) -> None:
    flow = """
kept = []

@flow
def shop():
    kept.append([1, 2])
    return kept[0]
"""
    assert script(project, flow, "print(shop() is kept[0], type(shop.fn).__name__)").out == "True function\n"


def test_what_the_body_prints_is_shown_once_and_recorded(project: FlowProject) -> None:
    flow = """
import logging
logging.basicConfig()

@task
def say():
    print("of a task")

@task
@isolation("fork")
def far():
    print("of a process")

@flow
def shop():
    print("of the body")
    logging.warning("careful")
    say()
    far()
"""
    said = script(project, flow, "print('before')\nshop()\nprint('after')")
    assert said.out.count("of a task") == said.out.count("of the body") == 1
    assert "~" in next(line for line in said.out.splitlines() if "of a process" in line)
    (run,) = project.runs()
    logs = [(line.path, line.text) for line in run.loglines()]
    assert sorted(text for path, text in logs if path == "shop") == ["WARNING:root:careful", "of a task", "of the body"]
    assert [text for path, text in logs if path.startswith("far")] == ["of a process"]


def test_arguments_become_what_the_hints_say(project: FlowProject) -> None:
    flow = """
import dataclasses, datetime

@dataclasses.dataclass
class Size:
    width: int

@flow
def shop(day: datetime.date, size: Size, rate: float = 1, names: list[str] = ()):
    return day, size, rate, names
"""
    main = 'print(shop("2024-05-01", {"width": "3"}))\nprint(shop(datetime.date(2024, 5, 1), size=Size(3), rate="2"))'
    said = script(project, flow, main)
    assert said.out.splitlines() == [
        "(datetime.date(2024, 5, 1), Size(width=3), 1.0, [])",
        "(datetime.date(2024, 5, 1), Size(width=3), 2.0, [])",
    ]
    assert [run.parameters["size"] for run in project.runs()] == [{"width": 3}] * 2


def test_wrong_arguments_are_all_named_and_begin_no_run(project: FlowProject) -> None:
    flow = "\n@flow\ndef shop(n: int, rate: float):\n    return n\n"
    main = "try:\n    shop('x', rate=None)\nexcept Exception as error:\n    print(type(error).__name__, error)"
    said = script(project, flow, main)
    assert said.out.startswith("ValidationError")
    assert "n: 'x' is not a whole number" in said.out
    assert "rate: None is not a number" in said.out
    assert script(project, flow, "shop()", code=1).err.strip().endswith("'n' and 'rate'")
    assert project.runs() == []


def test_an_exception_arrives_as_itself_with_the_users_traceback(project: FlowProject) -> None:
    flow = """
class Sold(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.rest = b

raised = Sold("out", 3)

@task
def sell():
    raise raised

@flow
def shop():
    sell()
"""
    main = """\
try:
    shop()
except Sold as error:
    print(error is raised, error.rest)
shop()"""
    said = script(project, flow, main, code=1)
    assert said.out == "True 3\n"
    places = [line.strip() for line in said.err.splitlines() if line.startswith("  File ")]
    assert "in shop" in "".join(places)
    assert "in sell" in places[-1]
    newest, before = project.runs()
    assert [str(run.state) for run in (newest, before)] == ["failed", "failed"]
    if sys.version_info >= (3, 11):  # exceptions have notes
        assert f"dovetail resume {newest.id}" in said.err
    assert newest.failed_task is not None
    assert newest.failed_task.path.startswith("sell~")


def test_a_coroutine_is_awaited_in_the_callers_loop(project: FlowProject) -> None:
    flow = """
@task
async def double(x):
    await asyncio.sleep(0)
    return 2 * x

@flow
async def shop(n: int):
    assert asyncio.get_running_loop() is loops[0]
    return await asyncio.gather(*[double(i) for i in range(n)])

loops = []

async def main():
    loops.append(asyncio.get_running_loop())
    print(await shop("3"))
    print(await asyncio.gather(shop(1), shop(2)))
"""
    assert script(project, flow, "asyncio.run(main())").out == "[0, 2, 4]\n[[0], [0, 2]]\n"
    assert [str(run.state) for run in project.runs()] == ["succeeded"] * 3


def test_a_flow_within_a_flow_is_recorded_below_it(project: FlowProject) -> None:
    flow = """
@task
def load(n):
    count()
    return n + 1

@flow
def inner(k: int):
    count()
    return load(k)

@task
def around(x):
    return inner(x)

@flow
def outer(n: int):
    first = inner(str(n))
    return around(first)
"""
    said = script(project, flow, "print(outer(1))")
    assert said.out == "3\n"
    (run,) = project.runs()
    tasks = {task.path: task for task in run.tasks()}
    names = {"/".join(node.partition("~")[0] for node in path.split("/")): path for path in tasks}
    assert set(names) == {"outer", "inner", "inner/load", "around", "around/inner", "around/inner/load"}
    assert tasks[names["inner"]].data.result == 2
    assert tasks[names["around/inner/load"]].data.result == 3


def test_what_a_flow_within_a_flow_was_given_is_its_lineage(project: FlowProject) -> None:
    flow = """
@task
def load(n):
    return n + 1

@flow
def inner(k: int):
    return k

@flow
def outer(n: int):
    return inner(load.submit(n))
"""
    assert script(project, flow, "print(outer(1))").out == "2\n"
    (run,) = project.runs()
    paths = {task.path.partition("~")[0]: task for task in run.tasks()}
    assert paths["inner"].parent_task_paths == [paths["load"].path]
    assert paths["load"].child_task_paths == [paths["inner"].path]


def test_two_threads_run_flows_side_by_side(project: FlowProject) -> None:
    main = """\
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    print(list(pool.map(shop, [1, 2, 3, 4])))"""
    said = script(project, ARITHMETIC, main)
    assert said.out.splitlines()[-1] == "[4, 8, 12, 16]"
    runs = project.runs()
    assert sorted(run.data.result for run in runs) == [4, 8, 12, 16]
    for run in runs:
        assert [line.text for line in run.loglines()] == [f"selling {run.parameters['n']}"]


# -- further attempts and limits --------------------------------------------------------------------------------------


def test_a_body_is_tried_again_and_its_finished_tasks_are_not(project: FlowProject) -> None:
    flow = """
tries = []

@task
def load():
    count()
    return 5

@flow(retries=1)
def shop():
    tries.append(1)
    n = load()
    if len(tries) == 1:
        raise ValueError("not yet")
    return n
"""
    said = script(project, flow, "print(shop(), len(tries))")
    assert said.out == "5 2\n"
    assert sum(said.ran.values()) == 1
    (run,) = project.runs()
    assert next(task for task in run.tasks() if task.path == "shop").attempt == 2


def test_a_time_limit_gives_the_body_a_process_that_it_can_end(project: FlowProject) -> None:
    flow = """
@flow(timeout=30)
def shop(n: float, more: object = None):
    assert os.getpid() != int(os.environ["CALLER"])
    time.sleep(n)
    return more.add(n)

@flow(timeout=1)
def slow():
    time.sleep(60)

class Adder:
    def add(self, n):
        return n + 1
"""
    main = """\
os.environ["CALLER"] = str(os.getpid())
print(shop("0", Adder()))
try:
    slow()
except TimeoutError as error:
    print(error)
try:
    shop(1)
except AttributeError as error:
    print(error)
    print("in shop" in error.report.traceback)"""
    said = script(project, flow, main)
    assert said.out.splitlines() == [
        "1.0",
        "timed out after 1 s",
        "'NoneType' object has no attribute 'add'",
        "True",
    ]
    assert [str(run.state) for run in project.runs()] == ["failed", "failed", "succeeded"]


def test_a_time_limit_where_no_process_can_import_the_flow_names_the_way_out(project: FlowProject) -> None:
    text = "from dovetail import flow\n@flow(timeout=5)\ndef shop(): pass\nshop()\n"
    said = project.python("-", text=text)
    assert said.code == 1
    assert "shop has a time limit" in said.err
    assert "say it of its tasks instead" in said.err


# -- with class flows -------------------------------------------------------------------------------------------------

TRAINING = """
from dovetail import run_flow

class Training(FlowSpec):
    alpha = Parameter("alpha", default=0.5)

    @step
    def start(self):
        count()
        self.items = [1, 2]
        self.next(self.fit, foreach="items")

    @step
    def fit(self):
        count()
        while os.path.exists("hold"):
            open("waiting", "w").close()
            time.sleep(0.01)
        self.fitted = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.fitted for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("trained")

@task
def load(n):
    count()
    return n + 1

@flow
def tuned(n: int):
    run = run_flow(Training, alpha=load(n))
    return run.data.total
"""


def test_a_class_flow_runs_from_python(project: FlowProject) -> None:
    main = """\
run = run_flow(Training, alpha=2)
print(run.data.total, run.pathspec)
print(run_flow(Training).data.total)"""
    said = script(project, TRAINING, main)
    first, second = project.runs()[::-1]
    assert f"6.0 {first.pathspec}\n" in said.out
    assert said.out.count("[end] trained") == 2
    assert second.data.total == 1.5
    assert said.ran["fit[0]"] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("run_flow(Training, alpha='x')", "--alpha: 'x' is not a number"),
        ("run_flow(Training, beta=1)", "has no option --beta"),
        ("run_flow(Training, alpha=object())", "alpha: a object can't be written as JSON"),
        ("run_flow(tuned, n=1)", "A function that is marked @flow is called: tuned(...)"),
    ],
)
def test_what_a_class_flow_can_not_be_given(project: FlowProject, call: str, message: str) -> None:
    said = script(project, TRAINING, call, code=1)
    assert message in said.err
    assert project.runs() == []


def test_a_class_flow_that_fails_says_why(project: FlowProject) -> None:
    said = script(project, TRAINING.replace('print("trained")', "1 / 0"), "run_flow(Training)", code=1)
    (run,) = project.runs()
    assert f"run {run.id} of Training failed: end: ZeroDivisionError: division by zero" in said.err
    assert f"dovetail resume {run.id}" in said.err


def test_a_function_flow_runs_a_class_flow(project: FlowProject) -> None:
    assert script(project, TRAINING, "print(tuned(1))").out.splitlines()[-1] == "6.0"
    inner, outer = project.runs()
    assert (inner.flow_name, outer.flow_name) == ("Training", "tuned")
    (task,) = [task for task in outer.tasks() if task.path.startswith("Training~")]
    assert task.data.result == inner.id
    assert f"parent:{outer.id}/{task.path}" in inner.system_tags
    by_command = project.ok("run", "flow.py:tuned", "--n", "2")
    assert project.data(by_command.run).result == 9.0


def test_a_step_calls_a_function_flow_and_a_class_flow(project: FlowProject) -> None:
    flow = (
        TRAINING
        + """
@flow
def small(n: int):
    return load(n)

class Shop(FlowSpec):
    @step
    def start(self):
        self.small = small("4")
        self.total = run_flow(Training, alpha=self.small).data.total
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    )
    project.write(IMPORTS + flow)
    said = project.ok("run", "flow.py:Shop")
    assert (project.data(said.run).small, project.data(said.run).total) == (5, 15.0)
    paths = ["/".join(node.partition("~")[0] for node in path.split("/")) for path in project.states(said.run)]
    assert sorted(paths) == ["end", "start", "start/Training", "start/small", "start/small/load"]


def test_a_run_that_goes_on_finishes_the_class_flow_that_it_began(project: FlowProject) -> None:
    project.write(IMPORTS + TRAINING + MAIN + "tuned(1)\n")
    (project.folder / "hold").touch()
    driving = project.start_python("flow.py")
    driving.wait_for("waiting")
    inner, outer = project.runs()
    driving.process.send_signal(signal.SIGKILL)
    driving.process.communicate(timeout=60)
    (project.folder / "hold").unlink()
    until(lambda: str(project.run(inner.id).state) == "lost")
    resumed = project.ok("resume", outer.id)
    assert resumed.run == outer.id
    assert project.data(outer.id).result == 6.0
    assert [run.id for run in project.runs()] == [inner.id, outer.id]
    assert str(project.run(inner.id).state) == "succeeded"
    assert {path.partition("[")[0] for path in resumed.ran} == {"fit"}


# -- where it is called -----------------------------------------------------------------------------------------------


@task
def plus(x: int, y: int) -> int:
    return x + y


@flow
def added(x: int, y: int = 1) -> int:
    return plus(x, y)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A home for flows that this very process calls."""
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with Client(tmp_path / "home", namespace=None) as client:
        yield client


def test_a_plain_test_can_call_a_flow(here: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert added(1, "2") == 3  # type: ignore[arg-type]
    (run,) = here.runs()
    assert run.data.result == 3
    with pytest.raises(ValidationError, match="y: 'z' is not a whole number"):
        added(1, "z")  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "")


def test_a_program_from_standard_input_runs_and_says_what_resuming_needs(project: FlowProject) -> None:
    text = """\
from dovetail import flow, task
@task
def sell(n):
    if n > 1: raise ValueError("sold out")
    return n
@flow
def shop(n: int):
    return sell(n)

print(shop(1))
shop(2)
"""
    said = project.python("-", text=text)
    assert said.code == 1
    assert said.out == "1\n"
    assert "ValueError: sold out" in said.err
    run = project.runs()[0]
    refused = project.fails("resume", run.id, code=2)
    assert "has no file" in refused.err
    assert f"dovetail resume FILE {run.id}" in refused.err
    project.write(text.partition("print(")[0].replace("n > 1", "n > 9"), counting=False)
    resumed = project.ok("resume", "flow.py", run.id)
    assert project.data(resumed.run).result == 2


def test_a_task_of_another_process_needs_a_file(project: FlowProject) -> None:
    text = """\
from dovetail import flow, isolation, task
@task
@isolation("fork")
def sell(): pass
@flow
def shop(): sell()

shop()
"""
    said = project.python("-", text=text)
    assert said.code == 1
    assert "Put the flow and its tasks into a file" in said.err


# -- what is left when it does not end --------------------------------------------------------------------------------

SLOW = """
import dataclasses, pathlib

class Stock:
    def __init__(self, n):
        self.n = n

@task
def load(n):
    count()
    return n

@task
def wait(n):
    count()
    while not pathlib.Path("go").exists():
        pathlib.Path("waiting").touch()
        time.sleep(0.01)
    return n + 1

@flow
def shop(n: int, stock: object = None):
    return wait(load(n)) + stock.n
"""


def begun(project: FlowProject, main: str = "shop(4, Stock(100))") -> subprocess.Popen[str]:
    """A script that is in the middle of its flow."""
    project.write(IMPORTS + SLOW + MAIN + main + "\n")
    driving = project.start_python("flow.py")
    driving.wait_for("waiting")
    return driving.process


def test_a_caller_that_is_killed_leaves_a_run_that_resume_finishes(project: FlowProject) -> None:
    process = begun(project)
    (run,) = project.runs()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (project.folder / "go").touch()
    resumed = project.ok("resume", run.id)
    assert resumed.run == run.id
    assert project.data(run.id).result == 105
    assert {path.partition("~")[0] for path in resumed.ran} == {"wait"}


def test_parameters_of_an_own_class_reach_a_new_run_too(project: FlowProject) -> None:
    process = begun(project)
    (run,) = project.runs()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (project.folder / "go").touch()
    resumed = project.ok("resume", run.id, "--n", "5")
    assert resumed.run != run.id
    assert project.data(resumed.run).result == 106


def test_ctrl_c_leaves_a_run_that_resume_finishes(project: FlowProject) -> None:
    process = begun(project)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    (run,) = project.runs()
    assert str(run.state) == "interrupted"
    (project.folder / "go").touch()
    assert project.ok("resume", run.id).run == run.id
    assert project.data(run.id).result == 105


@pytest.mark.parametrize("style", ["function", "class"])
def test_ctrl_c_ends_what_has_processes_of_its_own(project: FlowProject, style: str) -> None:
    flow = """
from dovetail import run_flow

def wait():
    while not os.path.exists("go"):
        open("waiting", "w").close()
        time.sleep(0.01)
    return 3

@flow(timeout=60)
def shop():
    return wait()

class Shop(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.result = wait()
"""
    main = "shop()" if style == "function" else "run_flow(Shop)"
    project.write(IMPORTS + flow + MAIN + main + "\n")
    driving = project.start_python("flow.py")
    driving.wait_for("waiting")
    driving.signal(signal.SIGINT)
    _, err = driving.process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    (run,) = project.runs()
    assert str(run.state) == "interrupted"
    (project.folder / "go").touch()
    assert project.ok("resume", run.id).run == run.id
    assert project.data(run.id).result == 3


def test_a_run_can_be_cancelled_from_outside(project: FlowProject) -> None:
    flow = """
@task
def tick(n):
    open("waiting", "w").close()
    time.sleep(0.01)

@flow
def shop():
    for n in range(100_000):
        tick(n)
"""
    project.write(IMPORTS + flow + MAIN + "shop()\n")
    driving = project.start_python("flow.py")
    driving.wait_for("waiting")
    (run,) = project.runs()
    project.ok("cancel", run.id)
    _, err = driving.process.communicate(timeout=60)
    assert driving.process.returncode == 1
    assert f"run {run.id} of shop cancelled" in err
    assert str(project.run(run.id).state) == "cancelled"


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_one_driver_serves_all_calls_of_a_process(project: FlowProject) -> None:
    main = """\
from dovetail.runner._driver_process import DriverProcess
started = []
begin = DriverProcess.__init__
DriverProcess.__init__ = lambda self: (begin(self), started.append(self.pid))[0]
for n in range(5):
    shop(n)
print(len(started))"""
    assert script(project, ARITHMETIC, main).out.splitlines()[-1] == "1"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the children of a process")
def test_inline_tasks_start_no_process_beside_the_driver(project: FlowProject) -> None:
    main = """\
def children(pid):
    return open(f"/proc/{pid}/task/{pid}/children").read().split()
shop(1)
shop(2)
(driver,) = children(os.getpid())
print(len(children(driver)))"""
    assert script(project, ARITHMETIC, main).out.splitlines()[-1] == "0"


def test_a_run_leaves_few_files_and_a_call_imports_little(project: FlowProject) -> None:
    flow = """
@task
def double(x):
    return 2 * x

@flow
def shop(n: int = 2):
    return double(double(n))
"""
    main = """\
def files():
    return sum(len(found) for _, _, found in os.walk(os.path.join(os.environ["DOVETAIL_HOME"], "local")))
shop(1)
before = files()
shop(2)
print(files() - before)
print([name for name in ("asyncio", "sqlite3", "dovetail.engine", "dovetail.client") if name in sys.modules])"""
    project.write(
        "from dovetail import flow, task\nimport os, sys\n" + flow + MAIN + main.replace("\n", "\n    "), counting=False
    )
    said = project.python("flow.py")
    assert said.out == "4\n[]\n", str(said)  # run.json, a fence, a segment of records, the end


if sys.platform == "win32":  # no process there inherits a socket pair
    pytestmark = pytest.mark.skip("flows can't be called on Windows")
