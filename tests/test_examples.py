"""The examples do what they promise, started either way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "flow.py"
DOVETAIL = Path(sys.executable).with_name("dovetail")


def run(home: Path, *command: str | Path) -> str:
    """What a command printed that must succeed."""
    environment = {**os.environ, "DOVETAIL_HOME": str(home)}
    done = subprocess.run(
        command,
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def output(home: Path) -> str:
    return run(home, DOVETAIL, "run", DIGITS)


def test_the_digits_are_read_well(output: str) -> None:
    accuracy = re.search(r"Test accuracy +(0\.\d+) on 360 scans", output)
    assert accuracy is not None, output
    assert float(accuracy[1]) >= 0.97


def test_the_bad_setting_is_caught_and_the_flaky_step_retried(output: str) -> None:
    assert "13 tried, 1 failed and caught" in output
    assert "InvalidParameterError" in output
    assert re.search(r"Attempts +2 of the flaky step", output)


def test_the_commands_that_it_names_work(output: str, home: Path) -> None:
    commands = re.findall(r"(?:^|\] )    dovetail (.+)$", output, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        run(home, DOVETAIL, *command.split())
    assert (home / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_everything_is_kept(output: str, home: Path) -> None:
    for picture in ("confusion_matrix", "projection"):
        run(home, DOVETAIL, "get", f"DigitsFlow/{picture}", "--output", home / picture)
        assert (home / picture).read_bytes().startswith(b"\x89PNG")
    metrics = json.loads(run(home, DOVETAIL, "get", "DigitsFlow/metrics", "--json"))
    assert len([row for row in metrics if row["accuracy"] is not None]) >= 12
    model = run(
        home, sys.executable, "-c", "from dovetail import Flow; print(Flow('DigitsFlow').latest_run.data.model)"
    )
    assert "SVC(" in model


def test_the_held_out_part_is_never_trained_on(output: str, home: Path) -> None:
    program = (
        "from dovetail import Flow\n"
        "data = Flow('DigitsFlow').latest_run['start'].task.data\n"
        "train, test = ({row.tobytes() for row in part} for part in (data.train_images, data.test_images))\n"
        "print(len(data.train_images), len(data.test_images), len(train & test))"
    )
    assert run(home, sys.executable, "-c", program).split() == ["1437", "360", "0"]


def test_the_file_is_a_program_too(tmp_path: Path) -> None:
    assert "Test accuracy" in run(tmp_path, sys.executable, DIGITS, "run", "--folds", "2")
