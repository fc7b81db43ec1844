from __future__ import annotations

import re
from pathlib import Path

import pytest
from seed import T0, Seed, SeedRun, error, foreach, trained
from shell import Shell

from dovetail.cli.targets import parse_since
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.tasks import Exit

RUN_KEYS = {
    "run",
    "flow",
    "state",
    "created",
    "started",
    "finished",
    "user",
    "tags",
    "system_tags",
    "parameters",
    "origin",
    "error",
}
TASK_KEYS = {
    "path",
    "step",
    "state",
    "attempt",
    "started",
    "finished",
    "cpu",
    "memory",
    "limit",
    "error",
    "artifacts",
    "metadata",
}


def failed(seed: Seed) -> SeedRun:
    """A run with a task that failed twice, one that was caught and one that was cut off."""
    made = seed.run(parameters={"rate": 0.5}, tags=["nightly"])
    made.expect("start", 1)
    made.task("start", {"xs": [1, 2, 3]}, targets=["train"], log=[("stdout", "begin\n")])
    made.expect("train", 5)
    made.task("train[0]", {"y": 1.5}, after=["start"], log=[("stdout", "epoch 1\nepoch 2\n")])
    made.fail("train[1]", error("first"), state="waiting", log=[("stdout", "trying\n")])
    made.fail("train[1]", error("bad value"), attempt=2, was="waiting", exit=Exit(code=3), log=[("stderr", "boom\n")])
    made.task("train[2]", {"y": None}, after=["start"], caught=error("caught one"))
    made.fail("train[3]", error("another", type="pkg.OtherError"))
    made.begin("train[4]")
    return made.end("failed", failed="train[1]", message="bad value")


def test_runs(seed: Seed, shell: Shell) -> None:
    first, second = trained(seed, tags=["a"]), failed(seed)
    lines = shell("runs").splitlines()
    assert lines[0].split() == ["run", "flow", "state", "created", "took", "user", "tags"]
    assert [line.split()[0] for line in lines[1:]] == [second.id, first.id]
    assert "failed" in lines[1]
    assert "nightly" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_runs_as_json_and_filtered(seed: Seed, shell: Shell) -> None:
    first, second = trained(seed, tags=["a"], user="bob"), failed(seed)
    lost = seed.run(foreach("Other")).stop()
    runs = shell.json("runs")
    assert [run["run"] for run in runs] == [lost.id, second.id, first.id]
    assert all(set(run) == RUN_KEYS for run in runs)
    assert runs[0]["state"] == "lost"
    assert runs[1]["error"] == {"path": "train[1]", "message": "bad value"}
    assert runs[1]["parameters"] == {"rate": 0.5}
    assert runs[1]["created"] == "2025-10-09T08:56:40+00:00"
    for words, found in {
        ("--flow", "Other"): [lost],
        ("Other",): [lost],
        ("--state", "failed"): [second],
        ("--state", "failed", "--state", "lost"): [lost, second],
        ("--tag", "a"): [first],
        ("--user", "bob"): [first],
        ("--limit", "1"): [lost],
        ("--limit", "0"): [lost, second, first],
        ("--since", "2025-10-09T08:56:00+00:00"): [lost, second],
        ("--tag", "a", "--tag", "b"): [],
    }.items():
        assert [run["run"] for run in shell.json("runs", *words)] == [run.id for run in found], words


def test_runs_that_can_not_be_listed(seed: Seed, shell: Shell) -> None:
    assert shell("runs") == ""
    assert shell.err == "No runs yet.\n"
    assert shell.json("runs") == []
    trained(seed)
    assert shell("runs", "--tag", "nope") == ""
    assert "No run fits" in shell.err
    shell("runs", "TranFlow", code=2)
    assert "Did you mean TrainFlow" in shell.err
    shell("runs", "--since", "yesterday", code=2)
    assert "is no time" in shell.err
    shell("runs", "--limit", "-1", code=2)


def test_runs_whose_index_is_lost(seed: Seed, shell: Shell) -> None:
    trained(seed)
    assert shell("runs", "--tag", "nope") == ""
    assert "metadata-rebuild" not in shell.err
    seed.provider.close()
    for file in seed.home.glob("metadata.db*"):
        file.unlink()
    assert shell("runs") == ""
    assert "No runs yet." in shell.err
    assert f"{seed.store.url} holds runs that are not listed: dovetail metadata-rebuild" in shell.err
    assert shell.json("runs") == []
    assert shell.err == ""
    shell("metadata-rebuild")
    assert "TrainFlow" in shell("runs")


