"""Measures the collector: a store of many small blobs, of whose 1,000 runs 100 are deleted.

    python benchmarks/collecting.py [BLOBS] [FOLDER]

Files are written directly, two days old; deleting the runs and collecting then go through the library, each in a
process of its own whose peak memory is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from blake3 import blake3

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.identity import outputs_digest
from dovetail.artifacts.manifest import RunManifest, open_store, put_manifest
from dovetail.artifacts.msgpacked import pack
from dovetail.artifacts.outputs import Outputs
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.segments import SegmentWriter
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.artifacts.upkeep.references import runs_in
from dovetail.interfaces.runs import new_run_id
from dovetail.local.store import LocalStore

RUNS, DELETED, OUTPUTS = 1000, 100, 10
OLD = 2 * 86400.0


def fill(root: Path, blobs: int) -> None:
    """Write the blobs and the runs that refer to them."""
    store = LocalStore(root)
    uuid = open_store(store)
    when = time.time() - OLD
    for number in range(256):
        (root / "objects" / f"{number:02x}").mkdir(parents=True)
    for run in range(RUNS):
        name = new_run_id(when + run)
        put_manifest(store, RunManifest(run=name, flow="Many", created=when))
        segments = SegmentWriter(store, name, claim_fence(store, name))
        batch = []
        each = blobs // RUNS
        for task in range(-(-each // OUTPUTS)):
            rows = {}
            for output in range(min(OUTPUTS, each - task * OUTPUTS)):
                digest = blake3(f"{run} {task} {output}".encode()).digest()
                text = digest.hex()
                path = f"{root}/objects/{text[:2]}/{text}"
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                os.write(fd, digest)
                os.utime(fd, (when, when))
                os.close(fd)
                rows[f"x{output}"] = [digest, 100_000, "bytes", uuid, "bytes"]
            table = pack(rows)
            identity = outputs_digest({name: row[0] for name, row in rows.items()})
            outputs = Outputs(table=table, digest=identity, values=b"", index="{}", objects=())
            head = pack_head(
                path=f"t[{task}]", call_digest=blake3(b"%d" % task).digest(), code_key=b"k" * 32, environment="host",
                attempt=1, state="succeeded", predecessors=["start"], store=uuid, isolation="fork",
            )  # fmt: skip
            batch.append((join_record(head, pack_body(outputs, reads={}, next=None, started=1.0, finished=2.0)), b""))
        segments.append(batch)
    store.close()


def delete(root: Path) -> dict[str, int]:
    """Delete every tenth run."""
    store = LocalStore(root)
    runs = [run for run, _ in runs_in(store)]
    for run in runs[:: RUNS // DELETED]:
        delete_keys(store, run)
    return {"runs": len(runs[:: RUNS // DELETED])}


def gc(root: Path) -> dict[str, int]:
    """Collect."""
    return collect(LocalStore(root)).to_plain()


def measured(part: str, root: Path) -> dict[str, float]:
    """A part in a process of its own: seconds, peak memory, and what it did."""
    command = [sys.executable, __file__, "--part", part, str(root)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(found.stdout)
    return told


def _peak() -> int:
    """The most bytes that this process has had in memory; what `getrusage` says counts those of who started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Fill, then measure each part in a process of its own."""
    if sys.argv[1:2] == ["--part"]:
        began = time.perf_counter()
        part, root = sys.argv[2], Path(sys.argv[3])
        if part == "fill":
            fill(root, int(sys.argv[4]))
        done = {} if part == "fill" else {"delete": delete, "gc": gc}[part](root)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": round(seconds, 2), "peak_mb": _peak() / 1e6, **done}))
        return
    blobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        root = Path(folder, "store")
        began = time.perf_counter()
        fill(root, blobs)
        print(f"{blobs:,} blobs of {RUNS:,} runs written in {time.perf_counter() - began:.1f} s", flush=True)
        for part in ("delete", "gc", "gc"):
            print(part, json.dumps(measured(part, root)), f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
