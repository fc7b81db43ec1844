"""Makes runs by hand: data store and journal as a driver leaves them, without one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.logs import LogWriter
from dovetail.artifacts.manifest import RunManifest, open_store, put_manifest
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.record_packing import join_record, pack_body, pack_head
from dovetail.artifacts.reports import AttemptReport, RunEnd, put_end, put_report
from dovetail.artifacts.segments import SegmentWriter
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.metadata import Lease
from dovetail.interfaces.runs import new_run_id
from dovetail.interfaces.tasks import ErrorReport, Exit, Next
from dovetail.plugins.holder import current_holder
from dovetail.settings import Settings


def compact(value: Any) -> str:
    """JSON text as drivers write it into columns."""
    return json.dumps(value, separators=(",", ":"))


T0 = 1_760_000_000.0
"""When the first run was made; nothing in these tests asks the clock."""


def linear(*names: str) -> FlowDescription:
    """A flow whose steps follow each other."""
    steps = []
    for name, target in zip(names, (*names[1:], None), strict=True):
        transitions = () if target is None else (Transition(kind="linear", targets=(target,)),)
        steps.append(StepDescription(name=name, transitions=transitions))
    return FlowDescription(
        name="Linear", module="flow", file="/flows/flow.py", steps=tuple(steps), start=names[0], end=names[-1]
    )


def foreach(flow: str = "TrainFlow") -> FlowDescription:
    """start, a foreach over train, join, end."""
    steps = (
        StepDescription(name="start", transitions=(Transition(kind="foreach", targets=("train",), foreach="xs"),)),
        StepDescription(name="train", transitions=(Transition(kind="linear", targets=("join",)),)),
        StepDescription(name="join", is_join=True, transitions=(Transition(kind="linear", targets=("end",)),)),
        StepDescription(name="end"),
    )
    return FlowDescription(name=flow, module="flow", file="/flows/flow.py", steps=steps, start="start", end="end")


class Seed:
    """Data store and metadata provider of a home.

    Args:
        home: Folder of local state.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings.load(cwd=home.parent, env={**os.environ, "DOVETAIL_HOME": str(home)})
        self.provider = self.settings.open(self.settings.select("metadata", None, None))
        selection = self.settings.select("datastore", None, None)
        self.store = self.settings.open(selection)
        self.uuid = open_store(self.store)
        self.pinned = {"url": self.store.url, **selection.to_plain()}
        self.artifacts = ArtifactStore({self.uuid: self.store}, default=self.uuid)
        self.count = 0

    def run(self, flow: FlowDescription | None = None, **options: Any) -> SeedRun:
        """Begin a run."""
        self.count += 1
        return SeedRun(self, flow or foreach(), created=T0 + 100 * self.count, **options)

    def close(self) -> None:
        self.provider.close()
        self.store.close()


