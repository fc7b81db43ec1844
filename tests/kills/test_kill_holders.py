"""Kill -9 of processes that hold slots of a limit or wait for some: never more hold it than may, and none is leaked.

DOVETAIL_ACQUISITIONS and DOVETAIL_HOLDER_KILLS set how much is tried (soak: 2,000 and 50), DOVETAIL_SEED the seed; all
are printed. Whether too many hold the limit is not asked of the limit itself: each holder must get one of as many
locks of the kernel, which end with their process.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amounts import SEED, amount
from flowproject import until

from dovetail.interfaces.errors import StaleFenceError
from dovetail.interfaces.limits import Limit, LimitUse
from dovetail.interfaces.metadata import Lease
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a death is known by /proc")

ACQUISITIONS = amount("ACQUISITIONS", 200)
KILLS = amount("HOLDER_KILLS", 10)
PROCESSES = 20
SLOTS = 3

HOLDER = """
import fcntl, os, random, sys, time
from dovetail.client.slots import Wish
from dovetail.local.metadata import SqliteMetadata

folder, seed, slots = sys.argv[1:]
rng = random.Random(seed)
provider = SqliteMetadata(f"{folder}/metadata.db")
locks = [os.open(f"{folder}/lock{n}", os.O_RDWR | os.O_CREAT) for n in range(int(slots))]
log = os.open(f"{folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    held = Wish(provider, ("gpu",), note=seed).wait()
    for lock in locks:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            pass
    else:
        os.write(log, b"!")
        sys.exit("too many hold it")
    os.write(log, b".")
    time.sleep(rng.random() * 0.01)
    fcntl.flock(lock, fcntl.LOCK_UN)
    held.release(check=True)
"""


class Holders:
    """The processes, each with a number of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.begun = 0

    def fill(self) -> None:
        """Begin as many as are missing."""
        while len(self.running) < PROCESSES:
            words = [sys.executable, "-c", HOLDER, str(self.folder), f"{self.seed}-{self.begun}", str(SLOTS)]
            with open(self.folder / "errors", "ab") as errors:
                process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors)
            self.running[process.pid] = process
            self.begun += 1

    def kill(self, *pids: int) -> None:
        """Kill some at once, whatever they are doing."""
        processes = [self.running.pop(pid) for pid in pids]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def acquired(self, count: int) -> None:
        """Wait until there were so many acquisitions."""
        log = self.folder / "log"
        while not log.exists() or log.stat().st_size < count:
            ended = [process.returncode for process in self.running.values() if process.poll() is not None]
            assert not ended, (self.folder / "errors").read_text()
            time.sleep(0.005)


def test_killed_holders_and_waiters(tmp_path: Path) -> None:
    print(f"seed {SEED}, {ACQUISITIONS} acquisitions, {KILLS} kills")
    rng = random.Random(SEED)
    provider = SqliteMetadata(tmp_path / "metadata.db")
    provider.set_limit(Limit(name="gpu", slots=SLOTS))
    holders = Holders(tmp_path, SEED)
    stale: list[Lease] = []
    kinds = {"holds": 0, "waits": 0}
    try:
        holders.fill()
        holders.acquired(PROCESSES)
        for kill in range(KILLS):
            holders.acquired(ACQUISITIONS * kill // KILLS)
            time.sleep(rng.random() * 0.02)
            use = _victim(provider, holders, rng)
            holders.kill(use.lease.holder.pid)
            stale.append(use.lease)
            kinds["waits" if use.waits else "holds"] += 1
            holders.fill()
        holders.acquired(ACQUISITIONS)
        holders.kill(*holders.running)
        answer = provider.take_slots("gpu", holder=current_holder(), occupy=SLOTS)
        assert len(answer.slots) == SLOTS
        assert min(lease.token for lease in answer.slots) > max(lease.token for lease in stale)
        for lease in stale:
            if lease.name == "limit:gpu":
                with pytest.raises(StaleFenceError):
                    provider.renew(lease)
                provider.release(lease)
        assert len(provider.limit_uses("gpu")) == SLOTS
    finally:
        holders.kill(*holders.running)
        provider.close()
    log = (tmp_path / "log").read_bytes()
    print(f"{len(log)} acquisitions by {holders.begun} processes; killed: {kinds}")
    assert set(log) == {ord(".")}


def _victim(provider: SqliteMetadata, holders: Holders, rng: random.Random) -> LimitUse:
    """Mostly one that holds a slot: that is what could be leaked."""
    want = rng.random() < 0.3

    def found() -> list[LimitUse]:
        uses = [use for use in provider.limit_uses("gpu") if use.lease.holder.pid in holders.running]
        return [use for use in uses if use.waits == want] or uses

    chosen: LimitUse = rng.choice(until(found))
    return chosen


STALLED = """
import os, signal, sys
from dovetail.client.slots import Wish
from dovetail.interfaces.errors import StaleFenceError
from dovetail.local.metadata import SqliteMetadata

held = Wish(SqliteMetadata(sys.argv[1]), ("gpu",), ttl=0.4).wait()
os.kill(os.getpid(), signal.SIGSTOP)
try:
    held.check()
except StaleFenceError:
    print("refused", flush=True)
try:
    held.release(check=True)
except StaleFenceError:
    print("refused again", flush=True)
"""


def test_a_process_that_was_stopped_too_long_has_lost_its_slot(tmp_path: Path) -> None:
    """As after a suspended laptop: it goes on in the belief to hold the slot, and is told better."""
    provider = SqliteMetadata(tmp_path / "metadata.db")
    provider.set_limit(Limit(name="gpu", slots=1))
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED, str(provider.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        turn = None

        def taken() -> tuple[Lease, ...]:
            nonlocal turn
            answer = provider.take_slots("gpu", holder=current_holder(), turn=turn)
            turn = answer.turn
            return answer.slots

        (lease,) = until(taken)
        os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=60)
        assert out.split("\n") == ["refused", "refused again", ""], err
        provider.renew(lease)  # and it has not taken ours away
    finally:
        process.kill()
        process.communicate()
        provider.close()
