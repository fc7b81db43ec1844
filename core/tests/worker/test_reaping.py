"""Both ways in which a warm parent hears of ended children."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("fcntl", reason="needs a POSIX system")

SCRIPT = """
import os, signal, sys, time
from dovetail.worker import reaping

reaper = getattr(reaping, sys.argv[1])()
read, write = os.pipe()
pids = []
for code in (3, 4):
    pid = os.fork()
    if pid == 0:
        reaper.leave()
        os._exit(code if signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL else 99)
    reaper.watch(pid)
    pids.append(pid)
ended = []
while len(ended) < 2:
    asked, now = reaper.wait(read)
    assert not asked
    ended += now
assert sorted(ended) == sorted(pids), ended
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
os.write(write, b"x")
print(reaper.wait(read))
"""


@pytest.mark.parametrize("kind", ["PidfdReaper", "SignalReaper"])
def test_every_child_is_told_once(kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, kind], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[3, 4]\n(True, [])\n", done.stderr
