"""Why a task ran, or was reused: which of the parts that it depends on differ from an earlier run's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from dovetail.client.inputs import inputs_of
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError, NotFoundError, StoreError, UnknownNameError
from dovetail.interfaces.events import EventKind
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import TaskState

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["Explanation", "Part", "explain_task"]

_RUNS = 50
"""Rows of earlier runs that are looked at with one query."""
_RAN = "runs: "
"""What the driver's note of why a task ran begins with."""
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that a task depends on."""

    kind: Literal["input", "code", "environment"]
    """What it is."""
    name: str
    """Name of the argument or artifact; of code what changed, such as `flow.py:helper`, or empty; of the environment
    empty."""
    state: Literal["same", "changed", "added", "gone"]
    """How it compares."""
    was: Any = None
    """Before, as JSON-able data: the value of an argument where it is at hand, else its identity."""
    now: Any = None
    """Now."""

    def to_plain(self) -> dict[str, Any]:
        """This part as JSON-able data."""
        return {"kind": self.kind, "name": self.name, "state": self.state, "was": self.was, "now": self.now}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What became of a task, and how what it depends on compares with an earlier one."""

    task: Task
    """The task."""
    reused_from: str | None
    """Run that made its value; None when it ran."""
    cached_by: str | None
    """Parts that its cache key covers; None where it is not cached."""
    reason: str
    """Why the driver ran it though there was something to reuse, in words; empty where it noted nothing."""
    baseline: Task | None
    """What it is compared with; None when there is no earlier one."""
    parts: tuple[Part, ...] = ()
    """Inputs, code, environment, the changed and the same; empty without a baseline."""

    @property
    def changed(self) -> tuple[Part, ...]:
        """The parts that differ."""
        return tuple(part for part in self.parts if part.state != "same")

    def to_plain(self) -> dict[str, Any]:
        """This explanation as JSON-able data."""
        return {
            "run": self.task.run.id,
            "path": self.task.path,
            "state": str(self.task.state),
            "reused_from": self.reused_from,
            "cached_by": self.cached_by,
            "reason": self.reason or None,
            "compared_with": None if self.baseline is None else self.baseline.pathspec,
            "parts": [part.to_plain() for part in self.parts],
        }


def explain_task(task: Task, *, notes: Mapping[str, str] | None = None) -> Explanation:
    """Compare a task with the newest earlier one: at the same path, or else of the same step.

    Args:
        task: The task.
        notes: Path → why the driver ran it (`reasons_of`); read from the journal by default.
    """
    facts = _facts(task)
    origin = task.metadata.get("origin") if task.state is TaskState.CACHED else None
    reused = origin if isinstance(origin, str) else task.run.origin if task.state is TaskState.CACHED else None
    baseline = _baseline(task)
    return Explanation(
        task=task,
        reused_from=reused,
        cached_by=facts.cached_by,
        reason=(reasons_of(task.run) if notes is None else notes).get(task.path, ""),
        baseline=baseline,
        parts=() if baseline is None else tuple(_compared(_facts(baseline), facts)),
    )


def reasons_of(run: Run) -> dict[str, str]:
    """Path → why the driver ran a task though there was something to reuse. Reads the whole journal."""
    found = {}
    for event in run.events():
        message = event.data.get("message", "") if event.kind == EventKind.NOTE else ""
        if event.path and message.startswith(_RAN):
            found[event.path] = message[len(_RAN) :]
    return found


# -- what it is compared with -----------------------------------------------------------------------------------------


def _baseline(task: Task) -> Task | None:
    run = _earlier(task, path=task.path)
    if run is not None:
        return run.task(task.path)
    run = _earlier(task, step=task.step_name)
    if run is None:
        return None
    others = list(run.tasks(step=task.step_name, state=("succeeded", "cached"), oldest_first=True))
    alike = [one for one in others if one.indexes == task.indexes]
    place = sum(1 for _ in _until(task))
    return alike[min(place, len(alike) - 1)] if alike else others[-1]


def _until(task: Task) -> Iterator[Task]:
    """The tasks of the step, at the same indexes, that came before a task in its run."""
    for one in task.run.tasks(step=task.step_name, oldest_first=True):
        if one.path == task.path:
            return
        if one.indexes == task.indexes:
            yield one


