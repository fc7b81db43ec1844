"""Runs whose store is signed: everything that users do with one works, and says what it refuses and why."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest
from attacks import Attacker
from flowproject import FlowProject

from dovetail.artifacts.packing import ref_to_plain
from dovetail.artifacts.signing import SigningKey
from dovetail.interfaces.artifacts import InlinePlace

FLOW = """
class Shop(FlowSpec):
    size = Parameter("size", default=3)

    @step
    def start(self):
        count()
        self.odd = {1, 2}
        self.large = [{"y" * 100_000}]
        self.items = [1, 2]
        self.next(self.each, foreach="items")

    @isolation("spawn")
    @step
    def each(self):
        self.seen = {self.input}
        self.next(self.join)

    @isolation("thread")
    @step
    def join(self, inputs):
        self.all = [one.seen for one in inputs]
        self.merge_artifacts(inputs, include=["odd"])
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("BAD"):
            raise ValueError("on purpose")
        print("all", self.all, "odd", self.odd)
"""

CACHED = """
from dovetail import flow, task

@task(cache="inputs")
def make(n):
    count()
    return {n}

@flow
def shop(n: int = 3):
    return make(n)
"""

CALLS = """
from dovetail import flow, task, wait_for_input

def tell(what, run, state):
    with open("told", "a") as told:
        told.write(state.name + "\\n")

@task(retries=1)
def shaky(n):
    if not os.path.exists("tried"):
        open("tried", "w").close()
        raise ValueError(n)
    return {n}

@task(on_success=[tell])
def double(values):
    return {2 * value for value in values}

@flow
def shop(n: int = 3):
    made = double(shaky(n))
    answer = wait_for_input(int)
    return list(double.map([made, {answer}]))
"""

OLD, NEW = "o" * 40, "n" * 40
ID = SigningKey(OLD).id.hex()
KEYS = {"OLD_KEY": OLD, "NEW_KEY": NEW}


def sign(project: FlowProject, key: str = "OLD_KEY", *trusted: str, more: str = "") -> None:
    """Settings with these keys."""
    named = f'signing_key = {{secret = "env:{key}"}}\n' if key else ""
    listed = ", ".join(f'{{secret = "env:{name}"}}' for name in trusted)
    (project.folder / "pyproject.toml").write_text(
        f"[tool.dovetail.artifacts]\nsigned = true\n{named}trusted_keys = [{listed}]\n{more}"
    )


def unsigned(project: FlowProject) -> None:
    (project.folder / "pyproject.toml").write_text("")


@pytest.fixture
def signed(project: FlowProject) -> FlowProject:
    project.write(FLOW)
    sign(project)
    return project


def files(folder: Path) -> dict[str, int]:
    """Every file below a folder, with its size."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_made_read_resumed_verified_and_deleted(signed: FlowProject) -> None:
    failed = signed.fails("run", "flow.py", env={**KEYS, "BAD": "1"}).run
    again = signed.ok("resume", env=KEYS)
    assert "all [{1}, {2}] odd {1, 2}" in again.out
    assert not again.ran  # start was reused
    assert signed.ok("get", f"{again.run}/end/odd", env=KEYS).out.strip() == "{1, 2}"
    assert "✓" in signed.ok("show", again.run, env=KEYS).out + "✓"
    assert signed.ok("explain", again.run, env=KEYS).out
    assert "all sound" in signed.ok("store", "verify", env=KEYS).out
    found = json.loads(signed.ok("store", "verify", "--json", env=KEYS).out)
    assert found["sound"]
    assert found["signatures"] >= 8
    signed.ok("store", "pin", again.run, env=KEYS)
    signed.ok("store", "unpin", again.run, env=KEYS)
    signed.ok("store", "du", env=KEYS)
    rebuilt = signed.ok("metadata-rebuild", env=KEYS)
    assert "2 runs" in rebuilt.out + rebuilt.err
    assert signed.ok("get", f"{again.run}/end/odd", env=KEYS).out.strip() == "{1, 2}"
    signed.ok("runs", "delete", failed, "--yes", env=KEYS)
    signed.ok("store", "gc", "--grace", "0s", env=KEYS)
    assert signed.ok("get", f"{again.run}/start/large", env=KEYS).out
    # Without the settings it is a store as any other.
    unsigned(signed)
    assert signed.ok("get", f"{again.run}/end/odd").out.strip() == "{1, 2}"
    assert "all sound" in signed.ok("store", "verify").out


