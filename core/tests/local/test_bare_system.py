"""Systems that lack what Linux has: nothing of it may be needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, sys

for name in (
    "copy_file_range fdatasync getxattr link pwrite setxattr uname writev O_CLOEXEC O_DIRECTORY statvfs".split()
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "resource", "pwd", "termios", "ctypes"):
    sys.modules[name] = None

from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, PreconditionError
from dovetail.interfaces.environment import EnvironmentSpec
from dovetail.interfaces.events import Event
from dovetail.interfaces.metadata import Query
from dovetail.local.environment import HostEnvironment
from dovetail.local.metadata import SqliteMetadata
from dovetail.local.store import LocalStore
from dovetail.plugins.holder import current_holder
from pathlib import Path

def refuses(error, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except error:
        return True

store = LocalStore(sys.argv[1] + "/store")
store.put("a/b", [b"x", b"y"] * 10, metadata={"k": "v"})
assert refuses(AlreadyExistsError, store.put, "a/b", b"z")
store.put("a/c", Path(sys.executable))
store.copy("a/b", "a/d")
assert store.head("a/d").metadata == {"k": "v"}
assert store.append("log", [b"x", b"y"]) == 2
with store.stage() as staged:
    staged.write_at(3, b"x")
    staged.write(b"y")
    staged.commit("staged")
assert store.get("staged").read() == b"\\0\\0\\0xy"
store.put("a/b", b"new", mode="overwrite")
store.refresh("a/b")
store.sync(["a/b", "a/c", "log"])
assert [info.key for info in store.scan()] == ["a/b", "a/c", "a/d", "log", "staged"]
assert refuses(PreconditionError, store.put, "log/x", b"")
store.delete(["a/b"], not_modified_since=1e12)
assert refuses(NotFoundError, store.get, "a/b")
store.close()

metadata = SqliteMetadata(sys.argv[1] + "/metadata.db")
metadata.create_run("F", run_id="r")
metadata.append("r", [Event("w", 1, "task", 0.0, "a", {"state": "succeeded"})], fence=1)
assert len(metadata.query(Query(kind="tasks")).rows) == 1
assert metadata.lease("x", holder=current_holder()).token == 1
assert metadata.lease("x", holder=current_holder()) is None
metadata.close()
HostEnvironment().lock(EnvironmentSpec(root=Path()), platform="")
print("done")
"""


def test_nothing_of_linux_is_needed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "done\n", done.stderr
