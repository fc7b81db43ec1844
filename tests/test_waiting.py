"""Runs that wait for somebody: answers, time limits, messages between runs, and runs that are held."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any

import pytest
from flowproject import Driving, FlowProject, until

from dovetail.client import Run
from dovetail.interfaces.errors import UsageError, ValidationError

IMPORTS = """
from dataclasses import dataclass
from pathlib import Path
from dovetail import await_input, flow, recorded, send_signal, task, wait_for_input

@dataclass
class Approval:
    approve: bool
    note: str = ""

@task
def load(x):
    count()
    return x

def released(name):
    Path(name + ".began").touch()
    while not Path(name).exists():
        time.sleep(0.01)
"""
SHIP = """
@flow
def ship():
    x = load(3)
    said = wait_for_input(Approval, question="Ship it?")
    return [x, said.approve, said.note, load(4)]
"""


def written(project: FlowProject, flow: str) -> None:
    project.write(IMPORTS + flow)


def paused(project: FlowProject, *words: str) -> Run:
    """A run that was started and is paused, since it waits."""
    said = project.ok("run", "flow.py", "--pause-after", "0", *words)
    run = project.run(said.run)
    assert str(run.state) == "paused", str(said)
    return run


def waits(project: FlowProject, driving: Driving, count: int = 1) -> Run:
    """The run of a driver, once so many of its tasks wait."""
    run = project.run(driving.run)
    until(lambda: len(run.waiting) == count, driving.process)
    return run


def result(project: FlowProject, run: Run) -> Any:
    return project.data(run.id).result


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_from_another_process_while_the_driver_waits(project: FlowProject) -> None:
    written(project, SHIP)
    driving = project.start("run", "flow.py", "--pause-after", "inf")
    run = waits(project, driving)
    said = project.ok("signal", run.id, '{"approve": true, "note": "go"}')
    assert "input is answered" in said.out
    ended = driving.end()
    assert ended.code == 0, str(ended)
    assert result(project, run) == [3, True, "go", 4]
    assert "Ship it?" in ended.err
    assert f"dovetail signal {run.id}" in ended.err


def test_an_answer_continues_a_run_whose_driver_has_exited(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    (waiting,) = run.waiting
    assert (waiting.name, waiting.question, waiting.deadline) == ("input", "Ship it?", None)
    assert waiting.schema["required"] == ["approve"]
    assert waiting.example == {"approve": True}
    assert "running" not in project.states(run.id).values()
    shown = project.ok("show", run.id).out
    assert "Ship it?" in shown
    assert f"dovetail signal {run.id}" in shown
    (document,) = json.loads(project.ok("show", run.id, "--json").out)["waiting"]
    assert document["path"] == waiting.path

    said = project.ok("signal", run.id, '{"approve": false}')
    assert sum(said.ran.values()) == 1, "only what comes after the answer runs"
    assert result(project, run) == [3, False, "", 4]
    assert project.run(run.id).waiting == []
    assert set(project.states(run.id).values()) == {"succeeded"}


def test_a_paused_run_can_be_left_to_resume(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    said = project.ok("signal", run.id, '{"approve": true}', "--no-resume")
    assert f"dovetail resume {run.id}" in said.out
    assert str(project.run(run.id).state) == "paused"
    project.ok("resume")
    assert result(project, run)[1] is True


def test_a_run_is_waiting_still_when_its_driver_was_killed(project: FlowProject) -> None:
    written(project, SHIP)
    driving = project.start("run", "flow.py", "--pause-after", "inf")
    run = waits(project, driving)
    os.killpg(driving.process.pid, signal.SIGKILL)
    driving.process.communicate()
    run = project.run(run.id)
    assert str(run.state) == "lost"
    assert len(run.waiting) == 1
    said = project.ok("signal", run.id, '{"approve": true}')
    assert sum(said.ran.values()) == 1
    assert result(project, run) == [3, True, "", 4]


def test_an_answer_is_on_record_and_used_once(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def ship():
    first = wait_for_input(int)
    if not Path("again").exists():
        Path("again").touch()
        os.kill(os.getppid(), 9)
        os.kill(os.getpid(), 9)
    return [first, wait_for_input(int), wait_for_input(int)]
""",
    )
    run = paused(project)
    project.client().run(run.id)._send(1, "input")
    project.client().run(run.id)._send(2, "input")
    for _ in range(4):  # the first of them loses its processes after it has read 1
        project.dovetail("resume", run.id, "--pause-after", "0")
        if str(project.run(run.id).state) == "paused":
            break
    assert str(project.run(run.id).state) == "paused"
    assert len(project.run(run.id).waiting) == 1
    project.ok("signal", run.id, "3")
    assert result(project, run) == [1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"approve": "perhaps"}', "approve: 'perhaps' is not true or false"),
        ("{}", "approve: it is missing"),
        ('{"approve": true, "nota": 1}', "nota: there is no such field; there are approve, note"),
        ("true", "True is not an object"),
        ('{"approve": true', "is not JSON"),
    ],
)
def test_what_is_no_answer_is_refused_field_by_field(project: FlowProject, answer: str, told: str) -> None:
    written(project, SHIP)
    run = paused(project)
    said = project.fails("signal", run.id, answer, code=2)
    assert told in said.err
    assert len(project.run(run.id).waiting) == 1
    project.ok("signal", run.id, '{"approve": true}')
    assert result(project, run)[1] is True