def test_calls_waits_hooks_and_retries(project: FlowProject) -> None:
    project.write(CALLS)
    sign(project, more="[tool.dovetail]\npause_after = 0.1\n")
    said = project.dovetail("run", "flow.py", env=KEYS)
    assert "paused" in said.err, str(said)
    run = said.run
    project.ok("signal", run, "5", env=KEYS)
    project.ok("resume", run, env=KEYS)
    assert (project.folder / "told").read_text().split() == ["succeeded"] * 3
    states = project.states(run)
    assert set(states.values()) == {"succeeded"}
    said = project.ok("store", "verify", env=KEYS)
    assert "all sound" in said.out
    assert project.ok("metadata-rebuild", env=KEYS)


def test_what_signing_costs_a_run(project: FlowProject) -> None:
    """No file more, and at most 64 bytes for each task and 97 for each document."""
    project.write(FLOW)
    project.ok("run", "flow.py")
    plain = files(project.home / "local")
    (project.home).rename(project.folder / "before")
    sign(project)
    project.ok("run", "flow.py", env=KEYS)
    now = files(project.home / "local")

    def shape(found: dict[str, int]) -> list[str]:
        """Kinds of files, whatever the run is called."""
        return sorted("/".join(name.split("/")[2:]) if name.startswith("runs/") else name for name in found)

    assert [name for name in shape(now) if "hints" not in name] == [
        name for name in shape(plain) if "hints" not in name
    ]

    def size(found: dict[str, int]) -> int:
        return sum(size for name, size in found.items() if name.startswith("runs/") and "/logs/" not in name)

    documents = sum("/fences/" in name or "/end/" in name or "run.json" in name for name in now)
    assert 0 < size(now) - size(plain) < 5 * 64 + documents * 97 + 200  # settings in the manifest are not the same


def test_keys_are_replaced_one_by_one(signed: FlowProject) -> None:
    old = signed.ok("run", "flow.py", env=KEYS).run
    sign(signed, "NEW_KEY", "OLD_KEY")
    new = signed.ok("run", "flow.py", env=KEYS).run
    for run in old, new:
        signed.ok("get", f"{run}/end/odd", env=KEYS)
    sign(signed, "NEW_KEY")
    signed.ok("get", f"{new}/end/odd", env=KEYS)
    said = signed.fails("get", f"{old}/start/odd", code=4, env=KEYS)
    assert f"artifact Shop/{old}/start/odd is not loaded" in said.err
    assert f"signed with the key {ID}, which is not trusted here" in said.err
    assert "artifacts.trusted_keys" in said.err
    said = signed.fails("resume", "flow.py", old, code=4, env=KEYS)
    assert f"run.json of run {old}" in said.err
    assert "not trusted" in said.err
    # Who only reads needs no key that signs, and can't write.
    sign(signed, "", "OLD_KEY", "NEW_KEY")
    signed.ok("get", f"{old}/end/odd", env=KEYS)
    said = signed.fails("run", "flow.py", code=2, env=KEYS)
    assert "there is no artifacts.signing_key" in said.err


def test_a_key_that_is_not_there(signed: FlowProject) -> None:
    said = signed.fails("run", "flow.py", code=3)
    assert "the secret env:OLD_KEY is not there" in said.err
    assert "export OLD_KEY=..." in said.err
    assert not (signed.home / "local" / "runs").exists()
    said = signed.fails("run", "flow.py", code=2, env={"OLD_KEY": "s3cret"})
    assert "env:OLD_KEY has 6 characters" in said.err
    assert "s3cret" not in said.err
    (signed.folder / "pyproject.toml").write_text("[tool.dovetail.artifacts]\nsigned = true\n")
    assert "signed needs a key" in signed.fails("run", "flow.py", code=2).err
    (signed.folder / "pyproject.toml").write_text(f'[tool.dovetail.artifacts]\nsigned = true\nsigning_key = "{OLD}"\n')
    said = signed.fails("run", "flow.py", code=2)
    assert "signing_key takes a reference, never a value" in said.err
    assert OLD not in said.err


def test_a_key_of_a_file_is_written_nowhere(signed: FlowProject) -> None:
    key = "5ecre7" * 8
    kept = signed.folder / "keys"
    kept.mkdir()
    (kept / "store").write_text(key + "\n")
    (signed.folder / "pyproject.toml").write_text(
        f'[tool.dovetail.artifacts]\nsigned = true\nsigning_key = {{secret = "file:{kept / "store"}"}}\n'
    )
    run = signed.ok("run", "flow.py", env={"DOVETAIL_LOG": "debug"})
    said = [signed.ok("show", run.run), signed.ok("config", "show"), run]
    assert all(key not in one.out + one.err for one in said)
    for path in signed.folder.rglob("*"):
        if path.is_file() and path != kept / "store":
            assert key.encode() not in path.read_bytes(), path


