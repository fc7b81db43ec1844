"""The disk fills up, or a quota is used up, at every point where an operation writes; and in a run, for real."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from amounts import SEED, amount
from boundaries import WRITES, Boundaries
from flowproject import FlowProject
from storefaults import OPERATIONS, Operation, Place, check, prepare, rubbish_of, values

from dovetail.interfaces.errors import StoreFullError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at descriptors in /proc")

STEPS = amount("STEPS", 6)
NEEDS_ROOM = ("open", "link", "mkdir", "copy_file_range", "setxattr", *WRITES)

FLOW = """
class Full(FlowSpec):
    @step
    def start(self):
        self.small = b"s" * 70_000
        self.next(self.grow)

    @step
    def grow(self):
        import random
        self.large = random.Random(1).randbytes(6 << 20)
        self.next(self.end)

    @step
    def end(self):
        self.size = len(self.large) + len(self.small)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepare(tmp_path_factory.mktemp("full") / "base")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_finds_no_room_says_so_and_leaves_nothing(
    name: str, number: int, base: Place, tmp_path: Path
) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    operation = OPERATIONS[name]
    before = values(base)
    with Boundaries((place := base.fresh(tmp_path / "alone")).roots).watched() as passed:
        operation.act(place)
    points = [at for at, call in enumerate(passed.names) if call in NEEDS_ROOM]
    for at in sorted(random.Random(SEED).sample(points, min(STEPS, len(points)))):
        place = base.fresh(tmp_path / str(at))
        starved(place, operation, at, number, f"{name}: {passed.names[at]} at {at}")
        check(place, before, operation)
        operation.act(place)
        operation.confirm(place)
        assert not rubbish_of(place), at


def starved(place: Place, operation: Operation, at: int, number: int, where: str) -> None:
    """The operation, without room at one point."""
    hit: list[str] = []

    def step(name: str, call: Callable[[], Any], half: Callable[[], Any] | None) -> Any:
        if name not in NEEDS_ROOM:  # threads came in another order
            return call()
        if half is not None:
            half()
        hit.append(name)
        raise OSError(number, os.strerror(number))

    told: StoreFullError | None = None
    try:
        with Boundaries(place.roots, at=at, step=step).watched():
            operation.act(place)
    except StoreFullError as error:
        told = error
    if told is not None:
        assert ("quota" if number == errno.EDQUOT else "no space") in told.message, where
        assert told.hint, where
    else:  # the clock is measured only where something can be written, and a folder may be there already
        assert hit in ([], ["mkdir"], ["open"]), where


# -- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little room; skips where it can't be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], check=False).returncode
    ):
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_run_on_a_full_disk_can_be_resumed_when_there_is_room(project: FlowProject, small_disk: Path) -> None:
    (project.folder / "dovetail.toml").write_text(f'[datastore.local]\npath = "{small_disk}/store"\n')
    project.write(FLOW)
    failed = project.dovetail("run", "flow.py")
    assert failed.code != 0, str(failed)
    assert "no space is left" in failed.err, str(failed)
    assert "large" in failed.err, str(failed)
    assert failed.run in failed.err
    assert f"dovetail resume {failed.run}" in failed.err, str(failed)
    project.ok("store", "verify")
    assert project.run(failed.run).step("start").task.data.small == b"s" * 70_000
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    resumed = project.ok("resume", failed.run)
    assert project.data(resumed.run).size == (6 << 20) + 70_000
    assert json.loads(project.ok("store", "verify", "--json").out)["sound"]


def test_a_file_size_limit_is_told_as_no_room(project: FlowProject) -> None:
    project.write(FLOW)
    limited = "import resource, sys; from dovetail.cli import main; "
    limited += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({4 << 20}, {resource.RLIM_INFINITY})); "
    limited += "sys.exit(main(['run', 'flow.py']))"
    failed = project.python("-c", limited)
    assert failed.code != 0
    assert "no space is left" in failed.err, str(failed)
    assert "large" in failed.err, str(failed)
    project.ok("store", "verify")
    resumed = project.ok("resume", failed.run)
    assert project.data(resumed.run).size == (6 << 20) + 70_000
