"""Writes a small store of the present format, and what must be read from it.

    python generate.py FOLDER [signed]

The folders beside this file were made by it, once for each format, and are never made again: what a release has
written must be readable by every later one.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

from dovetail.artifacts import logs, sequence_writer
from dovetail.artifacts.caught import CaughtError
from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.layout import MARKER
from dovetail.artifacts.manifest import RunManifest, put_manifest
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.packing import ref_to_plain
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.reports import AttemptReport, RunEnd, put_end, put_inbox, put_report
from dovetail.artifacts.segments import SegmentWriter, put_commit
from dovetail.artifacts.signed_store import SignedStore
from dovetail.artifacts.signing import Keyring, SigningKey
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import SerializedValue
from dovetail.interfaces.events import Event
from dovetail.interfaces.tasks import ErrorReport, Exit, Next
from dovetail.testing.memory_store import MemoryStore

UUID = "0e0f4c1e-58a1-4f43-9d5f-3a9b5f3f6c11"
SECRET = "the golden secret, which everybody knows"
RUN = "01j8z3kq9v7m2x5c4b6n8d0fgh"


def values() -> dict[str, Any]:
    """One value of every kind that can be compared."""
    return {
        "none": None,
        "yes": True,
        "number": -12,
        "real": 0.1,
        "text": "Grüße",
        "table": {"b": [1, 2.5, None], "a": {}},
        "blob": bytes(range(256)),
        "pair": (1, "two"),
        "words": {"alpha", "beta", "gamma"},
        "buffer": bytearray(b"mutable"),
        "not finite": float("inf"),
        "caught": CaughtError(type="ValueError", message="bad", traceback="Traceback\n", kind="exception"),
        "long": "x" * 1000,
    }


def record(
    artifacts: ArtifactStore,
    path: str,
    call: bytes,
    outputs: dict[str, Any],
    *,
    sequence: list[Any] | None = None,
    inline: bool = True,
) -> tuple[bytes, bytes]:
    """(record, values section)"""
    writer = OutputWriter(artifacts, inline=inline)
    taken = Next(targets=("end",), condition='"k"')
    if sequence is not None:
        ref, length = writer.write_sequence(sequence)
        taken = Next(targets=("item",), sequence=ref, length=length, var="xs", on_error="collect")
    for name, value in outputs.items():
        writer.add(name, value)
    done = writer.finish()
    error = ErrorReport(type="E", message="m", traceback="t", bases=("E", "Exception"))
    head = pack_head(
        path=path,
        call_digest=call,
        code_key=b"k" * 32,
        environment="host-cp311-linux",
        attempt=2,
        state="succeeded",
        predecessors=["start"],
        store=UUID,
        exit=Exit(code=0),
        cpu=0.25,
        memory=4096,
        log=("000001-000000", 0, 100),
        origin=None,
        isolation="fork",
    )
    body = pack_body(
        done,
        reads={"input": b"i" * 32, "gone": None},
        next=taken,
        caught=error if path == "caught" else None,
        started=1700000000.25,
        finished=1700000001.5,
    )
    return join_record(head, body), done.values


def build(store: MemoryStore) -> dict[str, Any]:
    """Fill a store; what must be read from it."""
    store.put(MARKER, json.dumps({"format": 1, "uuid": UUID}).encode())
    artifacts = ArtifactStore({UUID: store}, default=UUID)
    expected: dict[str, Any] = {"digests": {}}

    writer = OutputWriter(artifacts)
    for name, value in values().items():
        expected["digests"][name] = writer.add(name, value).hex()
    expected["outputs"] = writer.finish().digest.hex()

    put_manifest(
        store,
        RunManifest(
            run=RUN,
            flow="Golden",
            created=1700000000.0,
            user="ada",
            parameters={"alpha": ref_to_plain(artifacts.save(0.5)), "table": ref_to_plain(artifacts.save("t" * 500))},
            tags=("kept",),
            stores={UUID: {"instance": "local"}},
        ),
    )

    claim_fence(store, RUN)
    first = SegmentWriter(store, RUN, 1)
    first.append([record(artifacts, "start", b"s" * 32, values())])
    many = [record(artifacts, f"train[{i}]", bytes([i]) * 32, {"loss": i / 7}) for i in range(12)]
    first.append(many)
    first.append([record(artifacts, "fan", b"f" * 32, {}, sequence=[1, "two", (3,), b"4" * 70_000])])
    claim_fence(store, RUN)
    first.append([record(artifacts, "late", b"l" * 32, {"x": 1})])
    second = SegmentWriter(store, RUN, 2)
    second.append([record(artifacts, "start", b"s" * 32, {"x": "the first one stays"})])
    second.append([record(artifacts, "caught", b"c" * 32, {"x": 1})])
    put_commit(store, RUN, "end", b"e" * 32, *record(artifacts, "end", b"e" * 32, {"result": "r" * 300}))
    apart, _ = record(artifacts, "apart", b"a" * 32, {"x": [1, 2], "y": "y" * 400}, inline=False)
    second.append([(apart, b"")])

    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps([pickle.PickleBuffer(bytearray(range(200)) * 30)], protocol=5, buffer_callback=buffers.append)
    frames = [stream, *(buffer.raw() for buffer in buffers)]
    (key,) = artifacts.save_value(SerializedValue("pickle", b"", frames, "list")).keys
    expected["out of band"] = key.rpartition("/")[2]

    before, sequence_writer.STREAM_FROM = sequence_writer.STREAM_FROM, 4096
    try:
        ref, length = OutputWriter(artifacts).write_sequence(f"item {i}" for i in range(1200))
    finally:
        sequence_writer.STREAM_FROM = before
    expected["streamed"] = {"ref": ref_to_plain(ref), "length": length}
    foreign = SerializedValue("pickle", b'{"python":"cpython-27"}', [b"cposix\nsystem\n."], "function")
    (key,) = artifacts.save_value(foreign).keys
    expected["foreign"] = key.rpartition("/")[2]

    log = logs.LogWriter(store, RUN, 1)
    for i in range(40):
        log.append(f"train[{i % 12}]", 1, i % 2, i // 12 * 9, 1700000000.0 + i, b"line %04d" % i)
        if i == 20:
            log.flush()
    expected["log"] = list(log.location("train[3]", 1) or ())
    log.close()

    error = ErrorReport(type="ValueError", message="bad", traceback="t", bases=("ValueError",))
    put_report(
        store,
        RUN,
        AttemptReport(path="train[3]", attempt=1, call_digest=b"\3" * 32, error=error, started=1.0, finished=2.0),
    )
    put_inbox(store, RUN, Event("cli-1", 1, "tag", 5.0, "", {"add": ["x"]}))
    put_end(store, RUN, 2, RunEnd(state="succeeded", finished=1700000009.0))
    return expected


def main(folder: Path, *, signed: bool = False) -> None:
    store = MemoryStore()
    expected = build(SignedStore(store, Keyring(SigningKey(SECRET))) if signed else store)
    for info in store.scan():
        path = folder / "store" / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(info.key).read())
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), signed="signed" in sys.argv[2:])
