"""Values of stores that were damaged or tampered with are refused by name: whole, in part, or many at once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attacks import Attacker
from flowproject import FlowProject

FLOW = """
import numpy as np

class Own:
    def __init__(self, value):
        self.value = value

class Shop(FlowSpec):
    size = Parameter("size", default=3)

    @step
    def start(self):
        self.numbers = np.arange(300_000.0)
        self.text = b"t" * 100_000
        self.middle = {"m" * 3000}
        self.own = Own(7)
        for number in range(400):
            setattr(self, f"v{number}", {number, "x" * 4000})
        self.next(self.end)

    @step
    def end(self):
        pass
"""

READ = """
import sys
from dovetail import Client
from dovetail.interfaces.errors import DovetailError

task = next(iter(Client(namespace=None).runs()))["start"].task
for words in sys.argv[1:]:
    try:
        print(words, "gives", repr(eval(words))[:60])
    except DovetailError as error:
        print(words, "raises", type(error).__name__, error.message)
"""
SIGNED = '[tool.dovetail.artifacts]\nsigned = true\nsigning_key = {secret = "env:STORE_KEY"}\n'
KEY = {"STORE_KEY": "a secret that is long enough to be a key"}
PARTS = ("task['numbers'][5:7]", "task['numbers'][250_000]", "task['text'][5:8]", "task['numbers'].preview(2)")
PACKED = ("task['v399'].data", "task['v398'].raw()[1][0].nbytes", "len(task.values(own=True))")


@pytest.fixture
def shop(project: FlowProject) -> FlowProject:
    (project.folder / "pyproject.toml").write_text(SIGNED)
    project.write(FLOW)
    (project.folder / "read.py").write_text(READ)
    project.ok("run", "flow.py", env=KEY)
    return project


def read(shop: FlowProject, *words: str) -> dict[str, str]:
    """What each expression gives or raises."""
    said = str(shop.python("read.py", *words, env=KEY))
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith(words)]
    return {word: next(line for line in lines if line.startswith(word))[len(word) + 1 :] for word in words}


def large(shop: FlowProject, least: int) -> list[Path]:
    return [
        path for path in (shop.home / "local" / "objects").rglob("*") if path.is_file() and path.stat().st_size > least
    ]


def change(path: Path, offset: int) -> None:
    """Flip a bit."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset, 2 if offset < 0 else 0)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def test_parts_and_packs_of_a_signed_store_are_read(shop: FlowProject) -> None:
    found = read(shop, *PARTS, *PACKED)
    assert found[PARTS[0]] == "gives array([5., 6.])"
    assert found[PARTS[1]].endswith("250000.0)") or found[PARTS[1]] == "gives 250000.0"
    assert found[PARTS[2]] == "gives b'ttt'"
    assert all(line.startswith("gives ") for line in found.values())
    assert found[PACKED[2]] == "gives 404"


def test_bytes_that_were_changed_are_told_in_parts_and_packs(shop: FlowProject) -> None:
    for path in large(shop, 1 << 20):
        change(path, -100)
    found = read(shop, "task['numbers'][299_000:299_999]", *PACKED)
    assert "raises CorruptDataError artifact Shop/" in found["task['numbers'][299_000:299_999]"]
    assert any("raises CorruptDataError artifact Shop/" in found[word] for word in PACKED)


def test_an_index_that_names_other_bytes_is_not_believed_for_parts_and_packs(shop: FlowProject) -> None:
    by = Attacker(shop.home, shop.folder / "canary")
    with closing(sqlite3.connect(shop.home / "metadata.db")) as database, database:
        row = database.execute("SELECT rowid, outputs FROM task WHERE outputs LIKE '%numbers%'").fetchone()
        outputs = json.loads(row[1])
        evil = [by.large.serializer, by.large.size, by.large.digest.hex(), "o", by.uuid, by.large.type]
        changed = {name: evil if len(entry) > 1 else entry for name, entry in outputs.items()}
        database.execute("UPDATE task SET outputs = ? WHERE rowid = ?", (json.dumps(changed), row[0]))
    for words, line in read(shop, *PARTS[:3], *PACKED[:2], "task['middle'].data").items():
        assert "the index has another value than the task's signed record" in line or "can't be read in part" in line, (
            words
        )
    assert not by.canary.exists()


def test_records_of_an_attacker_name_no_parts(shop: FlowProject) -> None:
    by = Attacker(shop.home, shop.folder / "canary")
    for keep_signature in (True, False):
        by.segments(by.large, keep_signature=keep_signature)
        for line in read(shop, *PARTS, *PACKED).values():
            assert line.startswith("raises SignatureError artifact Shop/"), line
    assert not by.canary.exists()


def test_errors_of_records_and_manifests_name_the_artifact(shop: FlowProject) -> None:
    run = shop.ok("runs", "--json", env=KEY)
    name = f"Shop/{json.loads(run.out)[0]['run']}/start"
    change(shop.home / "local" / "runs" / name.split("/")[1] / "run.json", 100)
    shop.write("", name="flow.py")  # the code is only where the run says
    found = read(shop, "task['size'].data", "task['own'].data", "task['middle'].data")
    assert found["task['size'].data"].startswith(f"raises SignatureError artifact {name}/size is not loaded: runs/")
    assert found["task['own'].data"].startswith(f"raises UnpicklableError artifact {name}/own")
    assert found["task['middle'].data"].startswith("gives ")
    (shop.folder / "pyproject.toml").write_text("")
    found = read(shop, "task['size'].data")
    assert found["task['size'].data"].startswith(
        f"raises CorruptDataError artifact {name}/size is not loaded: run.json"
    )
    change(next((shop.home / "local" / "runs").glob("*/segments/*")), 300)
    for line in read(shop, "task['middle'].data", "task['middle'].raw()").values():
        assert line.startswith(f"raises CorruptDataError artifact {name}/middle"), line
    said = shop.fails("store", "pin", f"{name}/middle", code=4)
    assert f"artifact {name}/middle" in said.err
    assert "is corrupt: " in said.err