def test_a_missing_home_stays_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "none"))
    assert shell.json("runs") == []
    for verb in ("show", "tasks", "logs", "artifacts"):
        shell(verb, code=2)
        assert "nothing has run yet" in shell.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129600), ("1w", 604800)])
def test_times_ago(text: str, ago: float) -> None:
    assert parse_since(text, now=T0) == T0 - ago


def test_times_as_dates() -> None:
    assert parse_since("2025-10-09T08:53:20Z") == T0
    assert parse_since("2025-10-09") < T0
    with pytest.raises(UsageError):
        parse_since("")


def test_tasks(seed: Seed, shell: Shell) -> None:
    made = failed(seed)
    lines = shell("tasks", made.id).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["start", *(f"train[{i}]" for i in range(5))]
    assert "ValueError: bad value" in lines[3]
    assert "caught ValueError: caught one" in lines[4]
    tasks = shell.json("tasks", made.id)
    assert all(set(task) == TASK_KEYS for task in tasks)
    assert tasks[1]["artifacts"] == ["y"]
    assert tasks[2]["error"]["message"] == "bad value"
    assert tasks[2]["metadata"]["exit"]["code"] == 3
    assert [task["path"] for task in shell.json("tasks", made.id, "--state", "failed")] == ["train[1]", "train[3]"]
    assert [task["path"] for task in shell.json("tasks", f"{made.id}/start")] == ["start"]
    assert [task["path"] for task in shell.json("tasks", made.id, "--step", "train", "--limit", "1")] == ["train[4]"]
    assert len(shell.json("tasks")) == 6
    assert len(shell.json("tasks", "TrainFlow")) == 6
    shell("tasks", made.id, "--step", "trian", code=2)
    assert "Did you mean train" in shell.err
    shell("tasks", made.id, "--state", "cancelled")
    assert "No task fits" in shell.err
    shell("tasks", f"{made.id}/train[0]/y", code=2)
    shell("tasks", "one", "two", code=2)


