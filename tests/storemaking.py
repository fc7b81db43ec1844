"""Makes runs in a data store by hand: every kind of reference that a run can hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from dovetail.artifacts.arguments import ArgumentWriter
from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.manifest import RunManifest, open_store, put_manifest
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.packing import ref_to_plain
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.reports import AttemptReport, RunEnd, put_end, put_report
from dovetail.artifacts.segments import SegmentWriter, put_commit, read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.tasks import ErrorReport, Next
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore

__all__ = ["DAY", "MadeRun", "Making", "age", "big", "objects", "values_of"]

DAY = 86400.0


def big(name: str, size: int = 70_000) -> bytes:
    """A value that is an object."""
    return name.encode().ljust(size, b".")


def age(store: DataStore, seconds: float = 2 * DAY, prefix: str = "") -> None:
    """Make everything in a store older."""
    for info in list(store.scan(prefix)):
        if isinstance(store, LocalStore):
            os.utime(store.local_path(info.key), (info.modified - seconds, info.modified - seconds))
        else:
            assert isinstance(store, MemoryStore)
            store._contents.objects[info.key].modified -= seconds


def objects(store: DataStore) -> set[str]:
    """Keys of all objects."""
    return {info.key for info in store.scan("objects/")}


class Making:
    """Makes runs in a store."""

    def __init__(self, store: DataStore, *, other: DataStore | None = None) -> None:
        self.store = store
        self.uuid = open_store(store)
        stores = {self.uuid: store}
        self.other = ""
        if other is not None:
            self.other = open_store(other)
            stores[self.other] = other
        self.stores = stores
        self.artifacts = ArtifactStore(stores, default=self.uuid)
        self.count = 0

    def run(self, name: str = "", *, flow: str = "Train", **parameters: object) -> MadeRun:
        """Begin a run."""
        self.count += 1
        run = name or f"01h{self.count:023d}"
        put_manifest(
            self.store,
            RunManifest(
                run=run,
                flow=flow,
                created=float(self.count),
                parameters={key: ref_to_plain(self.artifacts.save(value)) for key, value in parameters.items()},
                code={"package": ref_to_plain(self.artifacts.save(big(f"code of {flow}")))},
                description={"constants": {"TABLE": self._constant(big(f"constant of {flow}"))}},
                stores={uuid: {"url": store.url, "backend": "local"} for uuid, store in self.stores.items()},
                info={"store": self.uuid},
            ),
        )
        return MadeRun(self, run, claim_fence(self.store, run))

    def _constant(self, value: object) -> Mapping[str, Any]:
        return {**ref_to_plain(self.artifacts.save(value)), "object": ""}


class MadeRun:
    """A run that is being made."""

    def __init__(self, making: Making, run: str, fence: int) -> None:
        self.making = making
        self.id = run
        self.fence = fence
        self.segments = SegmentWriter(making.store, run, fence)

    def task(
        self,
        path: str,
        outputs: Mapping[str, Any] | None = None,
        *,
        sequence: Sequence[Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        commit: bool = False,
        elsewhere: bool = False,
    ) -> None:
        """Commit a task: in the segment, or with `commit` as an object; with `elsewhere`, values in the other store."""
        making = self.making
        artifacts = ArtifactStore(making.stores, default=making.other) if elsewhere else making.artifacts
        writer = OutputWriter(artifacts, inline=not elsewhere)
        taken = None
        if sequence is not None:
            ref, length = writer.write_sequence(sequence)
            taken = Next(targets=("item",), sequence=ref, length=length)
        for name, value in (outputs or {}).items():
            writer.add(name, value)
        given = ArgumentWriter(making.artifacts, keep=True)
        for name, value in (arguments or {}).items():
            given.add(name, value)
        done = writer.finish()
        body = pack_body(
            done,
            reads={},
            next=taken,
            started=1.0,
            finished=2.0,
            arguments=given.finish().table if arguments else b"",
        )
        call = blake3(path.encode()).digest()
        head = pack_head(
            path=path,
            call_digest=call,
            code_key=b"k" * 32,
            environment="host",
            attempt=1,
            state="succeeded",
            predecessors=["start"],
            store=artifacts.default,
        )
        record = join_record(head, body)
        if commit:
            put_commit(making.store, self.id, path, call, record, done.values)
        else:
            self.segments.append([(record, done.values)])

    def fail(self, path: str, argument: object) -> None:
        """Leave a report."""
        given = ArgumentWriter(self.making.artifacts, keep=True)
        given.add("x", argument)
        report = AttemptReport(
            path=path,
            attempt=1,
            call_digest=b"c" * 32,
            error=ErrorReport(type="ValueError", message="no", traceback=""),
            finished=2.0,
            arguments=given.finish().table,
        )
        put_report(self.making.store, self.id, report)

    def end(self) -> MadeRun:
        """End the run."""
        put_end(self.making.store, self.id, self.fence, RunEnd(state="succeeded", finished=3.0))
        return self

    def everything(self) -> MadeRun:
        """Leave every kind of reference."""
        name = self.id
        self.task("start", {"a": big(f"{name} a"), "small": 7, "middle": b"m" * 5000})
        self.task("loop", sequence=[big(f"{name} item {i}") for i in range(3)] + [b"little"])
        self.task("wide", sequence=[b"w" * 900 for _ in range(200)] + [big(f"{name} wide item")])
        self.task("called~0123456789abcdef", {"result": 1}, arguments={"x": big(f"{name} argument")})
        self.task("agent", {"b": big(f"{name} b")}, commit=True)
        self.fail("failed", big(f"{name} argument of a failure"))
        if self.making.other:
            self.task("away", {"c": big(f"{name} c"), "tiny": [1, 2]}, elsewhere=True)
        return self


def values_of(store: DataStore, run: str, stores: Mapping[str, DataStore] | None = None) -> dict[str, Any]:
    """`path/name` → value of everything that a run's records hold, read and verified."""
    uuid = open_store(store)
    artifacts = ArtifactStore(stores or {uuid: store}, default=uuid)
    found: dict[str, Any] = {}
    for record in read_records(store, run, uuid=uuid):
        for name, ref in record.outputs.items():
            found[f"{record.path}/{name}"] = artifacts.load(ref)
        if record.sequence is not None:
            found[f"{record.path}/_foreach"] = artifacts.load(record.sequence)
        if record.arguments:
            from dovetail.artifacts.arguments import read_arguments

            for name, given in read_arguments(record.arguments).items():
                assert given is not None
                found[f"{record.path}({name})"] = artifacts.load(given)
    return found


def garbage(artifacts: ArtifactStore, count: int) -> set[str]:
    """Objects that nothing refers to; their keys."""
    return {object_key(artifacts.save(big(f"garbage {n}")).digest) for n in range(count)}
