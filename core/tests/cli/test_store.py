"""`dovetail store`, `runs delete` and `runs prune`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from seed import Seed, SeedRun
from shell import Shell
from storemaking import age, big, objects, values_of

from dovetail.artifacts.layout import manifest_key, object_key
from dovetail.artifacts.upkeep.pins import read_pins
from dovetail.local.store import LocalStore


def made(seed: Seed, *, end: str = "succeeded", value: str = "", tags: tuple[str, ...] = ()) -> SeedRun:
    run = seed.run(tags=tags)
    run.task("start", {"mine": big(f"{run.id}{value}"), "all": big("all"), "small": 7})
    return run.end(end) if end else run


def runs(shell: Shell) -> set[str]:
    return {row["run"] for row in shell.json("runs", "--limit", "0")}


# -- deleting ---------------------------------------------------------------------------------------------------------


def test_a_run_goes_with_its_row_and_gc_frees_its_values(seed: Seed, shell: Shell) -> None:
    gone, stays = made(seed), made(seed)
    age(seed.store)
    assert "1 run deleted" in shell("runs", "delete", gone.id, "--yes")
    assert runs(shell) == {stays.id}
    assert not list(seed.store.scan(f"runs/{gone.id}"))
    assert not seed.provider.leases("run:")
    looked = shell.json("store", "gc", "--dry-run")
    assert (looked["deleted"], looked["kept"]) == (1, 2)
    assert len(objects(seed.store)) == 3
    assert "deleted" in shell("store", "gc")
    assert len(objects(seed.store)) == 2
    assert values_of(seed.store, stays.id)["start/all"] == big("all")
    shell("runs", "delete", gone.id, "--yes", code=2)
    assert "there is no run" in shell.err


def test_nothing_goes_unasked(seed: Seed, shell: Shell) -> None:
    run = made(seed)
    shell("runs", "delete", run.id, code=2)
    assert "nobody can be asked" in shell.err
    shell("runs", "delete", code=2)
    assert "name runs" in shell.err
    shell("runs", "delete", run.id, "--flow", "TrainFlow", "--yes", code=2)
    shell("runs", "delete", "TrainFlow", "--yes", code=2)
    assert "names a flow" in shell.err
    shell("runs", "delete", f"{run.id}/start", "--yes", code=2)
    assert "as a whole" in shell.err
    assert "would be deleted" in shell("runs", "delete", run.id, "--dry-run")
    assert runs(shell) == {run.id}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_asks(seed: Seed, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = made(seed), made(seed)
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    shell("runs", "delete", first.id, second.id, code=2)
    assert "Delete 2 runs (2 of TrainFlow), with records and logs? This can't be undone. [y/N]" in shell.err
    assert "nothing was deleted" in shell.err
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "1 run deleted" in shell("runs", "delete", first.id)
    assert runs(shell) == {second.id}


def test_live_runs_stay(seed: Seed, shell: Shell) -> None:
    live, ended = made(seed, end=""), made(seed)
    shell("runs", "delete", live.id, "--yes", "--force", code=2)
    assert "is being driven" in shell.err
    shell("store", "gc", "--grace", "0s", code=2)
    assert "safe only while nothing runs" in shell.err
    found = shell.json("runs", "delete", "--flow", "TrainFlow", "--yes")
    assert [row["run"] for row in found["deleted"]] == [ended.id]
    assert found["kept"] == [f"TrainFlow/{live.id} is being driven"]
    live.stop()  # lost
    shell("runs", "delete", live.id, "--yes")
    assert runs(shell) == set()


def test_filters(seed: Seed, shell: Shell) -> None:
    good, bad, tagged = made(seed), made(seed, end="failed"), made(seed, tags=("nightly",))
    found = shell.json("runs", "delete", "--state", "failed", "--dry-run")
    assert [row["run"] for row in found["deleted"]] == [bad.id]
    found = shell.json("runs", "delete", "--tag", "nightly", "--older-than", "30d", "--yes")
    assert [row["run"] for row in found["deleted"]] == [tagged.id]
    assert "No run fits" in shell("runs", "delete", "--older-than", "99999d", "--yes")
    shell("runs", "delete", "--flow", "Other", "--yes", code=2)
    assert runs(shell) == {good.id, bad.id}


def test_a_run_that_only_the_store_knows(seed: Seed, shell: Shell) -> None:
    ended, open_one = made(seed), made(seed, end="").stop()
    for run in (ended, open_one):
        seed.provider.delete_run(run.id)
    shell("runs", "delete", ended.id[:-1], "--yes")
    shell("runs", "delete", open_one.id, "--yes", code=2)
    assert "does not say that it has ended" in shell.err
    shell("runs", "delete", open_one.id, "--yes", "--force")
    assert not list(seed.store.scan("runs/"))


def test_a_deletion_that_was_killed_is_finished_by_the_same_command(seed: Seed, shell: Shell) -> None:
    run = made(seed)
    rest = [info.key for info in seed.store.scan(f"runs/{run.id}/") if not info.key.endswith("run.json")]
    for key in rest:
        seed.store.delete([key])
    shell("runs", "delete", run.id, "--yes")
    assert not list(seed.store.scan("runs/"))
    other = made(seed)
    for info in list(seed.store.scan(f"runs/{other.id}/")):
        seed.store.delete([info.key])
    shell("runs", "delete", other.id, "--yes")
    assert runs(shell) == set()


# -- pins and retention -----------------------------------------------------------------------------------------------


def test_pins(seed: Seed, shell: Shell) -> None:
    run = made(seed)
    assert shell.json("store", "pins") == []
    assert "pinned" in shell("store", "pin", run.id, "--note", "the paper")
    shell("store", "pin", f"{run.id}/start/mine")
    shell("store", "pin", f"TrainFlow/{run.id}/start/small")
    shell("store", "pin", "TrainFlow", code=2)
    found = shell.json("store", "pins")
    assert [(pin["artifact"], pin["note"]) for pin in found] == [
        (None, "the paper"),
        ("start/mine", ""),
        ("start/small", ""),
    ]
    shell("runs", "delete", run.id, "--yes", code=2)
    assert "is pinned: the paper" in shell.err
    assert shell.json("runs", "delete", "--flow", "TrainFlow", "--yes")["kept"] == [f"TrainFlow/{run.id} is pinned"]
    shell("store", "unpin", run.id)
    shell("runs", "delete", run.id, "--yes")
    age(seed.store)
    assert shell.json("store", "gc")["kept"] == 2
    values = [seed.artifacts.load(pin.ref) for pin in read_pins(seed.store) if pin.ref is not None]
    assert values == [big(run.id), 7]
    shell("store", "unpin", f"{run.id}/start/mine")
    shell("store", "unpin", f"TrainFlow/{run.id}/start/small")
    shell("store", "unpin", "nothing", code=2)
    assert shell.json("store", "gc")["kept"] == 0


def test_force_deletes_a_pinned_run_and_its_pin(seed: Seed, shell: Shell) -> None:
    run = made(seed)
    shell("store", "pin", run.id)
    shell("runs", "delete", run.id, "--yes", "--force")
    assert shell.json("store", "pins") == []


RULES = """
[[retention]]
tag = "release"

