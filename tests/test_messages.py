"""What is said of function flows: one-line summaries, names of tasks, ends of runs, long paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from flowproject import FlowProject, until

FLOW = """
import os, time
from dovetail import flow, task, wait_for_input

@task
def load(n):
    if n < 0:
        raise ValueError("can't load:\\n  table: no such file\\n  index: neither")
    return n

@task
def down(n):
    return 0 if n == 0 else down(n - 1) + 1

@task
def ask():
    open("asking", "w").close()
    return wait_for_input(bool, question="Go on?")

@flow
def main(n: int = 0, deep: int = -1, asks: bool = False):
    for m in (n, 2):
        load(m)
    return ask() if asks else down(deep) if deep >= 0 else n
"""


def test_a_summary_does_not_stop_at_a_colon(project: FlowProject) -> None:
    project.write(FLOW)
    said = project.fails("run", "flow.py", "--n", "-1")
    assert re.search(r"✗ main .* ValueError: can't load: table: no such file\n", said.err)
    assert "ValueError: can't load: table: no such file" in project.ok("tasks", said.run).out
    assert "index: neither" in project.ok("show", said.run).out
    assert project.run(said.run).error == {
        "path": project.run(said.run).failed_task.path,  # type: ignore[union-attr]
        "message": "can't load: table: no such file",
    }


def test_tasks_of_functions_are_not_called_steps(project: FlowProject) -> None:
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    for words, told in [
        (("tasks", f"{run}/laod"), "there is no task 'laod' in run main/"),
        (("logs", f"{run}/laod"), "there is no task 'laod' in run main/"),
        (("show", f"{run}/laod/x"), "there is no task 'laod' in run main/"),
        (("show", f"{run}/laod"), "there is no task or artifact 'laod' in run main/"),
        (("logs", f"{run}/load[7]"), "Task load has 2 calls: load~"),
        (("tasks", f"{run}/load/x"), "a run and a task are expected, not load/x"),
        (("resume", run, "--from", "laod"), "main has no task laod"),
        (("config", "explain", "laod", "flow.py"), "main has no task 'laod'"),
        (("run", "flow.py", "--set", "laod.retry.times=2"), "main has no task 'laod'"),
        (("run", "flow.py", "--debug=laod"), "main has no such task"),
        (("run", "flow.py", "--set", "load.retry.times=-2"), "times must be 0 or more"),
    ]:
        said = project.fails(*words, code=2)
        assert told in said.err, str(said)
        assert "step" not in said.err, str(said)


def test_results_of_runs_that_have_none(project: FlowProject) -> None:
    project.write(FLOW)
    run = project.fails("run", "flow.py", "--n", "-1").run
    failed = project.run(run).failed_task
    assert failed is not None
    said = project.fails("get", f"{run}/result", code=2)
    assert f"run main/{run} failed and has no result\n  Look deeper with: dovetail show {run}/{failed.path}" in said.err
    assert project.ok(*said.err.partition("dovetail ")[2].splitlines()[0].split()).out
    said = project.fails("get", f"{run}/other", code=2)
    assert "The run failed, so there are no artifacts of its end. Look deeper with: dovetail show" in said.err
    run = project.ok("run", "flow.py", "--asks", "--pause-after", "0").run
    said = project.fails("get", f"{run}/result", code=2)
    assert f"run main/{run} is paused and has no result yet\n  Look deeper with: dovetail show {run}\n" in said.err


def test_a_task_that_is_interrupted_with_its_caller_says_so(project: FlowProject) -> None:
    project.write(FLOW)
    driving = project.start("run", "flow.py", "--asks", "--pause-after", "inf")
    driving.wait_for("asking")
    until(lambda: project.run(driving.run).waiting, driving.process)
    driving.signal(2)
    said = driving.end()
    assert said.code == 130
    assert re.search(r"- ask~\S+ +.* interrupted\n", said.err), str(said)
    assert "✗" not in said.err
    assert "the process that called it ended" not in said.err
    assert set(project.states(driving.run).values()) == {"succeeded", "cancelled"}


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_long_paths_are_shortened_on_a_terminal(project: FlowProject) -> None:
    import pty

    project.write(FLOW)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dovetail", "run", "flow.py", "--deep", "15"]
    env = {**project._environment(None), "COLUMNS": "90"}
    process = subprocess.Popen(command, cwd=project.folder, env=env, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    process.communicate()
    assert process.returncode == 0
    lines = [line.rpartition("\x1b[2K")[2] for line in text.decode().splitlines()]
    drawn = [line for line in lines if "✓ down~" in line]
    assert len(drawn) == 16
    assert max(map(len, drawn)) <= 90
    assert sum("/…/down~" in line for line in drawn) == 13
    said = project.ok("run", "flow.py", "--deep", "5")
    assert any(line.count("/down~") == 5 for line in said.err.splitlines()), "elsewhere they are whole"
