"""Runs that are stopped from outside: by signals, by a failure, by another process; and many at once."""

from __future__ import annotations

import os
import signal

import pytest
from flowproject import FlowProject, until
from processes import alive

WAITING = '''
def meanwhile(name):
    """Tell that it runs, and wait to be let go on."""
    open(name, "w").close()
    while not os.path.exists("go on"):
        time.sleep(0.01)


class Waiting(FlowSpec):
    @step
    def start(self):
        count()
        self.next(self.item, foreach=[0, 1, 2, 3])

    @step
    def item(self):
        count()
        if self.input == 1:
            meanwhile("working")
        self.square = self.input ** 2
        self.next(self.join)

    @step
    def join(self, inputs):
        count()
        self.squares = [one.square for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        count()
'''


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whom", ["driver", "group"])
def test_a_signal_leaves_a_run_that_is_continued(project: FlowProject, number: signal.Signals, whom: str) -> None:
    project.write(WAITING)
    driving = project.start("run", "flow.py", "--max-workers", "2")
    driving.wait_for("working")
    # A terminal sends Ctrl-C to every process of the foreground; service managers send SIGTERM to all of a service.
    os.killpg(driving.process.pid, number) if whom == "group" else driving.signal(number)
    said = driving.end()
    assert said.code == 130, str(said)
    assert f"dovetail resume {driving.run}" in said.err
    run = project.run(driving.run)
    assert str(run.state) == "interrupted"
    assert str(run.task("item[1]").state) == "cancelled"
    done = {task.path for task in run.tasks() if task.successful}
    (project.folder / "go on").touch()
    again = project.ok("resume")
    assert again.run == driving.run
    assert set(again.ran) == {"start", "item[0]", "item[1]", "item[2]", "item[3]", "join", "end"} - done
    assert project.data(again.run).squares == [0, 1, 4, 9]
    assert set(project.states(again.run).values()) == {"succeeded"}


@pytest.mark.parametrize("isolation", ["kind=spawn", "kind=thread", "kind=inline", "reuse=auto"])
def test_a_signal_ends_every_kind_of_worker(project: FlowProject, isolation: str) -> None:
    project.write(WAITING)
    driving = project.start("run", "flow.py", "--with", f"isolation:{isolation}")
    driving.wait_for("working")
    driving.signal(signal.SIGINT)
    said = driving.end()
    assert said.code == 130, str(said)
    assert project.states(driving.run)["item[1]"] == "cancelled"
    (project.folder / "go on").touch()
    again = project.ok("resume", "--with", f"isolation:{isolation}")
    assert again.run == driving.run
    assert project.data(again.run).squares == [0, 1, 4, 9]


