"""Writes and reads a frame of FRAME_ROWS x 4 float64 with Dovetail and with Feather, in turns; prints MARK lines.

Ours: `ArtifactStore.save`, which hashes every byte, and `load`, which maps the columns and hashes a sample of them.
Feather: `pyarrow.feather.write_feather(compression="uncompressed")`, which takes the pandas frame, and
`read_feather(memory_map=True)`, which gives one. Neither waits for the disk. After reading, all columns are summed, so
that every byte has been touched.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.feather as feather

from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.store import ArtifactStore
from dovetail.local.store import LocalStore

ROWS, TURNS, FOLDER = int(os.environ["FRAME_ROWS"]), int(os.environ["FRAME_TURNS"]), Path(sys.argv[1])


def seconds(work):
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def turn(frame, store, artifacts):
    """Seconds of ours and of Feather's: write, read, read and sum."""
    file = FOLDER / "frame.feather"
    ours, ref = seconds(lambda: artifacts.save(frame))
    theirs, _ = seconds(lambda: feather.write_feather(frame, str(file), compression="uncompressed"))
    our_read, loaded = seconds(lambda: artifacts.load(ref))
    their_read, read = seconds(lambda: feather.read_feather(str(file), memory_map=True))
    our_sum, total = seconds(lambda: [loaded[name].to_numpy().sum() for name in loaded])
    their_sum, their_total = seconds(lambda: [read[name].to_numpy().sum() for name in read])
    assert total == their_total
    loaded = read = None  # what is mapped is let go of before its file is
    store.delete([info.key for info in store.scan("objects/")])
    file.unlink()
    return ours, theirs, our_read + our_sum, their_read + their_sum, our_read, their_read


rng = np.random.default_rng(1)
FRAMES = {
    "": pd.DataFrame({name: rng.random(ROWS) for name in "abcd"}),  # a column lies in one piece
    "rows_": pd.DataFrame(rng.random((ROWS, 4)), columns=list("abcd")),  # a row does
}
store = LocalStore(FOLDER / "store")
uuid = open_store(store)
for kind, frame in FRAMES.items():
    # A store of its own each time: none knows what was saved before.
    turns = [turn(frame, store, ArtifactStore({uuid: store}, default=uuid)) for _ in range(TURNS + 1)][1:]
    write, their_write, use, their_use, read, their_read = (
        statistics.median(column) for column in zip(*turns, strict=True)
    )
    gigabytes = ROWS * 32 / 1e9
    print(f"MARK {kind}write_gb_s", gigabytes / write)
    print(f"MARK {kind}feather_write_gb_s", gigabytes / their_write)
    print(f"MARK {kind}read_gb_s", gigabytes / use)
    print(f"MARK {kind}feather_read_gb_s", gigabytes / their_use)
    print(f"MARK {kind}load_ms", read * 1e3)
    print(f"MARK {kind}feather_load_ms", their_read * 1e3)
    print(f"MARK {kind}write_ratio", their_write / write)
    print(f"MARK {kind}read_ratio", their_use / use)
    if not kind:
        print("MARK lower_ratio", min(their_write / write, their_use / use))
