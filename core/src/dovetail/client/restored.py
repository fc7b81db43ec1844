"""The journal of a run, made anew from what its data store holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.rows import committed_columns, exit_to_plain, failed_columns
from dovetail.interfaces.errors import BackendError, StoreError
from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.states import RunState, TaskState

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.reports import AttemptReport
    from dovetail.artifacts.waits import Question
    from dovetail.client.homes import NamedStore
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["RestoredRun", "restore_run", "run_ids"]

WRITER = "metadata-rebuild"
"""Who wrote the events. They are the same however often a journal is made anew."""

HELD_SECONDS = 0.02
"""How long a driver holds events back, to write them in groups."""


@dataclass(slots=True, kw_only=True)
class RestoredRun:
    """What a data store says of a run."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    created: float
    """Seconds since the epoch."""
    state: str
    """State of the run; `running` where no driver wrote an end."""
    tags: tuple[str, ...]
    """User tags at the start."""
    fence: int
    """The newest driver's."""
    events: list[Event]
    """The journal, without what came through the inbox."""
    inbox: list[Event]
    """What came through the inbox and was acted on."""
    tasks: int
    """Tasks that left a record or a report."""
    problems: list[str] = field(default_factory=list)
    """What could not be read of it."""


def run_ids(store: DataStore) -> Iterator[str]:
    """Ids of the runs in a store, oldest first, without a look at all of their keys."""
    after: str | None = None
    while True:
        info = next(iter(store.scan("runs/", after=after)), None)
        if info is None:
            return
        run = info.key.split("/")[1]
        yield run
        after = f"runs/{run}0"  # "0" is the character behind "/": past every key of the run


def restore_run(place: NamedStore, run: str) -> RestoredRun:
    """Make the journal of a run anew. It names the data store as that was opened here, whatever `run.json` says of it:
    the store may have been moved, or be one that nobody trusts.

    Raises:
        NotFoundError: The run has no `run.json`: it was never begun.
        StoreError: Something of it can't be read.
    """
    from dovetail.artifacts.fences import newest_fence
    from dovetail.artifacts.manifest import read_manifest
    from dovetail.artifacts.reports import read_end, read_inbox, read_reports
    from dovetail.artifacts.segments import read_records
    from dovetail.interfaces.flow import FlowDescription

    store, uuid = place.store, place.uuid
    manifest = read_manifest(store, run)
    flow = FlowDescription.from_plain(manifest.description)
    fence = newest_fence(store, run)
    problems: list[str] = []
    end = read_end(store, run)
    ended = end[1] if end is not None and end[0] >= fence else None
    journal = _Journal()
    journal.begin(manifest, flow, fence, _parameters(store, uuid, manifest, problems), place)
    records = {record.path: record for record in read_records(store, run, uuid=uuid, problems=problems)}
    reports: dict[str, list[AttemptReport]] = {}
    for report in read_reports(store, run):
        reports.setdefault(report.path, []).append(report)
    for step, count in _expected(flow, records, reports).items():
        journal.add(EventKind.EXPECTED, step=step, count=count)
    # Where two came at the same time, the records tell in what order they were written.
    paths = list({**records, **reports})
    paths.sort(key=lambda path: _first_told(records.get(path), reports.get(path, [])))
    for path in paths:
        journal.task(path, records.get(path), reports.get(path, []), ended=ended is not None)
    if ended is None or not RunState(ended.state).final:
        for question in _questions(store, run, {*records, *reports}):
            journal.time = question.since
            info = json.dumps({"wait": question.to_plain()})
            journal.add(EventKind.TASK, question.path, state="waiting", attempt=1, started=question.since, info=info)
    state = RunState.RUNNING.value
    if ended is not None:
        state = ended.state
        journal.time = ended.finished
        journal.add(EventKind.RUN_STATE, state=state, finished=ended.finished, **_why(ended.error, ended.reason))
    return RestoredRun(
        run=run,
        flow=manifest.flow,
        created=manifest.created,
        state=state,
        tags=tuple(manifest.tags),
        fence=fence,
        events=journal.events,
        inbox=read_inbox(store, run),
        tasks=len(paths),
        problems=problems,
    )