def test_a_second_signal_kills_at_once(project: FlowProject) -> None:
    """A step that does not heed SIGTERM has five seconds; the next Ctrl-C cuts them short."""
    project.write(
        """
        import signal

        class Stubborn(FlowSpec):
            @step
            def start(self):
                signal.signal(signal.SIGTERM, lambda *_: open("asked", "w").close())
                open("working", "w").close()
                for tick in range(600):
                    time.sleep(0.1)
                    with open("ticks", "a") as ticks:
                        ticks.write(".")
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    driving.signal(signal.SIGINT)
    driving.wait_for("asked")
    ticks = project.folder / "ticks"
    before = ticks.stat().st_size if ticks.exists() else 0
    driving.signal(signal.SIGINT)
    said = driving.end()
    assert said.code == 130, str(said)
    assert (ticks.stat().st_size if ticks.exists() else 0) - before < 25  # by the step's own clock, of 50
    run = project.run(driving.run)
    assert str(run.state) == "interrupted"
    assert str(run.task("start").state) == "cancelled"


def test_a_signal_while_a_retry_waits(project: FlowProject) -> None:
    project.write(
        """
        class Retrying(FlowSpec):
            @retry(times=3, delay=3000)
            @step
            def start(self):
                count()
                if not os.path.exists("go on"):
                    raise ValueError("not yet")
                self.next(self.end)

            @step
            def end(self):
                count()
        """
    )
    driving = project.start("run", "flow.py")
    until(lambda: str(project.run(driving.run).task("start").state) == "waiting" if _begun(project, driving.run) else 0)
    driving.signal(signal.SIGINT)
    assert driving.end().code == 130
    (project.folder / "go on").touch()
    said = project.ok("resume")
    assert said.run == driving.run
    assert said.ran == {"start": 1, "end": 1}


def _begun(project: FlowProject, run: str) -> bool:
    return any(True for _ in project.run(run).tasks())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_while_the_flow_is_imported(project: FlowProject, number: signal.Signals) -> None:
    project.write(
        """
        with open("importing.part", "w") as file:
            file.write(str(os.getpid()))
        os.rename("importing.part", "importing")
        while not os.path.exists("go on"):
            time.sleep(0.01)

        class Slow(FlowSpec):
            @step
            def start(self):
                pass
        """
    )
    driving = project.start("run", "flow.py")
    driving.wait_for("importing")
    importing = int((project.folder / "importing").read_text())
    driving.signal(number)
    said = driving.end()
    assert said.code in {signal.SIGINT: (130,), signal.SIGTERM: (130, -15, 143), signal.SIGKILL: (-9,)}[number], said
    assert "Traceback" not in said.err
    until(lambda: not alive(importing))
    assert list(project.client().runs()) == []


def test_an_interrupted_resume_can_be_resumed(project: FlowProject) -> None:
    project.write(WAITING)
    driving = project.start("run", "flow.py")
    for _ in range(2):
        driving.wait_for("working")
        (project.folder / "working").unlink()
        driving.signal(signal.SIGINT)
        assert driving.end().code == 130
        first, driving = driving, project.start("resume")
    assert driving.run == first.run
    (project.folder / "go on").touch()
    assert driving.end().code == 0
    assert str(project.run(driving.run).state) == "succeeded"


# -- a failure beside others ------------------------------------------------------------------------------------------

BESIDE = """
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)


class Beside(FlowSpec):
    @step
    def start(self):
        count()
        self.next(self.bad, self.slow)

    @step
    def bad(self):
        count()
        wait_for("working")
        if not os.path.exists("mended"):
            raise ValueError("bad")
        self.next(self.join)

    @step
    def slow(self):
        count()
        open("working", "w").close()
        wait_for("go on")
        self.next(self.after)

    @step
    def after(self):
        count()
        self.next(self.join)

    @step
    def join(self, inputs):
        count()
        self.next(self.end)

    @step
    def end(self):
        count()
