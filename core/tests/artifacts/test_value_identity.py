"""Digests of typed values are fixed: across processes, hash seeds, versions of Python and of the libraries, whatever
memory a value came from. `python core/tests/artifacts/identity_values.py` prints them; none may ever change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("identity_values.json")
PROGRAM = Path(__file__).with_name("identity_values.py")


@pytest.mark.parametrize("seed", ["0", "42"])
def test_digests_are_the_golden_ones(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "names",
    [
        ("array", "array, copied", "array, sliced"),
        ("table", "table, chunked", "table, sliced"),
        ("frame", "frame, copied"),
        ("numbers", "numbers, sliced"),
        ("polars", "polars, chunked"),
    ],
    ids=lambda names: names[0],
)
def test_history_does_not_count(names: tuple[str, ...]) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len({golden[name] for name in names}) == 1


def test_order_and_type_count() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(set(golden.values())) == len(golden) - 7  # what the test above compares