[[retention]]
flow = "Train*"
state = "failed"
older_than = "1d"

[[retention]]
flow = "Train*"
keep_last = 2
"""


def test_retention_rules(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    shell("runs", "prune", code=2)
    assert "no retention rules" in shell.err
    (tmp_path / "dovetail.toml").write_text(RULES)
    old = [made(seed) for _ in range(3)]
    failed, released = made(seed, end="failed"), made(seed, tags=("release",))
    pinned = old[1]
    new = [made(seed), made(seed)]
    shell("store", "pin", pinned.id)
    live = made(seed, end="")
    found = shell.json("runs", "prune", "--dry-run")["rules"]
    assert [(rule["kept"], rule["pinned"], rule["live"]) for rule in found] == [(1, 0, 0), (0, 0, 0), (2, 1, 0)]
    assert [row["run"] for row in found[1]["deleted"]] == [failed.id]
    assert {row["run"] for row in found[2]["deleted"]} == {old[0].id, old[2].id, new[0].id}
    shell("runs", "prune", code=2)
    assert "nobody can be asked" in shell.err
    assert "4 runs deleted" in shell("runs", "prune", "--yes")
    assert runs(shell) == {released.id, pinned.id, new[1].id, live.id}
    assert "0 runs deleted" in shell("runs", "prune", "--yes")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('older_than = "soon"', "older_than must be a time such as 30d"),
        ("keep_last = -1", "keep_last must be 0 or more"),
        ('flows = "x"', "flow"),
        ('state = "suceeded"', "state must be one of running, paused, interrupted, succeeded, failed, cancelled, lost"),
        ('tag = "a"\n[[retention]]\nkeep_last = -1', "keep_last must be 0 or more (number 2 of 2)"),
    ],
)
def test_wrong_rules_are_told(seed: Seed, shell: Shell, tmp_path: Path, rule: str, said: str) -> None:
    made(seed)
    (tmp_path / "dovetail.toml").write_text(f"[[retention]]\n{rule}\n")
    shell("runs", "prune", code=2)
    assert said in shell.err


# -- du, verify, copy -------------------------------------------------------------------------------------------------


def test_du(seed: Seed, shell: Shell) -> None:
    first, second = made(seed), made(seed)
    found = shell.json("store", "du", "--by", "run")
    assert {row["run"] for row in found["rows"]} == {f"TrainFlow/{first.id}", f"TrainFlow/{second.id}"}
    assert all(row["unique"] > 70_000 and row["shared"] > 70_000 for row in found["rows"])
    assert found["objects"] == 3
    text = shell("store", "du", "--by", "artifact", "--limit", "1")
    assert "TrainFlow/start/mine" in text
    assert "more; --limit 0 shows all" in text
    seed.artifacts.save(big("garbage"))
    assert "nothing refers to 1 object" in shell("store", "du")


def _damage(seed: Seed, value: bytes) -> None:
    path = seed.store.local_path(object_key(seed.artifacts.save(value).digest))
    os.chmod(path, 0o644)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")


def test_copy_then_repair(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    first, second = made(seed), made(seed)
    target = (tmp_path / "backup").as_uri()
    shell("store", "copy", "local", target, "--run", first.id)
    backup = LocalStore(tmp_path / "backup")
    assert values_of(backup, first.id) == values_of(seed.store, first.id)
    done = shell.json("store", "copy", "local", target, "--flow", "TrainFlow")
    assert [run["complete_before"] for run in done["runs"]] == [True, False]
    assert "2 were there already" in shell("store", "copy", "local", target)
    shell("store", "copy", "local", "local", code=2)
    shell("store", "copy", "local", target, "--flow", "Other", code=2)
    assert "all sound" in shell("store", "verify")
    before = values_of(seed.store, second.id)
    _damage(seed, big(second.id))
    said = shell("store", "verify", code=4)
    assert f"touches TrainFlow/{second.id}/start/mine" in said
    assert "1 fault" in said
    assert "all repaired" in shell("store", "verify", "--repair-from", target)
    assert shell.json("store", "verify", "--sample", "2")["objects"] == 2
    assert values_of(seed.store, second.id) == before
    shell("store", "verify", "--repair-from", "local", code=2)


def test_a_damaged_run_is_left_out_of_a_copy_and_told(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    broken, cut, sound = made(seed), made(seed), made(seed)
    _damage(seed, big(broken.id))
    manifest = seed.store.local_path(manifest_key(cut.id))
    os.chmod(manifest, 0o644)
    manifest.write_bytes(manifest.read_bytes()[:40])
    target = (tmp_path / "backup").as_uri()
    said = shell("store", "copy", "local", target, code=4)
    for run in (broken, cut):
        assert any("not copied: " in line and run.id in line for line in said.splitlines()), said
    assert "2 runs not copied; dovetail store verify --datastore local tells more" in said
    found = shell.json("store", "copy", "local", target, code=4)
    assert [run["run"] for run in found["runs"]] == [sound.id]
    assert [run["run"] for run in found["failed"]] == [broken.id, cut.id]
    backup = LocalStore(tmp_path / "backup")
    assert {info.key for info in backup.scan("runs/") if info.key.endswith("run.json")} == {manifest_key(sound.id)}
    assert values_of(backup, sound.id) == values_of(seed.store, sound.id)
    shell("store", "copy", "local", target, "--run", broken.id, code=4)
    assert "error: " in shell.err


def test_a_copy_is_a_store_of_its_own(
    seed: Seed, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(seed)
    target = (tmp_path / "backup").as_uri()
    shell("store", "copy", "local", target)
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    for info in list(seed.store.scan()):
        seed.store.delete([info.key])
    shell("metadata-rebuild", "--datastore", target)
    assert shell("get", f"{run.id}/start/mine", "--raw", "--datastore", target)
    assert runs(shell) == {run.id}


def test_live_runs_are_not_copied(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    made(seed, end="")
    shell("store", "copy", "local", (tmp_path / "backup").as_uri(), code=2)
    assert "is being driven" in shell.err


def test_where_nothing_was_stored(shell: Shell, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    for words in (("gc",), ("du",), ("verify",), ("pins",)):
        shell("store", *words, code=4)
        assert "holds no data store yet" in shell.err
    assert not (tmp_path / "none").exists()