def _earlier(task: Task, *, path: str | None = None, step: str | None = None) -> Run | None:
    """The newest run of the flow before a task's own that has committed such a task."""
    from dovetail.client.lookup import find_run
    from dovetail.client.pathspec import parse_pathspec
    from dovetail.client.run import Run

    own = task.run
    states, cursor = ("succeeded", "cached"), None
    while True:
        query = Query(kind="tasks", flow=own.flow_name, path=path, step=step, states=states, limit=_RUNS, cursor=cursor)
        page = own._connection.provider.query(query, columns=("run",))
        for (run,) in page.rows:
            if run < own.id:  # ids sort by time
                return Run._of(own._connection, find_run(own._connection, parse_pathspec(run)))
        if page.cursor is None:
            return None
        cursor = page.cursor


# -- what it depends on -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Facts:
    """What a task depends on, as far as it is on record."""

    inputs: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Name → (identity, what is shown of it)."""
    code_key: str = ""
    code_parts: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    cached_by: str | None = None


def _facts(task: Task) -> _Facts:
    """Facts of a committed task from its record; of another one from what its run pinned."""
    from dovetail.client.stores import record_of

    found = _Facts()
    for name, one in (inputs_of(task) or {}).items():
        found.inputs[name] = one.digest, one.value if one.is_inline else f"{one.type}, {one.size} bytes"
    try:
        step = task.run.graph.by_name.get(task.step_name)
        pinned = task.run.manifest.environments.get(task.step_name, {})
    except DovetailError:
        step, pinned = None, {}
    found.code_key = "" if step is None else step.code_key
    found.environment = str(pinned.get("id", ""))
    if task.state.committed:
        try:
            record = record_of(task)
        except DovetailError:
            return found
        found.code_key, found.environment = record.code_key.hex(), record.environment
        found.cached_by = None if record.cache is None else record.cache.by
        found.inputs.update(_reads(record))
    if step is not None and step.code_key == found.code_key:
        found.code_parts = step.code_parts
    else:
        found.code_parts = _called_parts(task.run, found.code_key)
    return found


def _called_parts(run: Run, code_key: str) -> dict[str, str]:
    from dovetail.artifacts.called_tasks import read_task_code

    try:
        return read_task_code(run._store, run.id, code_key) if code_key else {}
    except (NotFoundError, StoreError, UnknownNameError):
        return {}


def _reads(record: CommitRecord) -> Iterator[tuple[str, tuple[str, Any]]]:
    """What a step read: name → identity."""
    for name, digest in record.reads.items():
        if name:
            yield name, _identity([digest])
            continue
        for of_inputs, digests in digest.items():
            yield f"inputs[].{of_inputs}", _identity(digests)


def _identity(digests: list[bytes | None]) -> tuple[str, Any]:
    text = ",".join("absent" if digest is None else digest.hex() for digest in digests)
    return text, text if len(digests) == 1 and digests[0] is None else f"{text[:12]}…"


# -- comparing --------------------------------------------------------------------------------------------------------


def _compared(was: _Facts, now: _Facts) -> Iterator[Part]:
    for name in dict.fromkeys([*now.inputs, *was.inputs]):
        before, after = was.inputs.get(name), now.inputs.get(name)
        yield Part(
            kind="input",
            name=name,
            state=_state(before and before[0], after and after[0]),
            was=None if before is None else before[1],
            now=None if after is None else after[1],
        )
    yield from _code(was, now)
    yield Part(
        kind="environment",
        name="",
        state="same" if was.environment == now.environment else "changed",
        was=was.environment,
        now=now.environment,
    )


def _code(was: _Facts, now: _Facts) -> Iterator[Part]:
    if was.code_key == now.code_key:
        yield Part(kind="code", name="", state="same", was=was.code_key, now=now.code_key)
        return
    named = False
    for name in dict.fromkeys([*now.code_parts, *was.code_parts] if was.code_parts and now.code_parts else ()):
        before, after = was.code_parts.get(name), now.code_parts.get(name)
        if before != after:
            named = True
            yield Part(kind="code", name=name, state=_state(before, after), was=before, now=after)
    if not named:
        yield Part(kind="code", name="", state="changed", was=was.code_key, now=now.code_key)


def _state(before: str | None, after: str | None) -> Literal["same", "changed", "added", "gone"]:
    if before is None or after is None:
        return "added" if before is None else "gone"
    return "same" if before == after else "changed"
