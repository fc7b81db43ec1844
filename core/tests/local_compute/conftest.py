"""A stand-in for the driver: real groups, real stores, and an event loop that waits for what a test asks."""

from __future__ import annotations

import select
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.scopes import ScopeReader, pack_layer, root_scope, scope_digest
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.tasks import (
    CallInputs,
    CodeRef,
    ForeachFrame,
    Isolation,
    Policy,
    Resources,
    Scope,
    Sequenced,
    TaskCall,
    TaskOutcome,
)
from dovetail.interfaces.workers import (
    Assignment,
    Described,
    Ended,
    Exited,
    Failed,
    Launch,
    Output,
    RunFacts,
    Started,
    WorkerEvent,
)
from dovetail.local.store import LocalStore
from dovetail.local.workers import LocalWorkerGroup

STORE = "5f0c1c1e-0000-4000-8000-000000000001"
PATIENCE = 60.0


class Driver:
    """Drives one group."""

    def __init__(self, folder: Path, source: str, *, name: str = "flow.py", launch: Mapping[str, Any] | None = None):
        self.folder = folder
        self.file = folder / name
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(textwrap.dedent(source))
        options: dict[str, Any] = {"python": (sys.executable,), "cwd": str(folder), **(launch or {})}
        self.group = LocalWorkerGroup(Launch(file=str(self.file), **options))
        self.events: list[WorkerEvent] = []
        self.flow: FlowDescription | None = None
        self.data = LocalStore.open(str(folder / "store"), None, PluginContext(instance="local", home=folder / "home"))
        self.artifacts = ArtifactStore({STORE: self.data}, None, STORE)
        self.root = root_scope({})
        self._records = 0

    # -- waiting --------------------------------------------------------------------------------------------------

    def until(self, done: Callable[[list[WorkerEvent]], bool]) -> list[WorkerEvent]:
        """Read until a condition holds; every event since the start."""
        deadline = time.monotonic() + PATIENCE
        while not done(self.events):
            wake = self.group.next_wake()
            left = deadline - time.monotonic()
            assert left > 0, f"nothing came but {self.events}"
            wait = left if wake is None else max(0.0, min(left, wake - time.monotonic()))
            select.select([self.group.fileno()], [], [], wait)
            self.events += self.group.read()
        return self.events

    def wait_for(self, kind: type[Any], worker: int | None = None, count: int = 1) -> Any:
        """The `count`-th event of a kind."""

        def found(events: list[WorkerEvent]) -> list[WorkerEvent]:
            return [e for e in events if isinstance(e, kind) and worker in (None, getattr(e, "worker", None))]

        return found(self.until(lambda events: len(found(events)) >= count))[count - 1]

    def describe(self) -> FlowDescription:
        """Wait for the description."""
        self.until(lambda events: any(isinstance(e, (Described, Failed)) for e in events))
        told = next(e for e in self.events if isinstance(e, (Described, Failed)))
        assert isinstance(told, Described), told
        self.flow = told.flow
        return told.flow

    def begin(self, **facts: Any) -> FlowDescription:
        """Describe, and begin a run."""
        flow = self.describe()
        plain = {"backend": "local", "target": str(self.folder / "store")}
        settings = {"store": STORE, **facts.pop("settings", {})}
        self.group.begin(
            RunFacts(
                run="run1",
                flow=flow.name,
                stores={STORE: plain},
                home=str(self.folder / "home"),
                settings=settings,
                **facts,
            )
        )
        refs = {}
        for name, ref in flow.constants.items():
            refs[name] = ref_from_plain({**ref, "object": STORE} if ref.get("object") == "" else ref)
        self.root = root_scope(refs)
        return flow

    # -- tasks ----------------------------------------------------------------------------------------------------

    def call(
        self,
        step: str,
        *,
        path: str | None = None,
        scope: Scope | None = None,
        policy: Policy | None = None,
        **inputs: Any,
    ) -> TaskCall:
        """A call of a step."""
        assert self.flow is not None
        return TaskCall(
            path=path or step,
            step=step,
            code=CodeRef(module=self.flow.module, name=f"{self.flow.name}.{step}", key=bytes(32)),
            inputs=CallInputs(scope=scope or self.root, **inputs),
            digest=bytes(32),
            environment="host",
            resources=Resources(),
            backend="local",
            datastore=STORE,
            isolation=Isolation.AUTO,
            policy=policy or Policy(),
        )

    def assign(self, step: str, *, worker: int | None = None, attempt: int = 1, last: bool = True, **call: Any) -> int:
        """Assign an attempt, by default to a new worker of its own."""
        number = self.group.start(Isolation.AUTO, tasks=1) if worker is None else worker
        self.group.assign(number, [Assignment(self.call(step, **call), attempt, last)])
        return number

    def run(self, step: str, *, isolation: Isolation = Isolation.AUTO, tasks: int = 1, **call: Any) -> Ended:
        """Run one attempt on a worker of its own; how it ended."""
        worker = self.group.start(isolation, tasks=tasks)
        self.assign(step, worker=worker, **call)
        ended: Ended = self.wait_for(Ended, worker)
        if tasks != 1:
            self.group.finish(worker)
        self.wait_for(Exited, worker)
        return ended

    def outcome(self, step: str, **call: Any) -> TaskOutcome:
        """Run one attempt that must succeed."""
        ended = self.run(step, **call)
        assert ended.outcome is not None, ended
        assert ended.outcome.error is None, ended.outcome.error.traceback
        return ended.outcome

    def commit(self, outcome: TaskOutcome, below: Scope | None = None) -> Scope:
        """Put the values of an outcome into the store; what follows it reads this scope."""
        self._records += 1
        key = f"runs/run1/values-{self._records}"
        self.data.put(key, outcome.values)
        origin = (STORE, "run1", outcome.path, bytes(32), key, 0)
        layer = pack_layer(outcome.outputs, origin)
        below = below or self.root
        return Scope(below, layer, scope_digest(below.digest, outcome.outputs_digest))

    def frames(self, outcome: TaskOutcome, scope: Scope) -> list[tuple[ForeachFrame, ...]]:
        """The frames of each task of a foreach."""
        ref = ScopeReader([scope.layer]).get("_foreach")
        assert ref is not None
        assert outcome.next is not None
        assert outcome.next.length is not None
        sequence = Sequenced(ref=ref, length=outcome.next.length, step=outcome.path, var=outcome.next.var)
        return [(ForeachFrame(sequence, i),) for i in range(sequence.length)]

    def values(self, outcome: TaskOutcome) -> dict[str, Any]:
        """The outputs of an outcome, loaded."""
        scope = self.commit(outcome)
        reader = ScopeReader([scope.layer])
        return {name: self.artifacts.load(ref) for name in reader.names() if (ref := reader.get(name)) is not None}

    def output(self, path: str | None = None, stream: str | None = None) -> str:
        """What was written, by path and stream."""
        return b"".join(
            e.data
            for e in self.events
            if isinstance(e, Output) and path in (None, e.path) and stream in (None, e.stream)
        ).decode()

    def outputs(self) -> dict[tuple[str, int, str], str]:
        """(path, attempt, stream) → what was written."""
        found: dict[tuple[str, int, str], str] = defaultdict(str)
        for e in self.events:
            if isinstance(e, Output):
                found[e.path, e.attempt, e.stream] += e.data.decode()
        return dict(found)

    def started(self, worker: int) -> Started:
        """Wait for a worker to begin."""
        event: Started = self.wait_for(Started, worker)
        return event

    def wait_for_output(self, text: str) -> None:
        """Wait until a text was written."""
        self.until(lambda events: text in self.output())


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Opens drivers and closes their groups."""
    opened: list[Driver] = []

    def open_driver(source: str, **options: Any) -> Driver:
        folder = tmp_path / f"flow{len(opened)}"
        folder.mkdir()
        driver = Driver(folder, source, **options)
        opened.append(driver)
        return driver

    yield open_driver
    for driver in opened:
        driver.group.close()
        driver.data.close()


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without fork and epoll."""
    monkeypatch.setenv("DOVETAIL_FORCE_SPAWN", "1")


@pytest.fixture(autouse=True)
def plain_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers buffer lines as they do by default."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
