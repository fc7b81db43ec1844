"""`dovetail show RUN --tree` of more than calls of tasks: flows in flows, questions, transactions, hooks."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

from flowproject import FlowProject, until


def tree(project: FlowProject, run: str) -> list[str]:
    """The drawn lines, without identities and times."""
    lines = project.ok("show", run, "--tree").out.splitlines()
    begin = next(at for at, line in enumerate(lines) if "─ " in line)
    found = []
    for line in lines[begin - 1 :]:
        if found and "─ " not in line:
            break
        if line:
            found.append(re.sub(r"  \d[\d.]* (ms|s)|~[0-9a-f]{16}|'[0-9a-z]{26}'", "", line))
    return found


def rows(project: FlowProject, run: str) -> list[dict[str, Any]]:
    return json.loads(project.ok("show", run, "--tree", "--json").out)["tasks"]  # type: ignore[no-any-return]


FLOWS = """
from dovetail import flow, run_flow, task

@task
def load(n):
    return n

@flow
def countdown(n: int = 2):
    return countdown(n - 1) + load(n) if n else 0

class Training(FlowSpec):
    alpha = Parameter(default=1)

    @step
    def start(self):
        self.total = countdown(1)
        self.next(self.part, foreach=[1, 2])

    @step
    def part(self):
        self.next(self.end)

    @step
    def end(self, inputs):
        pass

@flow
def trains():
    load(3)
    run_flow(Training, alpha=2)
"""


def test_a_flow_that_calls_itself(project: FlowProject) -> None:
    project.write(FLOWS)
    said = project.ok("run", "flow.py:countdown")
    assert tree(project, said.run) == [
        "countdown(n=2) → 3  succeeded",
        "├─ countdown(n=1) → 1  succeeded",
        "│  ├─ countdown(n=0) → 0  succeeded",
        "│  └─ load(n=1) → 1  succeeded",
        "└─ load(n=2) → 2  succeeded",
    ]


def test_a_class_flow_that_a_flow_runs(project: FlowProject) -> None:
    project.write(FLOWS)
    said = project.ok("run", "flow.py:trains")
    assert tree(project, said.run) == [
        "trains() → None  succeeded",
        "├─ load(n=3) → 3  succeeded",
        "└─ Training(parameters={'alpha': 2}) →   succeeded",
        "   ├─ start  succeeded",
        "   │  └─ countdown(n=1) → 1  succeeded",
        "   │     ├─ countdown(n=0) → 0  succeeded",
        "   │     └─ load(n=1) → 1  succeeded",
        "   ├─ part  2 tasks: 2 succeeded",
        "   │  ├─ part[0]  succeeded",
        "   │  └─ part[1]  succeeded",
        "   └─ end  succeeded",
    ]
    inner = next(run for run in project.runs() if run.flow_name == "Training")
    assert {row["step"]: row["called_run"] for row in rows(project, said.run)} == {
        "trains": None,
        "load": None,
        "Training": inner.id,
    }


ASKS = """
from dataclasses import dataclass
from dovetail import flow, task, wait_for_input

@dataclass
class Approval:
    ok: bool
    why: str = ""

@task
def wait(n):
    return n

@flow
def shop():
    wait(1)
    wait_for_input(bool, name="plain")
    return wait_for_input(Approval, name="deploy", question="Shall we deploy?").ok
"""


def test_questions_and_answers(project: FlowProject) -> None:
    project.write(ASKS)
    run = project.ok("run", "flow.py", "--pause-after", "0").run
    assert tree(project, run) == [
        "shop()  waiting",
        "├─ wait(n=1) → 1  succeeded",
        "└─ wait_for_input plain  waiting",
    ]
    project.ok("signal", run, "true", "--pause-after", "0")
    project.ok("signal", run, '{"ok": true}')
    assert tree(project, run) == [
        "shop() → True  succeeded",
        "├─ wait(n=1) → 1  succeeded",
        "├─ wait_for_input plain → True  succeeded",
        "└─ wait_for_input deploy Shall we deploy? → {'ok': True}  succeeded",
    ]
    assert "form" not in project.ok("show", run, "--tree").out
    own, plain, deploy = (row for row in rows(project, run) if row["step"] == "wait")
    assert own["inputs"]["n"]["value"] == 1
    assert own["asked"] is None
    assert (plain["inputs"], plain["asked"]["name"], plain["result"]["value"]) == (None, "plain", True)
    assert deploy["asked"]["question"] == "Shall we deploy?"
    assert deploy["asked"]["schema"]["properties"]["ok"] == {"type": "boolean"}


GROUPS = """
from dovetail import flow, on_success, task, transaction

@task
def write(n):
    return n

@write.on_rollback
def remove(txn): ...

@write.on_commit
def keep(txn): ...

@task
def commit(n):
    return n

def tell(what, run, state): ...

@flow(on_success=[tell])
def shop():
    with transaction() as txn:
        txn.set("who", "ada")
        write(1)
        commit(2)
        with transaction():
            write(3)
    try:
        with transaction() as txn:
            write(4)
            raise ValueError
    except ValueError:
        pass
"""


def test_transactions_and_hooks(project: FlowProject) -> None:
    project.write(GROUPS)
    said = project.ok("run", "flow.py")
    assert tree(project, said.run) == [
        "shop() → None  succeeded",
        "├─ transaction  committed",
        "│  ├─ write(n=1) → 1  succeeded",
        "│  ├─ commit(n=2) → 2  succeeded",  # a task of the user's
        "│  ├─ transaction  part of the one around it",
        "│  │  └─ write(n=3) → 3  succeeded",
        "│  ├─ on_commit flow:keep of write  succeeded",
        "│  └─ on_commit flow:keep of write  succeeded",
        "├─ transaction#2  rolled back",
        "│  ├─ write(n=4) → 4  succeeded",
        "│  └─ on_rollback flow:remove of write  succeeded",
        "└─ on_success flow:tell  succeeded",
    ]
    steps = [row["step"] for row in rows(project, said.run)]
    assert sorted(set(steps)) == [
        "commit", "on_commit", "on_rollback", "on_success", "shop", "transaction", "write",
    ]  # fmt: skip
    assert steps.count("commit") == 1


def test_a_transaction_that_another_process_ended(project: FlowProject) -> None:
    project.write(GROUPS.replace("commit(2)", "os._exit(4)"))
    said = project.fails("run", "flow.py")
    lines = tree(project, said.run)
    assert lines[1:4] == [
        "└─ transaction  rolled back",
        "   ├─ write(n=1) → 1  succeeded",
        "   └─ on_rollback flow:remove of write  succeeded",
    ]


def test_calls_of_what_the_index_does_not_tell_of(project: FlowProject) -> None:
    """What runs when its driver is killed leaves nothing in the data store, and what it called does."""
    flow = """
from dovetail import flow, task

@task
def load(n):
    return n

@flow
def inner():
    load(1)
    open("waiting", "w").close()
    while True:
        time.sleep(0.01)

@task
def outer():
    inner()

class Shop(FlowSpec):
    @step
    def start(self):
        outer()
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    project.write(flow)
    driving = project.start("run", "flow.py:Shop")
    driving.wait_for("waiting")
    until(lambda: any("load" in path for path in project.states(driving.run)))
    driving.signal(signal.SIGKILL)
    driving.end()
    project.ok("metadata-rebuild")
    lines = tree(project, driving.run)
    assert lines == [
        "└─ start  not in the index",
        "   └─ outer  not in the index",
        "      └─ inner  not in the index",
        "         └─ load(n=1) → 1  succeeded",
    ]