def test_the_client_answers_and_refuses(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    with pytest.raises(ValidationError, match="approve: 'x' is not true or false"):
        run.signal({"approve": "x"})
    with pytest.raises(UsageError, match="can't be sent"):
        run.signal({"approve": object()})
    answered = run.signal({"approve": True})
    assert answered is not None
    assert answered.question == "Ship it?"
    project.ok("resume", run.id)
    with pytest.raises(UsageError, match="has ended"):
        run.signal({"approve": True})


def test_two_answers_to_one_question_are_not_two_answers(project: FlowProject) -> None:
    written(project, "@flow\ndef ship():\n    return [wait_for_input(int), wait_for_input(int)]\n")
    run = paused(project)
    run.signal(1)
    run.signal(2)  # of somebody who answers the same question
    said = project.ok("resume", run.id, "--pause-after", "0")
    assert "paused" in said.err
    project.ok("signal", run.id, "3")
    assert result(project, run) == [1, 3]


def test_two_questions_at_a_time_are_told_apart(project: FlowProject) -> None:
    written(
        project,
        """
import asyncio

@flow
async def ship():
    legal = await_input(bool, name="legal", question="May we?")
    price = await_input(float, name="price")
    return list(await asyncio.gather(legal, price))
""",
    )
    at_leisure = ("--pause-after", "1")  # at once would be between the two questions, which a body asks one by one
    run = paused(project, *at_leisure)
    assert {one.name for one in run.waiting} == {"legal", "price"}
    said = project.fails("signal", run.id, "true", code=2)
    assert "legal" in said.err
    assert "--name" in said.err
    said = project.ok("signal", run.id, "--name", "price", "9.5", *at_leisure)
    assert [one.name for one in project.run(run.id).waiting] == ["legal"]
    project.ok("signal", run.id, "true")
    assert result(project, run) == [True, 9.5]


def test_two_questions_in_turn(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def ship():
    found = []
    while (word := wait_for_input(str, question="And then?")) != "end":
        found.append(word)
    return found
""",
    )
    run = paused(project)
    for word in ("a", "b"):
        project.ok("signal", run.id, word, "--pause-after", "0")
    project.ok("signal", run.id, "end")
    assert result(project, run) == ["a", "b"]


def test_a_model_of_pydantic_and_what_its_schema_can_not_say(project: FlowProject) -> None:
    pytest.importorskip("pydantic")
    written(
        project,
        """
from typing import Literal
from pydantic import BaseModel, Field, field_validator

class Offer(BaseModel):
    price: float = Field(gt=0)
    kind: Literal["a", "b"] = "a"

    @field_validator("price")
    @classmethod
    def even(cls, price):
        if price % 2:
            raise ValueError("must be even")
        return price

@flow
def ship():
    offer = wait_for_input(Offer, timeout=3600)
    return [type(offer).__name__, offer.price, offer.kind]
""",
    )
    run = paused(project)
    assert "price: -1 is not more than 0" in project.fails("signal", run.id, '{"price": -1}', code=2).err
    assert (
        "kind: 'c' is not one of 'a', 'b'" in project.fails("signal", run.id, '{"price": 2, "kind": "c"}', code=2).err
    )
    deadline = run.waiting[0].deadline
    said = project.ok("signal", run.id, '{"price": 3}', "--pause-after", "0")
    assert "must be even" in said.err
    (again,) = project.run(run.id).waiting
    assert "must be even" in again.refused
    assert again.deadline == deadline, "to be asked again gives no more time"
    project.ok("signal", run.id, '{"price": 4}')
    assert result(project, run) == ["Offer", 4.0, "a"]


def test_fields_can_be_given_as_a_dict(project: FlowProject) -> None:
    written(project, '@flow\ndef ship():\n    return wait_for_input({"approve": bool, "by": str})\n')
    run = paused(project)
    assert "by: it is missing" in project.fails("signal", run.id, '{"approve": true}', code=2).err
    project.ok("signal", run.id, '{"approve": true, "by": "ada"}')
    assert result(project, run) == {"approve": True, "by": "ada"}


def test_a_question_outlives_the_index(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    before = run.waiting
    (project.home / "metadata.db").rename(project.home / "lost.db")
    project.ok("metadata-rebuild")
    assert project.run(run.id).waiting == before
    project.ok("signal", run.id, '{"approve": true}')
    assert result(project, run)[1] is True


# -- time limits ------------------------------------------------------------------------------------------------------


def test_the_default_is_the_answer_when_the_time_is_over(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def ship():
    said = wait_for_input(Approval, timeout=0.2, default=Approval(False, "nobody"))
    return [said.approve, said.note, wait_for_input(int, timeout=0.1, default=None)]
""",
    )
    said = project.ok("run", "flow.py", "--pause-after", "inf")
    assert result(project, project.run(said.run)) == [False, "nobody", None]


def test_without_a_default_it_is_a_timeout(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def ship():
    try:
        wait_for_input(bool, name="legal", timeout=0.2)
    except TimeoutError as error:
        return str(error)
""",
    )
    said = project.ok("run", "flow.py", "--pause-after", "inf")
    assert "nobody answered legal within 0.2 s" in result(project, project.run(said.run))


def test_a_time_that_ran_out_while_no_driver_lived(project: FlowProject) -> None:
    written(project, "@flow\ndef ship():\n    return wait_for_input(int, timeout=2, default=7)\n")
    run = paused(project)
    deadline = run.waiting[0].deadline
    assert deadline is not None
    until(lambda: time.time() > deadline.timestamp())
    run.signal(1)  # too late: judged by when it was sent
    project.ok("resume", run.id)
    assert result(project, run) == 7


def test_an_answer_in_time_counts_whenever_the_run_goes_on(project: FlowProject) -> None:
    written(project, "@flow\ndef ship():\n    return wait_for_input(int, timeout=3, default=7)\n")
    run = paused(project)
    deadline = run.waiting[0].deadline
    assert deadline is not None
    run.signal(1)
    until(lambda: time.time() > deadline.timestamp())
    project.ok("resume", run.id)
    assert result(project, run) == 1


# -- messages between runs --------------------------------------------------------------------------------------------


def test_a_message_that_was_sent_first_waits_for_its_question(project: FlowProject) -> None:
    written(project, '@flow\ndef ship():\n    return [wait_for_input(int), wait_for_input(str, name="mail")]\n')
    run = paused(project)
    assert "'x' is not a whole number" in project.fails("signal", run.id, '"x"', code=2).err
    said = project.ok("signal", run.id, '"hello"', "--name", "mail")
    assert "kept" in said.out
    assert str(project.run(run.id).state) == "paused", "it waits for something else"
    project.ok("signal", run.id, "1")
    assert result(project, run) == [1, "hello"]


def test_runs_send_each_other_messages_once(project: FlowProject) -> None:
    written(
        project,
        """
@flow
def reader():
    return [wait_for_input(int, name="mail") for _ in range(3)]
""",
    )
    project.write(
        IMPORTS
        + """
@flow
def writer(to: str):
    for n in (1, 2):
        send_signal(to, n, name="mail")
    wait_for_input(bool)
    send_signal(to, 3, name="mail")
""",
        name="writer.py",
    )
    run = paused(project)
    said = project.ok("run", "writer.py", "--to", run.id, "--pause-after", "0")
    project.ok("signal", said.run, "true")  # its body runs again: 1 and 2 are not sent again
    project.ok("resume", run.id)
    assert result(project, run) == [1, 2, 3]


# -- in steps ---------------------------------------------------------------------------------------------------------

STEPS = """
class Ship(FlowSpec):
    @step
    def start(self):
        count()
        self.next(self.ask, self.build)

    @step
    def build(self):
        count()
        self.next(self.join)

    @step
    def ask(self):
        self.x = load(3)
        self.said = wait_for_input(Approval, question="Ship it?")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [inputs.ask.x, inputs.ask.said.approve]
        self.next(self.end)

    @step
    def end(self):
        count()
"""


def test_a_step_waits(project: FlowProject) -> None:
    written(project, STEPS)
    run = paused(project)
    (waiting,) = run.waiting
    assert waiting.path.startswith("ask/wait~")
    states = project.states(run.id)
    assert (states["build"], states["ask"]) == ("succeeded", "waiting")
    assert "running" not in states.values()
    said = project.ok("signal", run.id, '{"approve": true}')
    assert set(said.ran) == {"end"}, "what a step called before it waited is not run again"
    assert project.data(run.id).found == [3, True]


@pytest.mark.parametrize("kind", ["fork", "spawn", "thread", "inline"])
def test_steps_of_every_isolation_wait(project: FlowProject, kind: str) -> None:
    written(
        project,
        f"""
class Ship(FlowSpec):
    @step
    def start(self):
        self.next(self.ask, foreach=[1, 2])

    @isolation("{kind}")
    @step
    def ask(self):
        self.x = wait_for_input(int, name=f"n{{self.input}}")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [one.x for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass
""",
    )
    run = paused(project)
    assert len(run.waiting) == (1 if kind == "inline" else 2), "inline, one begins when the other has ended"
    run.signal(20, name="n2")
    run.signal(10, name="n1")
    project.ok("resume", run.id)
    assert project.data(run.id).found == [10, 20]


def test_a_task_in_a_process_of_its_own_waits(project: FlowProject) -> None:
    written(
        project,
        """
from dovetail import isolation

@task
@isolation("fork")
def ask(x):
    return wait_for_input(int, name=x)

@task
def outer(x):
    return ask(x)

@flow
def ship():
    return [outer("a"), *[one.result() for one in [ask.submit("b"), ask.submit("c")]]]
""",
    )
    run = paused(project)
    assert [one.name for one in run.waiting] == ["a"]
    project.ok("signal", run.id, "1", "--pause-after", "0")
    assert sorted(one.name for one in project.run(run.id).waiting) == ["b", "c"]
    project.ok("signal", run.id, "3", "--name", "c", "--pause-after", "0")
    project.ok("signal", run.id, "2", "--name", "b")
    assert result(project, run) == [1, 2, 3]


def test_a_run_that_failed_elsewhere_ends_though_a_step_waits(project: FlowProject) -> None:
    written(project, STEPS.replace("def build(self):\n        count()", "def build(self):\n        1 / 0"))
    said = project.fails("run", "flow.py", "--pause-after", "inf")
    run = project.run(said.run)
    assert str(run.state) == "failed"
    assert "ZeroDivisionError" in said.err
    assert run.waiting == []
    assert "waiting" not in project.states(said.run).values()


def test_a_run_that_waits_can_be_cancelled(project: FlowProject) -> None:
    written(project, SHIP)
    driving = project.start("run", "flow.py", "--pause-after", "inf")
    run = waits(project, driving)
    project.ok("cancel", run.id)
    assert driving.end().code == 1
    assert str(project.run(run.id).state) == "cancelled"
    assert "waiting" not in project.states(run.id).values()


def test_an_answer_that_no_driver_took_in_is_lost_when_the_index_is_made_anew(project: FlowProject) -> None:
    """It is in the index alone; the command says so, and the run waits as before."""
    written(project, SHIP)
    run = paused(project)
    project.ok("signal", run.id, '{"approve": true}', "--no-resume")
    said = project.ok("metadata-rebuild")
    assert "not restored: signals and other requests that no driver took in (send them again)" in said.out
    project.ok("resume", run.id, "--pause-after", "0")
    assert [one.name for one in project.run(run.id).waiting] == ["input"]
    project.ok("signal", run.id, '{"approve": true}')
    assert result(project, run)[:2] == [3, True]


def test_outside_of_a_run_there_is_nobody_to_ask() -> None:
    from dovetail import wait_for_input

    with pytest.raises(UsageError, match="none is running here"):
        wait_for_input(bool)


# -- pause and unpause ------------------------------------------------------------------------------------------------

HELD = {
    "class": """
class Ship(FlowSpec):
    @step
    def start(self):
        count()
        released("one")
        self.next(self.end)

    @step
    def end(self):
        count()
""",
    "function": """
@task
def one():
    count()
    released("one")

@flow
def ship():
    one()
    load(1)
""",
    "forked": """
from dovetail import isolation

@task
@isolation("fork")
def one():
    count()
    released("one")

@flow
def ship():
    one()
    load(1)
""",
}


@pytest.mark.parametrize("style", HELD)
def test_a_run_of_either_style_is_held_between_tasks(project: FlowProject, style: str) -> None:
    written(project, HELD[style])
    driving = project.start("run", "flow.py")
    driving.wait_for("one.began")
    project.ok("pause", driving.run, "--reason", "lunch")
    seen = "what runs goes on to its end"
    until(lambda: any(seen in str(event.data) for event in project.run(driving.run).events()), driving.process)
    (project.folder / "one").touch()
    said = driving.end()
    assert said.code == 0, str(said)
    assert f"dovetail unpause {driving.run}" in said.err
    run = project.run(driving.run)
    assert str(run.state) == "paused"
    assert "running" not in project.states(run.id).values()
    assert list(project.states(run.id).values()).count("succeeded") == 1, "the task that ran has ended"
    assert not {path for path in project.states(run.id) if path.startswith(("end", "load"))}, "no other began"
    assert "held" in project.ok("show", run.id).out

    said = project.ok("unpause", run.id)
    assert sum(said.ran.values()) == 1, str(said)
    assert str(project.run(run.id).state) == "succeeded"


@pytest.mark.parametrize("style", HELD)
def test_a_run_is_let_go_on_before_it_was_paused(project: FlowProject, style: str) -> None:
    written(project, HELD[style])
    driving = project.start("run", "flow.py")
    driving.wait_for("one.began")
    project.ok("pause", driving.run)
    seen = "what runs goes on to its end"
    until(lambda: any(seen in str(event.data) for event in project.run(driving.run).events()), driving.process)
    said = project.ok("unpause", driving.run)
    assert "goes on" in said.out
    (project.folder / "one").touch()
    ended = driving.end()
    assert ended.code == 0, str(ended)
    assert str(project.run(driving.run).state) == "succeeded"


def test_a_task_that_waits_to_be_tried_again_does_not_keep_a_run_from_pausing(project: FlowProject) -> None:
    written(
        project,
        """
from dovetail import isolation

@task(retries=1, retry_delay=3600)
@isolation("fork")
def one():
    if not Path("one").exists():
        Path("one.began").touch()
        1 / 0

@flow
def ship():
    one()
""",
    )
    driving = project.start("run", "flow.py")
    driving.wait_for("one.began")
    project.ok("pause", driving.run, "--wait")
    assert driving.end().code == 0
    assert str(project.run(driving.run).state) == "paused"
    (project.folder / "one").touch()
    project.ok("unpause", driving.run)
    assert str(project.run(driving.run).state) == "succeeded"


def test_an_answer_does_not_continue_a_run_that_is_held(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    project.ok("pause", run.id)
    said = project.ok("signal", run.id, '{"approve": true}')
    assert f"dovetail unpause {run.id}" in said.out
    assert str(project.run(run.id).state) == "paused"
    project.ok("unpause", run.id)
    assert result(project, run)[1] is True


def test_resume_lets_a_held_run_go_on(project: FlowProject) -> None:
    written(project, HELD["class"])
    (project.folder / "one").touch()
    driving = project.start("run", "flow.py")
    until(lambda: driving.run)
    project.dovetail("pause", driving.run, "--wait")
    driving.end()
    if str(project.run(driving.run).state) == "paused":  # else it was over first
        project.ok("resume", driving.run)
    assert str(project.run(driving.run).state) == "succeeded"


def test_what_can_not_be_paused(project: FlowProject) -> None:
    written(project, "@flow\ndef ship():\n    pass\n")
    said = project.ok("run", "flow.py")
    assert "has ended: it is succeeded" in project.ok("pause", said.run).out
    assert "has ended: it is succeeded" in project.ok("unpause", said.run).out


def test_an_answer_while_the_driver_is_leaving(project: FlowProject) -> None:
    """Whenever the answer comes, either the driver takes it or `signal` continues the run."""
    written(project, SHIP)
    for delay in (0.0, 0.2, 0.4):
        driving = project.start("run", "flow.py", "--pause-after", "0.3")
        run = waits(project, driving)
        threading.Event().wait(delay)
        project.ok("signal", run.id, '{"approve": true}')
        driving.end()
        assert str(project.run(run.id).state) == "succeeded"


def test_a_run_goes_on_only_as_it_was(project: FlowProject) -> None:
    written(project, SHIP)
    run = paused(project)
    project.change("load(4)", "load(5)")
    said = project.fails("signal", run.id, '{"approve": true}', code=2)
    assert "the flow has changed" in said.err
    assert f"dovetail resume {run.id}" in said.err
