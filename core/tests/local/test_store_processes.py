"""Local stores that many processes use at once, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.local.store import LocalStore

Race = Callable[..., list[Any]]


def test_one_creator_wins(race: Race, tmp_path: Path) -> None:
    won = race(
        """
        from dovetail.interfaces.errors import AlreadyExistsError
        from dovetail.local.store import LocalStore

        def body(at, root):
            store, won = LocalStore(root), []
            for n in range(50):
                try:
                    if at % 2:
                        store.put(f"new/{n}/x", b"%d" % at * 1000)
                    else:
                        with store.stage() as staged:
                            staged.write(b"%d" % at * 1000)
                            staged.commit(f"new/{n}/x")
                    won.append(n)
                except AlreadyExistsError:
                    pass
            return won
        """,
        tmp_path,
        count=8,
    )
    assert sorted(n for ns in won for n in ns) == list(range(50))
    store = LocalStore(tmp_path)
    for at, ns in enumerate(won):
        for n in ns:
            assert store.get(f"new/{n}/x").read() == b"%d" % at * 1000
    assert os.listdir(tmp_path / "%tmp") == []


def test_puts_against_deletions_that_prune(race: Race, tmp_path: Path) -> None:
    """Folders come and go, an object becomes a folder and back, and nobody meets anything but the contract."""
    race(
        """
        import random
        from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError
        from dovetail.local.store import LocalStore

        def body(at, root):
            store, random_ = LocalStore(root), random.Random(at)
            keys = ["a", "a/b", "a/b/c", "a/b/d", "a/e/f/g"]
            for n in range(300):
                key = random_.choice(keys)
                try:
                    what = random_.randrange(6)
                    if what < 2:
                        store.put(key, key.encode() * 100)
                    elif what == 2:
                        store.put(key, key.encode() * 100, mode="overwrite")
                    elif what == 3:
                        store.delete([key], not_modified_since=random_.choice([None, 1e12]))
                    elif what == 4:
                        assert store.get(key).read() == key.encode() * 100
                    else:
                        found = [info.key for info in store.scan("a")]
                        assert found == sorted(set(found)), found
                except (AlreadyExistsError, NotFoundError):
                    pass
        """,
        tmp_path,
        count=8,
    )
    store = LocalStore(tmp_path)
    found = [info.key for info in store.scan()]
    assert all(store.get(key).read() == key.encode() * 100 for key in found)
    store.delete(found)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left <= {"%tmp", "%lock"}, "temporary files or empty folders"


_WRITER = """
import sys
from dovetail.local.store import LocalStore
store, first = LocalStore(sys.argv[1]), int(sys.argv[2])
for n in range(first, first + 100_000):
    store.put(f"objects/{n % 7}/{n}", [b"%08d" % n * 3000] * 10)
    end = store.append("log", b"%08d" % n * 50)
    print(n, end, flush=True)
"""


def test_a_killed_writer_tears_nothing(tmp_path: Path) -> None:
    store, first, size = LocalStore(tmp_path), 0, 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(random.uniform(0, 0.03))
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.stdout.close()
        writer.wait()
        last, size = map(int, [line for line in lines if line.endswith("\n")][-1].split())
        for n in range(first, last + 1):  # what was told is there
            assert store.get(f"objects/{n % 7}/{n}").read() == b"%08d" % n * 30_000
        first = last + 2
    for info in store.scan("objects/"):  # and what is there is whole
        n = int(info.key.rpartition("/")[2])
        assert store.get(info.key).read() == b"%08d" % n * 30_000
    log = store.get("log").read()
    assert len(log) >= size
    assert len(log) % 8 == 0


@pytest.mark.parametrize("mode", ["put", "stage"])
def test_what_a_killed_writer_leaves_is_no_object(tmp_path: Path, mode: str) -> None:
    code = """
import os, signal, sys
from dovetail.local import _publish, _files
from dovetail.local.store import LocalStore
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
_files.publish = killed
store = LocalStore(sys.argv[1])
if sys.argv[2] == "put":
    store.put("a/b", b"x" * 100)
else:
    with store.stage() as staged:
        staged.write(b"x")
        staged.commit("a/b")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), mode], check=False)
    assert done.returncode == -signal.SIGKILL
    store = LocalStore(tmp_path)
    assert list(store.scan()) == []
    store.put("a/b", b"later")
    assert store.get("a/b").read() == b"later"