def test_the_file_of_a_flow_stands_for_it(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    made = failed(seed)
    seed.run(foreach("Other")).stop()
    file = tmp_path / "flow.py"
    file.write_text("import nothing_like_this\nclass TrainFlow(FlowSpec): pass\nclass Unused: pass\n")
    assert shell.json("show", "flow.py")["run"] == made.id
    assert shell.json("show", str(file), "train[0]")["path"] == "train[0]"
    assert shell.json("show", "flow.py", f"{made.id}/train[0]")["path"] == "train[0]"
    assert [run["run"] for run in shell.json("runs", "flow.py")] == [made.id]
    (tmp_path / "none.py").write_text("class Unused: pass\n")
    shell("show", "none.py", code=2)
    assert "no flow of none.py has run yet" in shell.err
    (tmp_path / "bad.py").write_text("class\n")
    shell("show", "bad.py", code=2)
    shell("show", "missing.py", code=2)


def test_show_a_failed_run(seed: Seed, shell: Shell) -> None:
    made = failed(seed)
    text = shell("show", made.id[:20])
    assert text.startswith(f"TrainFlow/{made.id}  failed")
    assert "rate  0.5" in text
    assert "tags      nightly" in text
    assert "2 succeeded, 2 failed, 1 was running" in text
    assert "train[1] failed after 2 attempts: it ended the run" in text
    assert 'File "flow.py", line 7, in train' in text
    assert "ValueError: bad value" in text
    assert "│ boom" in text
    assert "│ trying" not in text
    assert f"1 other task failed: dovetail tasks {made.id} --state failed" in text
    assert text.rstrip().endswith(f"go on        dovetail resume {made.id}")
    document = shell.json("show", made.id)
    assert set(document) == RUN_KEYS | {"steps", "failure", "waiting", "limits"}
    assert document["failure"]["path"] == "train[1]"
    assert document["failure"]["attempts"] == 2
    assert [step["step"] for step in document["steps"]] == ["start", "train"]
    assert document["steps"][1] == {
        "step": "train",
        "tasks": 5,
        "expected": 5,
        "states": {"succeeded": 2, "failed": 2, "running": 1},
        "started": "2025-10-09T08:55:00.500000+00:00",
        "finished": "2025-10-09T08:55:02.250000+00:00",
        "seconds": 1.75,
        "cpu": pytest.approx(0.7),
    }


def test_show_other_states(seed: Seed, shell: Shell) -> None:
    done = trained(seed)
    assert f"dovetail artifacts {done.id}" in shell("show", done.id)
    lost = seed.run()
    lost.begin("start")
    lost.expect("train", 4)
    lost.flush()
    live = shell("show", lost.id)
    assert "running" in live
    assert f"dovetail logs {lost.id} --follow" in live
    lost.stop()
    text = shell("show", lost.id)
    assert "process 1 on host is gone" in text
    assert "1 was running" in text
    assert f"dovetail resume {lost.id}" in text
    assert "0 of 4" in text
    never = seed.run().end("failed")
    assert "No task has begun" in shell("show", never.id)


def test_show_a_tree(seed: Seed, shell: Shell) -> None:
    made = failed(seed)
    lines = shell("show", made.id, "--tree").splitlines()
    at = next(i for i, line in enumerate(lines) if "─ start" in line)
    assert [line.split("  ")[0] for line in lines[at : at + 3]] == ["├─ start", "└─ train", ""]
    assert "└─ train  5 tasks: 2 succeeded, 2 failed, 1 running" in lines[at + 1]
    assert len(shell.json("show", made.id, "--tree")["tasks"]) == 6
    wide = trained(seed, width=30)
    text = shell("show", wide.id, "--tree")
    assert "├─ train  30 tasks" in text
    assert "│  └─ 10 more" in text
    assert "│  ├─ train[19]" in text
    assert "train[20]" not in text


def test_show_notes(seed: Seed, shell: Shell) -> None:
    made = seed.run()
    made.event("note", "start", level="info", message="runs again: code changed")
    made.event("note", level="warning", message="spawn instead of fork")
    made.end()
    text = shell("show", made.id, "--notes")
    assert "  start runs again: code changed\n" in text
    notes = shell.json("show", made.id, "--notes")["notes"]
    assert [(note["path"], note["level"], note["message"]) for note in notes] == [
        ("start", "info", "runs again: code changed"),
        ("", "warning", "spawn instead of fork"),
    ]
    assert "notes" not in shell.json("show", made.id)


def test_show_a_step_a_task_and_an_artifact(seed: Seed, shell: Shell) -> None:
    made = failed(seed)
    text = shell("show", f"{made.id}/train")
    assert "train[1]" in text
    assert "2 of 5 tasks" in text
    text = shell("show", f"{made.id}/train[1]")
    assert "after  start" in text
    assert "exit   code 3" in text
    assert [line.split()[:2] for line in text.splitlines() if line[:1].isdigit()] == [["1", "failed"], ["2", "failed"]]
    assert "ValueError: bad value" in text
    text = shell("show", f"{made.id}/train[2]")
    assert "caught:" in text
    document = shell.json("show", f"{made.id}/train[1]")
    assert set(document) == TASK_KEYS | {"run", "flow", "parents", "children", "attempts"}
    assert [one["error"]["message"] for one in document["attempts"]] == ["first", "bad value"]
    assert len(shell.json("show", f"{made.id}/train")["tasks"]) == 5
    assert "xs" in shell("show", f"{made.id}/start")
    assert shell.json("show", f"{made.id}/train[0]/y")["value"] == 1.5
    assert "1.5" in shell("show", f"{made.id}/train[0]/y")


def test_a_signal_is_named(seed: Seed, shell: Shell) -> None:
    made = seed.run()
    made.fail("start", error("killed", type=""), exit=Exit(signal=9))
    made.end("failed", failed="start")
    assert "SIGKILL, possibly out of memory" in shell("show", f"{made.id}/start")


def test_what_a_task_wrote_does_not_steer_the_terminal(seed: Seed, shell: Shell) -> None:
    made = seed.run()
    made.fail("start", error("\x1b]0;owned\x07"), log=[("stdout", "\x1b[2J\n")])
    made.end("failed", failed="start", message="x")
    assert "\x1b" not in shell("show", made.id)


def test_the_keys_of_json_are_described(seed: Seed, shell: Shell) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(\w+)`", page))
    made = failed(seed)
    documents = [
        *shell.json("runs"),
        *shell.json("tasks", made.id),
        *shell.json("artifacts", made.id),
        shell.json("show", made.id, "--tree", "--notes"),
        *shell.json("show", made.id)["steps"],
        shell.json("show", f"{made.id}/train"),
        shell.json("show", f"{made.id}/train[1]"),
        *shell.json("show", f"{made.id}/train[1]")["attempts"],
        shell.json("tag", "list", made.id),
        shell.json("cancel", made.id),
    ]
    assert {key for document in documents for key in document} <= described
