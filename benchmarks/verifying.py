"""Measures `store verify` beside what limits it: reading the disk and hashing with BLAKE3, in the same process.

    python benchmarks/verifying.py [MEGABYTES] [FOLDER]

The store holds arrays of 64 MB. Before a pass its files are dropped from the page cache, so that all come from there;
the raw passes read and hash the same files with as many threads as the verifier has.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.artifacts import SerializedValue
from dovetail.local.store import LocalStore

OBJECT = 64 << 20
PIECE = 8 << 20
LEAF = 65536
THREADS = 4


def fill(root: Path, size: int) -> list[Path]:
    """Write the objects; their files."""
    store = LocalStore(root)
    artifacts = ArtifactStore(dict.fromkeys((open_store(store),), store), default=open_store(store))
    keys: list[str] = []
    for _ in range(max(1, size // OBJECT)):
        value = SerializedValue("bytes", b"", [os.urandom(min(OBJECT, size))], "bytes", raw=True)
        keys += artifacts.save_value(value).keys
    store.sync(keys)
    return [store.local_path(key) for key in keys]


def forget(files: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def read(path: Path) -> None:
    """Read a file, and no more."""
    buffer = bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def digest(path: Path) -> None:
    """Hash as many bytes as a file has, from memory, leaf by leaf."""
    piece = memoryview(bytearray(PIECE))
    for _ in range(0, path.stat().st_size, PIECE):
        for at in range(0, PIECE, LEAF):
            blake3(piece[at : at + LEAF]).digest()


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure(root: Path, files: list[Path]) -> dict[str, float]:
    """MB a second of reading, hashing and verifying; `ratio` of the last one to the slower of the others."""
    size = sum(path.stat().st_size for path in files) / 1e6
    with ThreadPoolExecutor(THREADS) as pool:
        forget(files)
        disk = size / timed(lambda: list(pool.map(read, files)))
        hashing = size / timed(lambda: list(pool.map(digest, files)))
    forget(files)
    verified = size / timed(lambda: verify(LocalStore(root)))
    found = {"disk": disk, "blake3": hashing, "verify": verified, "ratio": verified / min(disk, hashing)}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Fill, and measure."""
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 256) * 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        root = Path(folder, "store")
        files = fill(root, size)
        print(json.dumps({**measure(root, files), "load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
