"""The second example: a loop that routes cases by what a model answers, asks a person, and repeats nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRIAGE = Path(__file__).parents[1] / "examples" / "triage" / "flow.py"
DOVETAIL = str(Path(sys.executable).with_name("dovetail"))


def dovetail(home: Path, *arguments: str | Path) -> str:
    """What a command prints, which must succeed."""
    environment = {**os.environ, "DOVETAIL_HOME": str(home)}
    done = subprocess.run(
        [DOVETAIL, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def result(home: Path, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(dovetail(home, "get", f"{run}/result", "--json"))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What comes out where nobody answers and nothing is killed."""
    home = tmp_path_factory.mktemp("triage")
    dovetail(home, "run", TRIAGE, "--cases", "30", "--patience", "0.01", "--quiet", "--run-id-file", home / "id")
    return result(home, (home / "id").read_text().strip())


def test_the_models_and_the_person_find_what_is_malignant(undisturbed: dict[str, object]) -> None:
    assert undisturbed["missed"] == []
    assert 0 < int(str(undisturbed["asked"])) <= int(str(undisturbed["second opinions"])) < 20


def test_it_asks_pauses_and_goes_on_with_what_a_person_says(tmp_path: Path) -> None:
    id_file = tmp_path / "id"
    dovetail(tmp_path, "run", TRIAGE, "--cases", "10", "--quiet", "--pause-after", "0", "--run-id-file", id_file)
    run = id_file.read_text().strip()
    for _ in range(20):
        shown = json.loads(dovetail(tmp_path, "show", run, "--json"))
        if shown["state"] != "paused":
            break
        dovetail(tmp_path, "signal", run, '{"malignant": true, "note": "seen"}', "--quiet")
    assert shown["state"] == "succeeded"
    calls = json.loads(dovetail(tmp_path, "tasks", run, "--json"))
    answers = [one for one in calls if one["path"].startswith("wait")]
    assert len(answers) == int(str(result(tmp_path, run)["asked"]))
    assert {one["attempt"] for one in calls if one["step"] != "triage"} == {1}


def test_killed_and_resumed_it_repeats_no_call(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    id_file = tmp_path / "id"
    environment = {**os.environ, "DOVETAIL_HOME": str(tmp_path)}
    command = [DOVETAIL, "run", str(TRIAGE), "--cases", "30", "--patience", "0.01", "--run-id-file", str(id_file)]
    driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert driver.stdout is not None
    seen: list[str] = []
    for line in driver.stdout:  # in the middle of its loop
        seen.append(line)
        if sum("examine" in one for one in seen) >= 10:
            break
    os.kill(driver.pid, signal.SIGKILL)
    driver.stdout.close()
    driver.wait()
    run = id_file.read_text().strip()
    before = {one["path"] for one in _recorded(tmp_path, run)}
    assert before
    dovetail(tmp_path, "resume", run, "--quiet")
    after = {one["path"]: one for one in _recorded(tmp_path, run)}
    assert result(tmp_path, run) == undisturbed
    assert {after[path]["attempt"] for path in before} == {1}
    starts = [one["started"] for path, one in after.items() if path in before]
    assert max(starts) < min(one["started"] for path, one in after.items() if path not in before)


def _recorded(home: Path, run: str) -> list[dict[str, str]]:
    deadline = time.monotonic() + 60
    while True:
        tasks = json.loads(dovetail(home, "tasks", run, "--json"))
        found = [one for one in tasks if one["state"] == "succeeded"]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