"""


@pytest.mark.parametrize(
    ("mode", "states", "ran_again"),
    [
        ("finish", {"slow": "succeeded"}, {"bad", "after", "join", "end"}),
        ("cancel", {"slow": "cancelled"}, {"bad", "slow", "after", "join", "end"}),
        ("continue", {"slow": "succeeded", "after": "succeeded"}, {"bad", "join", "end"}),
    ],
)
@pytest.mark.parametrize("how", ["option", "setting"])
def test_what_follows_a_failure(
    project: FlowProject, mode: str, states: dict[str, str], ran_again: set[str], how: str
) -> None:
    project.write(BESIDE)
    if how == "setting":
        (project.folder / "pyproject.toml").write_text(f'[tool.dovetail]\non_failure = "{mode}"\n')
    driving = project.start("run", "flow.py", *(["--on-failure", mode] if how == "option" else []))
    until(lambda: _begun(project, driving.run) and project.states(driving.run).get("bad") == "failed", driving.process)
    (project.folder / "go on").touch()
    said = driving.end()
    assert said.code == 1, str(said)
    assert project.states(driving.run) == {"start": "succeeded", "bad": "failed", **states}
    run = project.run(driving.run)
    assert str(run.state) == "failed"
    assert run.failed_task is not None
    assert run.failed_task.path == "bad"
    # The end of what the terminal shows: the task, the user's own traceback, where to look, how to go on.
    *_, last = said.err.partition("\nbad failed:\n")
    assert 'raise ValueError("bad")' in last
    assert f"dovetail logs {run.id}/bad" in last
    assert f"dovetail resume {run.id}" in last
    (project.folder / "mended").touch()
    assert set(project.ok("resume").ran) == ran_again


def test_the_first_failure_is_the_root_cause(project: FlowProject) -> None:
    """What fails because of the end of the run is not."""
    project.write(
        BESIDE.replace(
            '        wait_for("go on")\n',
            '        wait_for("go on")\n        if count:\n            raise KeyError("second")\n',
        )
    )
    driving = project.start("run", "flow.py")
    until(lambda: _begun(project, driving.run) and project.states(driving.run).get("bad") == "failed", driving.process)
    (project.folder / "go on").touch()
    said = driving.end()
    run = project.run(driving.run)
    assert run.failed_task is not None
    assert run.failed_task.path == "bad"
    assert project.states(run.id)["slow"] == "failed"
    assert said.err.rpartition(" failed:\n")[0].endswith("\nbad")


# -- from another process ---------------------------------------------------------------------------------------------


def test_cancelled_from_another_process(project: FlowProject) -> None:
    project.write(WAITING)
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    asked = project.ok("cancel", driving.run, "--reason", "wrong data", "--wait")
    assert "cancelled" in asked.out
    said = driving.end()
    assert said.code == 1, str(said)
    assert "wrong data" in said.err
    run = project.run(driving.run)
    assert str(run.state) == "cancelled"
    assert str(run.task("item[1]").state) == "cancelled"
    assert "it is cancelled" in project.ok("cancel", driving.run).out
    # It is final, so going on is a run of its own.
    (project.folder / "go on").touch()
    again = project.ok("resume")
    assert again.run != driving.run
    assert "start" not in again.ran
    assert project.data(again.run).squares == [0, 1, 4, 9]


def test_a_lost_run_is_cancelled_from_here(project: FlowProject) -> None:
    project.write(WAITING)
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    driving.signal(signal.SIGKILL)
    driving.end()
    assert [str(run.state) for run in project.client().runs()] == ["lost"]
    said = project.ok("cancel", driving.run, "--reason", "wrong data")
    assert f"{driving.run} is cancelled." in said.out
    assert "wrong data" in said.err
    assert not said.ran
    run = project.run(driving.run)
    assert str(run.state) == "cancelled"
    assert "running" not in project.states(run.id).values()
    (project.folder / "go on").touch()
    again = project.ok("resume")
    assert again.run != driving.run
    assert project.data(again.run).squares == [0, 1, 4, 9]


# -- many at once -----------------------------------------------------------------------------------------------------


def test_two_runs_at_once_do_not_meet(project: FlowProject) -> None:
    project.write(WAITING)
    first = project.start("run", "flow.py")
    first.wait_for("working")
    (project.folder / "working").unlink()
    second = project.start("run", "flow.py")
    second.wait_for("working")
    first.signal(signal.SIGINT)
    assert first.end().code == 130
    assert str(project.run(second.run).state) == "running"
    (project.folder / "go on").touch()
    assert second.end().code == 0
    assert first.run != second.run
    assert project.data(second.run).squares == [0, 1, 4, 9]
    assert str(project.run(first.run).state) == "interrupted"


def test_twenty_runs_started_in_the_same_second(project: FlowProject) -> None:
    project.write(
        """
        class Small(FlowSpec):
            n = Parameter(default=0)

            @step
            def start(self):
                self.next(self.item, foreach=[1, 2])

            @step
            def item(self):
                self.y = self.input * self.n
                self.next(self.end)

            @step
            def end(self, inputs):
                self.total = sum(one.y for one in inputs)
        """
    )
    drivings = [project.start("run", "flow.py", "--n", str(n), "--max-workers", "1") for n in range(20)]
    ended = [driving.end() for driving in drivings]
    assert [said.code for said in ended] == [0] * 20, "\n".join(str(said) for said in ended if said.code)
    assert len({driving.run for driving in drivings}) == 20
    for n, driving in enumerate(drivings):
        run = project.run(driving.run)
        assert str(run.state) == "succeeded"
        assert run.data.total == 3 * n
        assert set(project.states(run.id).values()) == {"succeeded"}
    assert len(list(project.client().runs())) == 20