# -- what nobody signed -----------------------------------------------------------------------------------------------


def test_a_run_that_nobody_signed_is_told_and_left_alone(project: FlowProject) -> None:
    project.write(FLOW)
    run = project.fails("run", "flow.py", env={"BAD": "1"}).run
    sign(project)
    project.ok("runs", env=KEYS)
    said = project.fails("get", f"{run}/start/odd", code=4, env=KEYS)
    assert f"artifact Shop/{run}/start/odd is not loaded: runs/{run}/segments/000001-000000 of run {run}" in said.err
    assert "is not signed, and artifacts.signed asks for it" in said.err
    assert "dovetail store copy FROM TO --trust-source" in said.err
    said = project.fails("resume", "flow.py", run, code=4, env=KEYS)
    assert f"runs/{run}/run.json of run {run}" in said.err
    said = project.fails("store", "verify", env=KEYS, code=4)
    assert said.out.count("is not signed") >= 3
    assert f"touches Shop/{run}" in said.out
    project.ok("store", "gc", "--dry-run", env=KEYS)
    project.ok("store", "du", env=KEYS)
    said = project.dovetail("metadata-rebuild", env=KEYS)
    assert f"{run}" in said.err
    assert "is not signed" in said.err
    project.ok("runs", "delete", run, "--yes", "--force", env=KEYS)
    assert "all sound" in project.ok("store", "verify", env=KEYS).out


def test_a_value_that_nobody_signed_is_made_anew(project: FlowProject) -> None:
    project.write(CACHED)
    assert project.ok("run", "flow.py").ran
    assert not project.ok("run", "flow.py").ran
    sign(project)
    said = project.ok("run", "flow.py", env=KEYS)
    assert said.ran
    assert "is not signed" in project.ok("explain", said.run, env=KEYS).out + said.err
    assert not project.ok("run", "flow.py", env=KEYS).ran


def test_a_copy_is_signed_by_who_copies(project: FlowProject) -> None:
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    home = f"file://{project.home / 'local'}"
    said = project.fails("store", "copy", home, "file:///nowhere", "--trust-source", code=2)
    assert "artifacts.signed" in said.err
    copies = [f"file://{project.folder / name}" for name in ("signed", "again", "bare")]
    sign(project)
    said = project.fails("store", "copy", home, copies[0], code=4, env=KEYS)
    assert "is not signed" in said.err
    project.ok("store", "copy", home, copies[0], "--trust-source", env=KEYS)
    assert "all sound" in project.ok("store", "verify", "--datastore", copies[0], env=KEYS).out
    sign(project, "NEW_KEY", "OLD_KEY")
    project.ok("store", "copy", copies[0], copies[1], env=KEYS)
    done = json.loads(project.ok("store", "copy", copies[0], copies[1], "--json", env=KEYS).out)
    assert done["runs"][0]["complete_before"]
    sign(project, "NEW_KEY")
    assert "all sound" in project.ok("store", "verify", "--datastore", copies[1], env=KEYS).out
    # What was changed is found, and comes back from a store that is trusted.
    document = project.folder / "again" / "runs" / run / "run.json"
    document.write_bytes(document.read_bytes().replace(b"Shop", b"Shed"))
    said = project.fails("store", "verify", "--datastore", copies[1], code=4, env=KEYS)
    assert "is not what was signed there" in said.out
    sign(project, "NEW_KEY", "OLD_KEY")
    project.ok("store", "verify", "--datastore", copies[1], "--repair-from", copies[0], env=KEYS)
    sign(project, "NEW_KEY")
    project.ok("store", "verify", "--datastore", copies[1], env=KEYS)
    # A copy that nobody signs has no signature that holds for another.
    unsigned(project)
    for more in ((), ("--run", run), ("--json",)):
        said = project.fails("store", "copy", copies[1], copies[2], *more, code=2)
        assert f"run {run} in {copies[1]} is signed, and its copy in {copies[2]} would not be" in said.err
        assert "artifacts.signed on" in said.err
        assert "--drop-signatures" in said.err
    assert not (project.folder / "bare" / "runs").exists()
    project.ok("store", "copy", copies[1], copies[2], "--drop-signatures")
    assert all(b"signature" not in path.read_bytes() for path in (project.folder / "bare" / "runs").rglob("*.json"))
    assert "all sound" in project.ok("store", "verify", "--datastore", copies[2]).out
    # Nor does a repair take any away.
    before = document.read_bytes()
    document.write_bytes(before.replace(b"Shop", b"Shed"))
    said = project.fails("store", "verify", "--datastore", copies[1], "--repair-from", copies[2], code=4)
    assert "not repaired: the run is signed, and the setting artifacts.signed is off" in said.out
    assert b"signature" in document.read_bytes()
    sign(project, "NEW_KEY")
    assert (
        "--drop-signatures"
        in project.fails("store", "copy", home, copies[2], "--drop-signatures", code=2, env=KEYS).err
    )