def _first_told(record: CommitRecord | None, reports: list[AttemptReport]) -> float:
    """When a task first came into its journal, which is its place in every listing: at the end of its first attempt,
    or while that ran if it took longer than events were held back."""
    ends = [(report.finished, report.started) for report in reports]
    if record is not None:
        ends.append((record.finished, record.started))
    finished, started = min(ends, key=lambda end: end[0])
    return finished if started is None else min(finished, started + HELD_SECONDS)


def _questions(store: DataStore, run: str, ended: set[str]) -> Iterator[Question]:
    """What tasks wait for that left neither a record nor a report."""
    from dovetail.artifacts.waits import question_paths, read_question

    for path in question_paths(store, run):
        question = None if path in ended else read_question(store, run, path)
        if question is not None:
            yield question


def _why(error: Mapping[str, Any] | None, reason: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if error is not None:
        found["error"] = dict(error)
    if reason:
        found["reason"] = reason
    return found


def _parameters(store: DataStore, uuid: str, manifest: RunManifest, problems: list[str]) -> dict[str, Any]:
    """Values of the parameters; the manifest has references."""
    from dovetail.artifacts.packing import ref_from_plain
    from dovetail.artifacts.store import ArtifactStore

    artifacts = ArtifactStore({uuid: store}, default=uuid, safe=True)
    values: dict[str, Any] = {}
    for name, plain in manifest.parameters.items():
        try:
            values[name] = artifacts.load(ref_from_plain(plain), name=name)
        except (StoreError, BackendError) as error:
            problems.append(f"parameter {name} of run {manifest.run} is left out: {error.message}")
    return values


def _expected(
    flow: FlowDescription, records: Mapping[str, CommitRecord], reports: Mapping[str, list[AttemptReport]]
) -> dict[str, int]:
    """Step → tasks that were known to come. Of joins only those that began: nothing says that others were due."""
    from dovetail.interfaces.paths import step_of

    joins = {step.name for step in flow.steps if step.is_join}
    expected: dict[str, int] = {flow.start: 1}
    for record in records.values():
        taken = record.next
        if taken is None:
            continue
        for target in taken.targets:
            if target not in joins:
                expected[target] = expected.get(target, 0) + (1 if taken.length is None else taken.length)
    for path in {**records, **reports}:
        step = step_of(path)
        if step in joins:
            expected[step] = expected.get(step, 0) + 1
    return {step: count for step, count in expected.items() if count}


class _Journal:
    """Collects events, each with the time of what it tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.time = 0.0

    def add(self, kind: str, path: str = "", **data: Any) -> None:
        self.events.append(Event(WRITER, len(self.events) + 1, kind, self.time, path, data))

    def begin(
        self, manifest: RunManifest, flow: FlowDescription, fence: int, parameters: dict[str, Any], place: NamedStore
    ) -> None:
        """The run was made and a driver took it."""
        self.time = manifest.created
        file = manifest.info.get("file") or flow.file
        self.add(
            EventKind.RUN_CREATED,
            flow=manifest.flow,
            user=manifest.user,
            tags=list(manifest.tags),
            system_tags=list(manifest.system_tags),
            parameters=parameters,
            origin=manifest.origin,
            store={**place.pin, "uuid": place.uuid},
            start=flow.start,
            end=flow.end,
            **({"file": file} if file else {}),
        )
        if fence:
            self.add(EventKind.DRIVER, fence=fence, host=str(manifest.info.get("host", "")), pid=0)
        self.add(EventKind.RUN_STATE, state=RunState.RUNNING.value, started=manifest.created)

    def task(self, path: str, record: CommitRecord | None, reports: list[AttemptReport], *, ended: bool) -> None:
        """A task's attempts and how it ended."""
        reports = sorted(reports, key=lambda report: report.attempt)
        for report in reports:
            self.time = report.finished
            self.add(
                EventKind.ATTEMPT,
                path,
                attempt=report.attempt,
                error=report.error.to_plain(),
                exit=None if report.exit is None else exit_to_plain(report.exit),
            )
        if record is not None:
            self.time = record.finished
            self.add(EventKind.TASK, path, state=record.state, **committed_columns(record))
        else:
            # Where its run has not ended, it may have another attempt.
            state = TaskState.FAILED if ended else TaskState.WAITING
            self.add(EventKind.TASK, path, state=state.value, **failed_columns(reports[-1]))