class SeedRun:
    """A run that is being made. Tasks are committed by `flush`, `end` and `stop`."""

    def __init__(
        self,
        seed: Seed,
        flow: FlowDescription,
        *,
        created: float,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        user: str = "ada",
        origin: str | None = None,
        hold: bool = True,
        stores: Mapping[str, Any] | None = None,
    ) -> None:
        self.seed = seed
        self.flow = flow
        self.id = new_run_id(created)
        self.now = created
        self._events: list[Event] = []
        self._n = 0
        self._pending: list[tuple[dict[str, Any], bytes, bytes]] = []
        self._offsets: dict[tuple[str, int, str], int] = {}
        seed.provider.create_run(flow.name, run_id=self.id, created=created)
        refs = {name: seed.artifacts.save(value) for name, value in (parameters or {}).items()}
        from dovetail.artifacts.packing import ref_to_plain

        self.manifest = RunManifest(
            run=self.id,
            flow=flow.name,
            created=created,
            user=user,
            description=flow.to_plain(),
            parameters={name: ref_to_plain(ref) for name, ref in refs.items()},
            tags=tuple(sorted(tags)),
            system_tags=(f"user:{user}",),
            stores={seed.uuid: seed.pinned, **(stores or {})},
            origin=origin,
            info={"file": flow.file, "start": flow.start, "end": flow.end, "store": seed.uuid},
        )
        put_manifest(seed.store, self.manifest)
        self.lease: Lease | None = seed.provider.lease(f"run:{self.id}", holder=current_holder()) if hold else None
        self.fence = claim_fence(seed.store, self.id)
        self.segments = SegmentWriter(seed.store, self.id, self.fence)
        self.logs = LogWriter(seed.store, self.id, self.fence)
        self.event(
            EventKind.RUN_CREATED,
            flow=flow.name,
            user=user,
            tags=list(self.manifest.tags),
            system_tags=list(self.manifest.system_tags),
            parameters=dict(parameters or {}),
            origin=origin,
            file=flow.file,
            start=flow.start,
            end=flow.end,
            store=seed.uuid,
        )
        self.event(EventKind.DRIVER, fence=self.fence, host="host", pid=1)
        self.event(EventKind.RUN_STATE, state="running", started=created)

    def event(self, kind: str, path: str = "", **data: Any) -> None:
        """Add an event to the present batch."""
        self._n += 1
        self._events.append(Event(f"driver-{self.id}", self._n, kind, self.now, path, data))

    def expect(self, step: str, count: int) -> None:
        """So many tasks of a step are to come."""
        self.event(EventKind.EXPECTED, step=step, count=count)

    def begin(self, path: str) -> None:
        """A task runs."""
        self.now += 0.01
        self.event(EventKind.TASK, path, state="running", attempt=1, started=self.now)

    def task(
        self,
        path: str,
        outputs: Mapping[str, Any] | None = None,
        *,
        after: Sequence[str] = (),
        targets: Sequence[str] = (),
        length: int | None = None,
        attempt: int = 1,
        was: str | None = None,
        cached: str | None = None,
        caught: ErrorReport | None = None,
        took: float = 0.5,
        log: Sequence[tuple[str, str]] = (),
        artifacts: ArtifactStore | None = None,
    ) -> None:
        """Commit a task."""
        writer = OutputWriter(artifacts or self.seed.artifacts, inline=artifacts is None)
        for name, value in (outputs or {}).items():
            writer.add(name, value)
        written = writer.finish()
        started, self.now = self.now, self.now + took
        body = pack_body(
            written,
            reads={},
            next=Next(targets=tuple(targets), length=length),
            caught=caught,
            started=started,
            finished=self.now,
        )
        state = "cached" if cached else "succeeded"
        location = ("000001-000000", 0, 100) if cached else self.write_log(path, attempt, log)
        head = pack_head(
            path=path,
            call_digest=path.encode().ljust(32, b"\0")[:32],
            code_key=b"k" * 32,
            environment="host",
            attempt=attempt,
            state=state,
            predecessors=list(after),
            store=self.seed.uuid,
            exit=Exit(code=0),
            cpu=0.25,
            memory=10_000_000,
            log=location,
            origin=cached,
            isolation="fork",
        )
        columns: dict[str, Any] = {
            "was": was,
            "state": state,
            "attempt": attempt,
            "started": started,
            "finished": self.now,
            "outputs": written.index,
            "cpu": 0.25,
            "memory": 10_000_000,
        }
        info: dict[str, Any] = {}
        if caught is not None:
            info["caught"] = caught.to_plain()
        if cached:
            info["origin"] = cached
        if info:
            columns["info"] = compact(info)
        if location is not None:
            columns["log"] = compact(location)
        self._pending.append(({"path": path, **columns}, join_record(head, body), written.values))

    def fail(
        self,
        path: str,
        error: ErrorReport,
        *,
        attempt: int = 1,
        state: str = "failed",
        was: str | None = None,
        exit: Exit | None = None,
        log: Sequence[tuple[str, str]] = (),
    ) -> None:
        """End an attempt without a commit."""
        self.flush()
        started, self.now = self.now, self.now + 0.25
        location = self.write_log(path, attempt, log)
        report = AttemptReport(
            path=path,
            attempt=attempt,
            call_digest=path.encode().ljust(32, b"\0")[:32],
            error=error,
            exit=exit,
            cpu=0.1,
            memory=5_000_000,
            started=started,
            finished=self.now,
            log=location,
        )
        if state != "cancelled":
            put_report(self.seed.store, self.id, report)
        plain_exit = None
        if exit is not None:
            known = {"code": exit.code, "signal": exit.signal, "last_memory": exit.last_memory}
            plain_exit = {name: value for name, value in known.items() if value is not None}
        columns: dict[str, Any] = {
            "was": was,
            "state": state,
            "attempt": attempt,
            "started": started,
            "finished": self.now,
            "error": compact(error.to_plain()),
            "cpu": 0.1,
            "memory": 5_000_000,
        }
        if plain_exit is not None:
            columns["info"] = compact({"exit": plain_exit})
        if location is not None:
            columns["log"] = compact(location)
        if state != "cancelled":
            self.event(EventKind.ATTEMPT, path, attempt=attempt, error=error.to_plain(), exit=plain_exit)
        self.event(EventKind.TASK, path, **columns)

    def write(self, path: str, stream: str, text: str, *, attempt: int = 1) -> None:
        """A chunk of a task's output, on disk at once."""
        offset = self._offsets.get((path, attempt, stream), 0)
        data = text.encode()
        self.logs.append(path, attempt, stream, offset, self.now, data)
        self._offsets[path, attempt, stream] = offset + len(data)
        self.logs.flush()

    def write_log(self, path: str, attempt: int, chunks: Sequence[tuple[str, str]]) -> tuple[str, int, int] | None:
        """Write (stream, text) chunks; where all of the attempt's are."""
        for stream, text in chunks:
            self.write(path, stream, text, attempt=attempt)
        return self.logs.location(path, attempt)

    def flush(self) -> None:
        """Write the records, then the rows."""
        if self._pending:
            places = self.segments.append([(record, values) for _, record, values in self._pending])
            for (columns, _, _), (key, frame, _) in zip(self._pending, places, strict=True):
                path = columns.pop("path")
                self.event(EventKind.TASK, path, record=compact([key, frame]), **columns)
            self._pending.clear()
        if self._events:
            self.seed.provider.append(self.id, self._events, fence=self.fence)
            self._events = []

    def end(self, state: str = "succeeded", *, failed: str | None = None, message: str = "") -> SeedRun:
        """End the run as a driver does."""
        self.flush()
        error = None if failed is None else {"path": failed, "message": message}
        put_end(self.seed.store, self.id, self.fence, RunEnd(state=state, finished=self.now, error=error))
        extra: dict[str, Any] = {} if error is None else {"error": error}
        self.event(EventKind.RUN_STATE, state=state, finished=self.now, **extra)
        return self.stop()

    def stop(self) -> SeedRun:
        """Write what there is and let go of the lease: the run is lost unless it has ended."""
        self.flush()
        if self.lease is not None:
            self.seed.provider.release(self.lease)
            self.lease = None
        return self


def error(message: str = "bad luck", type: str = "builtins.ValueError") -> ErrorReport:
    """A failure."""
    traceback = (
        f'Traceback (most recent call last):\n  File "flow.py", line 7, in train\n    raise\n{type}: {message}\n'
    )
    return ErrorReport(type=type, message=message, traceback=traceback, bases=(type, "builtins.Exception"))


def trained(seed: Seed, width: int = 3, **options: Any) -> SeedRun:
    """A finished run of the foreach flow."""
    run = seed.run(**options)
    run.expect("start", 1)
    run.task("start", {"xs": list(range(width)), "base": 10}, targets=["train"], length=width)
    run.expect("train", width)
    for i in range(width):
        run.task(f"train[{i}]", {"y": i * i, "name": f"model {i}"}, after=["start"], targets=["join"])
    run.expect("join", 1)
    run.task(
        "join",
        {"total": sum(i * i for i in range(width))},
        after=[f"train[{i}]" for i in range(width)],
        targets=["end"],
    )
    run.expect("end", 1)
    run.task("end", {"done": True}, after=["join"])
    return run.end()


def wait_until(condition: Any, what: str, *, seconds: float = 30.0) -> None:
    """Wait for a condition that another process or thread brings about."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.01)