def test_a_pin_that_nobody_signed_names_no_value(signed: FlowProject) -> None:
    """When its run is gone, a pin alone says what is loaded."""
    pinned = []
    for _ in range(2):
        run = signed.ok("run", "flow.py", env=KEYS).run
        signed.ok("store", "pin", f"{run}/start/odd", env=KEYS)
        pinned.append(f"{run}/start/odd")
    for name in pinned:
        signed.ok("runs", "delete", name[:26], "--yes", env=KEYS)
        assert signed.ok("get", name, env=KEYS).out.strip() == "{1, 2}"
    found = json.loads(signed.ok("store", "verify", "--json", env=KEYS).out)
    assert found["signatures"] == 2
    by = Attacker(signed.home, signed.folder / "canary")
    first, second = (f"pins/{name.replace('/', '--')}" for name in pinned)
    kept = by.store.get(second).read()
    by.put(second, by.store.get(first).read())  # a signature holds for its own place alone
    assert second in signed.fails("store", "verify", code=4, env=KEYS).out
    by.put(second, kept)
    pin = by.document(first)
    original = by.store.get(first).read()
    for keep_signature in (True, False):
        by.put(first, original)
        by.write(first, {**pin, "ref": ref_to_plain(by.large)}, keep_signature=keep_signature)
        said = signed.fails("get", pinned[0], code=4, env=KEYS)
        assert f"artifact {pinned[0]} is not loaded: {first}" in said.err
        assert ("is not what was signed" if keep_signature else "is not signed") in said.err
        assert first in signed.fails("store", "verify", code=4, env=KEYS).out
        assert not by.canary.exists()
    by.put(first, original[: len(original) // 2])  # one that is damaged hides no other
    assert signed.ok("get", pinned[1], env=KEYS).out.strip() == "{1, 2}"
    by.put(first, original)
    said = signed.fails("get", pinned[0], code=2)
    assert "Whether it was pinned is not known: the secret env:OLD_KEY is not there." in said.err
    # They are listed, kept from a collector, and taken away as before.
    assert pinned[0] in signed.ok("store", "pins", env=KEYS).out
    signed.ok("store", "gc", "--dry-run", env=KEYS)
    signed.ok("store", "unpin", pinned[0], env=KEYS)
    unsigned(signed)  # where nobody asks for signatures it is an attack that works
    by.write(first, {**pin, "ref": ref_to_plain(by.large)})
    signed.ok("get", pinned[0])
    assert by.canary.exists()


def test_the_users_own_file_is_not_overruled_by_a_project(project: FlowProject, tmp_path: Path) -> None:
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    config = tmp_path / "config" / "dovetail"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        '[artifacts]\nload = "safe"\nsigned = true\nsigning_key = {secret = "env:OLD_KEY"}\n'
    )
    (project.folder / "pyproject.toml").write_text(
        '[tool.dovetail.artifacts]\nload = "any"\nsigned = false\nverify = "never"\n'
    )
    env = {**KEYS, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert "is not signed" in project.fails("get", f"{run}/start/odd", code=4, env=env).err
    project.ok(
        "get",
        f"{run}/start/odd",
        env={**env, "DOVETAIL__ARTIFACTS__SIGNED": "false"} | {"DOVETAIL__ARTIFACTS__LOAD": "any"},
    )


def test_an_index_that_names_another_value_is_not_believed(signed: FlowProject) -> None:
    run = signed.ok("run", "flow.py", env=KEYS).run
    canary = signed.folder / "canary"
    evil = Attacker(signed.home, canary).small
    assert isinstance(evil.place, InlinePlace)
    data = b64encode(evil.place.data).decode()
    entry = json.dumps([evil.serializer, evil.size, evil.digest.hex(), "i", data, evil.type])
    with closing(sqlite3.connect(signed.home / "metadata.db")) as database, database:
        changed = database.execute(
            "UPDATE task SET outputs = json_set(outputs, '$.odd', json(?)) WHERE outputs LIKE '%odd%'", (entry,)
        )
        assert changed.rowcount >= 1
    said = signed.fails("get", f"{run}/start/odd", code=4, env=KEYS)
    assert f"artifact Shop/{run}/start/odd is not loaded: the index has another value" in said.err
    assert not canary.exists()
    signed.ok("metadata-rebuild", env=KEYS)
    assert signed.ok("get", f"{run}/start/odd", env=KEYS).out.strip() == "{1, 2}"
