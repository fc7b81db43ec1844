"""A store that was tampered with runs no code on the machine of who reads it: in safe mode, and in signed mode.

Each attack is also tried where neither is on, so that it is known to be one.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks import ATTACKS, Attacker
from flowproject import FlowProject

FLOW = """
from dovetail import FlowSpec, Parameter, step

class Own:
    def __init__(self, value):
        self.value = value

class Shop(FlowSpec):
    size = Parameter("size", default=3)
    TABLE = {"a": 1}

    @step
    def start(self):
        self.small = 1
        self.plain = list(range(1000))
        self.large = b"b" * 100_000
        if not os.environ.get("PLAIN"):
            self.odd = {1, 2}
            self.own = Own(7)
            self.heavy = [Own("y" * 100_000)]
        self.items = [1, 2]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.seen = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, exclude=["seen"])
        self.next(self.slow)

    @step
    def slow(self):
        if os.environ.get("WAIT"):
            open("waiting", "w").close()
            time.sleep(60)
        if not os.environ.get("GOOD"):
            raise ValueError("not yet")
        self.next(self.end)

    @step
    def end(self):
        names = "small plain large size TABLE" + ("" if os.environ.get("PLAIN") else " odd own heavy")
        print(*[type(getattr(self, name)).__name__ for name in names.split()])
"""

CACHED = """
from dovetail import flow, task

@task(cache="inputs")
def make(n):
    return [n] * 3 if os.environ.get("PLAIN") else {n}

@flow
def shop(n: int = 3):
    return len(make(n))
"""

LOAD = """
import sys
from dovetail.cli import main
from dovetail.client import Client
from dovetail.client.inputs import inputs_of
from dovetail.interfaces.errors import DovetailError

loaded = refused = 0

def tried(what):
    global loaded, refused
    try:
        what()
        loaded += 1
    except (DovetailError, AttributeError) as error:  # what a shape that fits nothing comes to is no matter here
        refused += 1
        print(type(error).__name__, error)

if sys.argv[1:] == ["rebuilt"]:
    main(["metadata-rebuild"])
client = Client(namespace=None)
for run in client.runs():
    for words in ["get", f"{run.id}/start/heavy"], ["artifacts", run.id], ["show", run.id], ["explain", run.id]:
        main(words)
for run in client.runs():
    tried(lambda: run.manifest)
    for task in run.tasks():
        tried(lambda: [attempt.error for attempt in task.attempts])
        tried(lambda: inputs_of(task))
        try:
            names = list(task.artifacts)
        except DovetailError as error:
            print(type(error).__name__, error)
            continue
        for name in names:
            tried(lambda: task.artifacts[name].data)
            tried(lambda: task.artifacts[name].raw())
print("loaded", loaded, "refused", refused)
"""

SECRET = "a secret that is long enough to be a key"
SIGNED = '[tool.dovetail.artifacts]\nsigned = true\nsigning_key = {secret = "env:STORE_KEY"}\n'
MODES = {
    "open": ("", {}),
    "safe": ("", {"DOVETAIL__ARTIFACTS__LOAD": "safe", "PLAIN": "1"}),
    "signed": (SIGNED, {"STORE_KEY": SECRET}),
}


class Target(FlowProject):
    """A project with a run that failed, one whose driver was killed, and one of a flow that caches; as it was before
    each attack."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(folder)
        self.mode = mode
        settings, self.env = MODES[mode]
        (folder / "pyproject.toml").write_text(settings)
        self.write(FLOW)
        self.write(CACHED, name="cached.py")
        self.canary = folder / "canary"
        # What the attacker replaces has pickles in it, whoever reads it later.
        env = {name: value for name, value in self.env.items() if name == "STORE_KEY"}
        made = {**env, "PLAIN": "1"} if mode == "safe" else env
        self.failed = self.fails("run", "flow.py", env=made).run
        self.ok("run", "cached.py", env=made)
        driving = self.start("run", "flow.py", env={**made, "WAIT": "1"})
        driving.wait_for("waiting")
        driving.process.send_signal(signal.SIGKILL)
        driving.process.communicate()
        self.lost = driving.run
        shutil.copytree(self.home, folder / "kept", symlinks=True)

    def restore(self) -> None:
        """Have everything as it was."""
        shutil.rmtree(self.home)
        shutil.copytree(self.folder / "kept", self.home, symlinks=True)
        self.canary.unlink(missing_ok=True)

    def attack(self, name: str) -> None:
        """Have everything as it was, but for what the attack changes."""
        self.restore()
        ATTACKS[name][0](Attacker(self.home, self.canary))

    def use(self) -> Iterator[str]:
        """Do all that reads a store; what was said."""
        good = {**self.env, "GOOD": "1"}
        loaded = str(self.python("load.py", env=self.env))
        assert "\nloaded " in loaded
        yield loaded
        yield str(self.dovetail("resume", self.lost, env=good))
        yield str(self.dovetail("resume", "flow.py", self.failed, env=good))
        yield str(self.dovetail("run", "cached.py", env=good))
        flow = (self.folder / "flow.py").read_bytes()
        (self.folder / "flow.py").unlink()  # now the code package must do
        yield str(self.python("load.py", "rebuilt", env=self.env))
        (self.folder / "flow.py").write_bytes(flow)


@pytest.fixture(scope="module", params=list(MODES))
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp(request.param), request.param)
    (made.folder / "load.py").write_text(LOAD)
    yield made
    made.close()


def test_without_an_attack_nothing_is_refused(target: Target) -> None:
    target.restore()
    first, lost, failed, cached, _ = target.use()
    assert "refused 0\n" in first
    for said in (first, lost, failed, cached):
        assert "exit code 0\n" in said or (target.mode == "safe" and said is lost), said
    if target.mode == "safe":
        assert "safe mode runs none that it names" in lost
    assert "✓ start  reused" in failed or "start  reused" in failed, failed


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_a_store_that_was_tampered_with(target: Target, attack: str) -> None:
    target.attack(attack)
    for said in target.use():
        assert target.mode == "open" or not re.search(r"^ *File .*/dovetail/", said, re.MULTILINE), said
        if target.mode == "open" and target.canary.exists():
            break
        assert not target.canary.exists(), said
    assert target.canary.exists() == (target.mode == "open" and ATTACKS[attack][1] == "works"), said
