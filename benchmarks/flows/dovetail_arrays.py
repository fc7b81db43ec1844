"""Arrays saved and loaded beside what NumPy does with the same bytes, in turns: `dovetail_arrays.py PART FOLDER`.

Prints, for each repetition, `RUN` and a JSON object of figures.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.store import ArtifactStore
from dovetail.local.store import LocalStore

PART, FOLDER = sys.argv[1], Path(sys.argv[2])
SIZE = int(os.environ.get("ARRAY_MIB", "1024")) << 20
CHANGING = SIZE // 8
COUNT = int(os.environ.get("ARRAY_REPS", "5"))
BESIDE = FOLDER / "beside.npy"
rng = np.random.default_rng(7)


def told(**figures):
    print("RUN", json.dumps(figures), flush=True)


def seconds(once):
    begin = time.perf_counter()
    found = once()
    return time.perf_counter() - begin, found


def memory(field):
    """MiB, from this process's status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def in_use(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def opened():
    """A store as a process that begins has it, and the folder in it."""
    store = LocalStore(FOLDER / "store")
    uuid = open_store(store)
    return store, uuid, ArtifactStore({uuid: store}, default=uuid)


def saved(artifacts, value, name="x"):
    return artifacts.save_value(artifacts.serializers.serialize(value), name=name)


def written(value, *, durable):
    with contextlib.suppress(FileNotFoundError):
        BESIDE.unlink()
    with BESIDE.open("wb") as file:
        np.save(file, value)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def save(durable):
    """A new object, and a new file beside it, in turns; `extra` is what the process needs above the array.

    The host of a virtual machine takes back memory that is free for a moment, and to be given it anew costs ten times
    what writing into it does: whoever comes next pays. So each is compared with the median of the other.
    """
    value = rng.random(SIZE // 8)
    theirs, mine, extra = [], [], []

    def ours():
        store, _, artifacts = opened()  # of a process that saved nothing yet
        found = saved(artifacts, value, name="")
        if durable:
            store.sync(found.keys)
        return found

    for _ in range(3 * COUNT + 1):
        theirs.append(seconds(lambda: written(value, durable=durable))[0])
        BESIDE.unlink()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = memory("VmRSS:")
        took, found = seconds(ours)
        mine.append(took)
        extra.append(memory("VmHWM:") - before)
        opened()[0].delete(found.keys)
    usual = statistics.median(theirs[1:])
    for took, beside, more in zip(mine[1:], theirs[1:], extra[1:], strict=True):
        told(ratio=usual / took, gb_per_s=SIZE / took / 1e9, numpy_gb_per_s=SIZE / beside / 1e9, extra=more)


def zeros():
    value = np.zeros(SIZE // 8)
    value += 0.0  # in memory for certain
    for _ in range(COUNT):
        store, _, artifacts = opened()
        before = in_use(FOLDER)
        mine, found = seconds(lambda artifacts=artifacts: saved(artifacts, value))
        told(gb_per_s=SIZE / mine / 1e9, percent=100 * (in_use(FOLDER) - before) / SIZE)
        store.delete(found.keys)


def versions(change):
    """Ten versions of one array, each saved and loaded by a process that begins."""
    for _ in range(COUNT):
        shutil.rmtree(FOLDER / "store", ignore_errors=True)
        opened()
        value = rng.random((CHANGING // 1024, 128))
        before, saving, loading = in_use(FOLDER), [], []
        for number in range(10):
            if number:
                change(value, number)
            _, uuid, artifacts = opened()
            took, ref = seconds(lambda artifacts=artifacts, value=value: saved(artifacts, value))
            saving.append(took)
            _, _, reader = opened()
            took, found = seconds(lambda reader=reader, ref=ref, uuid=uuid: loaded(reader, ref, uuid))
            loading.append(took)
            assert found.flags["C_CONTIGUOUS"]
            assert np.array_equal(found, value)
            del found
        told(
            copies=(in_use(FOLDER) - before) / CHANGING,
            load_ms=max(loading) * 1e3,
            save_s=max(saving[1:]),
        )


def loaded(reader, found, uuid):
    from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace

    ref = ArtifactRef(digest=found.digest, size=found.size, serializer="ndarray", place=ObjectPlace(store=uuid))
    return reader.load(ref)


def changed_rows(value, number):
    rows = len(value) // 100
    value[number * rows : (number + 1) * rows] = rng.random((rows, value.shape[1]))


def scattered_rows(value, number):
    rows = rng.choice(len(value), len(value) // 100, replace=False)
    value[rows] = rng.random((len(rows), value.shape[1]))


def inserted_row(value, number):
    at = len(value) // 2
    value[at + 1 :] = value[at:-1].copy()
    value[at] = number


def load():
    """The next step's view: one process saves, and this one, which begins with nothing, loads and sums."""
    for _ in range(COUNT):
        shutil.rmtree(FOLDER / "store", ignore_errors=True)
        value = rng.random(SIZE // 8)
        _, uuid, artifacts = opened()
        ref = saved(artifacts, value)
        store, _, _ = opened()
        strict = ArtifactStore({uuid: store}, default=uuid, verify="always")
        always, found = seconds(lambda strict=strict, ref=ref, uuid=uuid: loaded(strict, ref, uuid))
        del found
        _, _, reader = opened()
        took, found = seconds(lambda reader=reader, ref=ref, uuid=uuid: loaded(reader, ref, uuid))
        first, total = seconds(found.sum)
        in_memory = min(seconds(value.sum)[0] for _ in range(3))
        mapped = min([first] + [seconds(found.sum)[0] for _ in range(2)])
        assert total == value.sum()
        told(
            load_ms=took * 1e3, always_ms=always * 1e3, sum_ratio=in_memory / first, sum_again_ratio=in_memory / mapped
        )
        del found


def warm():
    """Have imported what a step's process has from the one that it was forked from."""
    _, uuid, artifacts = opened()
    found = saved(artifacts, rng.random(1 << 18))
    assert loaded(opened()[2], found, uuid).shape == (1 << 18,)
    shutil.rmtree(FOLDER / "store")


PARTS = {
    "save": lambda: save(durable=False),
    "durable": lambda: save(durable=True),
    "load": load,
    "zeros": zeros,
    "same": lambda: versions(lambda value, number: None),
    "changed": lambda: versions(changed_rows),
    "scattered": lambda: versions(scattered_rows),
    "inserted": lambda: versions(inserted_row),
}
warm()
PARTS[PART]()
