from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from seed import Seed, trained
from shell import Shell


def test_it_says_what_it_did(seed: Seed, shell: Shell) -> None:
    made = trained(seed)
    shell("tag", "add", made.id, "later")
    seed.provider.close()
    text = shell("metadata-rebuild")
    assert f"1 run with 6 tasks restored from {seed.store.url}" in text
    assert "tags of 1 run taken over from the old database" in text
    assert "the old database is at " in text
    assert "Not in a data store, and so not restored: signals and other requests that no driver took in" in text
    assert shell.json("runs")[0]["tags"] == ["later"]


def test_as_json(seed: Seed, shell: Shell) -> None:
    trained(seed)
    trained(seed)
    seed.provider.close()
    document = shell.json("metadata-rebuild")
    assert Path(document.pop("aside")).exists()
    assert document == {
        "stores": [seed.store.url],
        "runs": 2,
        "tasks": 12,
        "kept": 0,
        "tags": 0,
        "tags_lost": False,
        "failed": [],
        "problems": [],
    }


def test_what_can_not_be_restored_is_told(seed: Seed, shell: Shell) -> None:
    whole, broken = trained(seed), trained(seed)
    manifest = seed.store.root / "runs" / broken.id / "run.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    seed.provider.close()
    for file in seed.home.glob("metadata.db*"):
        file.write_bytes(b"garbage" * 1000)
    text = shell("metadata-rebuild", code=4)
    assert "1 run with 6 tasks restored" in text
    assert f"not restored: run {broken.id}" in shell.err
    assert "can't be read" in shell.err
    assert "Tags that were changed" in shell.err
    assert [run["run"] for run in shell.json("runs")] == [whole.id]


def test_while_a_run_is_driven(seed: Seed, shell: Shell) -> None:
    made = seed.run()
    made.flush()
    shell("metadata-rebuild", code=4)
    assert made.id in shell.err
    made.stop()


def test_where_nothing_is(seed: Seed, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(seed.store.root)
    shell("metadata-rebuild", code=4)
    assert "nothing was changed" in shell.err
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "none"))
    shell("metadata-rebuild", code=4)
    assert "does not exist" in shell.err
    assert not (tmp_path / "none").exists()
