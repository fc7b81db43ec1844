"""Finds recorded tasks that a run may reuse instead of running them: resume and continue are this look-up.

A record of the same run counts when its call digest is the call's: code, inputs and environment are the same. A
record of an origin run counts when path, code and environment are the same and every name that it read has the same
digest in the present scope; what it did not read may differ.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.index import encode_index
from dovetail.artifacts.reads import (
    ERROR_READ,
    NAMES_READ,
    STACK_READ,
    STEP_READ,
    error_digest,
    index_digest,
    names_digest,
    stack_digest,
    step_digest,
)
from dovetail.artifacts.scopes import ScopeReader
from dovetail.interfaces.artifacts import ArtifactRef
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.paths import parse_path, step_of
from dovetail.interfaces.tasks import ForeachFrame, JoinInput, Scope, TaskCall, TaskOutcome

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.sequences import SequenceReader
    from dovetail.engine.caching import ResultCache

__all__ = ["Recorded", "Reuse"]

SCOPES_KEPT = 64
_PLACES = {"input": "its item", "index": "its index", STACK_READ: "its place in the foreach"}
"""Reads of where a task is, in words."""
_NAMELESS = {
    "input": "the item",
    "index": "the index",
    STACK_READ: "the place in the foreach",
    ERROR_READ: "the failure",
    NAMES_READ: "the names of the artifacts",
    STEP_READ: "the step",
}
"""Reads from an input of a join that are no artifacts, in words."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """Why a task is reused or run."""

    record: CommitRecord | None
    """The record that stands for the task; None when it must run."""
    reason: str = ""
    """Why it must run, in words; empty when there is nothing recorded to compare with."""
    values: bytes | None = None
    """Values section of the record, where it is read already."""


@dataclass(kw_only=True)
class Recorded:
    """Recorded tasks of this run and of the runs that it resumes.

    Args:
        run: This run.
        own: Records of this run, when it is continued.
        origins: Records of each origin run, the newest run first.
        failed: Paths that failed in the newest origin, so that the reason can say it.
        rerun: Steps that must run whatever is recorded (`--from`).
        ignore_code: Steps whose code may differ; empty string in it: any step.
        open_sequence: Opens a foreach sequence, for the digest of an item.
        parts: Step → what went into its code key, of the newest origin, to name what changed.
        cache: Finds what any other run has made, once nothing here fits.
    """

    run: str
    own: Iterable[CommitRecord] = ()
    origins: Iterable[Iterable[CommitRecord]] = ()
    failed: Iterable[str] = ()
    rerun: frozenset[str] = frozenset()
    ignore_code: frozenset[str] = frozenset()
    open_sequence: Callable[[ArtifactRef], SequenceReader]
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    present_parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cache: ResultCache | None = None

    def __post_init__(self) -> None:
        self._own = {(r.path, r.call_digest): r for r in self.own}
        self._origins: dict[str, list[CommitRecord]] = {}
        for records in self.origins:
            for record in records:
                self._origins.setdefault(record.path, []).append(record)
        self._failed = frozenset(self.failed)
        self._paths: dict[str, list[str]] | None = None
        self._scopes: dict[Scope, ScopeReader] = {}
        self._sequences: dict[bytes, SequenceReader] = {}

    @classmethod
    def nothing(cls, run: str) -> Recorded:
        """Of a new run without an origin."""

        def unused(_: object) -> Any:
            raise AssertionError("nothing is recorded")

        return cls(run=run, open_sequence=unused)

    @property
    def own_records(self) -> Iterable[CommitRecord]:
        """Records of this run."""
        return self._own.values()

    def know(self, records: Iterable[CommitRecord]) -> None:
        """Take in records of this run that were written since."""
        self._own.update({(r.path, r.call_digest): r for r in records})
        self._paths = None

    def calls_of(
        self, step: str, code_key: bytes, environment: str, callers: Iterable[str]
    ) -> Iterator[tuple[CommitRecord, bool]]:
        """(record, whether it is of this run) of calls that stand for what some tasks may call again.

        Args:
            step: The called task.
            code_key: Of its code.
            environment: Id of its environment.
            callers: Paths of the calling tasks; an empty one stands for the body of a function flow, which calls at
                the top.
        """
        for path in self._below(step, callers):
            own = self._own_at.get(path, {}).get((code_key, environment))
            if own is not None:
                yield own, True
                continue
            for record in () if step in self.rerun else self._origins.get(path, ()):
                same_code = record.code_key == code_key or self.ignore_code & {"", step}
                if same_code and record.environment == environment:
                    yield record, False
                    break

    def _below(self, step: str, callers: Iterable[str]) -> Iterator[str]:
        """Paths of the recorded calls of a task below some callers."""
        if self._paths is None:
            self._paths = {}
            self._own_at: dict[str, dict[tuple[bytes, str], CommitRecord]] = {}
            for record in self._own.values():
                self._own_at.setdefault(record.path, {})[record.code_key, record.environment] = record
            for path in sorted({*self._own_at, *self._origins}):
                self._paths.setdefault(step_of(path), []).append(path)
        paths = self._paths.get(step, [])
        for caller in callers:
            prefix = f"{caller}/" if caller else ""
            for path in islice(paths, bisect_left(paths, prefix), None):
                if not path.startswith(prefix):
                    break
                yield path

    def __bool__(self) -> bool:
        return bool(self._own or self._origins)

    def find(self, call: TaskCall) -> Reuse:
        """The record that stands for a call, or why there is none."""
        found = self._find(call)
        if found.record is not None or self.cache is None or call.cache_key is None or call.step in self.rerun:
            return found
        hit = self.cache.find(call)
        if hit.record is not None:
            return Reuse(hit.record, values=hit.values)
        return Reuse(None, found.reason or hit.reason)

    def _find(self, call: TaskCall) -> Reuse:
        """As `find`, in this run and those that it resumes."""
        own = self._own.get((call.path, call.digest))
        if own is not None:
            return Reuse(own)
        candidates = self._origins.get(call.path)
        if not candidates:
            reason = "it had failed" if call.path in self._failed else "it had not finished"
            return Reuse(None, reason if self._origins else "")
        if call.step in self.rerun:
            return Reuse(None, "asked for by --from")
        reason = ""
        for record in candidates:
            difference = self._difference(record, call)
            if not difference:
                return Reuse(record)
            reason = reason or difference
        return Reuse(None, reason)

    def _difference(self, record: CommitRecord, call: TaskCall) -> str:
        """What keeps a record from standing for a call; empty when nothing does."""
        if record.code_key != call.code.key and not self.ignore_code & {"", call.step}:
            return self._code_difference(call.step)
        if record.environment != call.environment:
            return f"environment changed from {record.environment} to {call.environment}"
        if call.inputs.arguments is not None:
            return ""  # the path of a call holds the identity of its arguments
        for name, digest in record.reads.items():
            if name and self._digest(call, name) != digest:
                return f"{_PLACES.get(name) or f'input {name}'} changed"
        inputs = call.inputs.joined
        if inputs is None:
            return ""
        count = _joined_by(record)
        if count != len(inputs):
            return f"it joins {len(inputs)} tasks instead of {count}"
        for name, digests in record.reads.get("", {}).items():
            for joined, digest in zip(inputs, digests, strict=True):
                if digest != b"" and self._joined_digest(joined, name) != digest:
                    return f"{_NAMELESS.get(name) or f'input {name}'} of {joined.path} changed"
        return ""

    def _code_difference(self, step: str) -> str:
        was, present = self.parts.get(step, {}), self.present_parts.get(step, {})
        changed = [name for name in present if was.get(name) != present[name]]
        gone = [name for name in was if name not in present]
        named = ", ".join([*changed, *gone][:3])
        return f"code of {named} changed" if named else "code changed"

    def _digest(self, call: TaskCall, name: str) -> bytes | None:
        if name in _PLACES:
            return self._place_digest(call.inputs.frames, name)
        return self._scope_digest(call.inputs.scope, name)

    def _joined_digest(self, joined: JoinInput, name: str) -> bytes | None:
        if name in _PLACES and joined.frames:
            return self._place_digest(joined.frames, name)
        if name == ERROR_READ:
            return None if joined.error is None else error_digest(joined.error.to_plain())
        if name == STEP_READ:
            return step_digest(step_of(joined.path))
        if joined.scope is None:
            return None
        if name == NAMES_READ:
            return names_digest(self._reader(joined.scope).names())
        return self._scope_digest(joined.scope, name)

    def _place_digest(self, frames: tuple[ForeachFrame, ...], name: str) -> bytes | None:
        if name == STACK_READ:
            return stack_digest((frame.sequence.ref.digest, frame.index) for frame in frames)
        if not frames:
            return None
        frame = frames[-1]
        if name == "index":
            return index_digest(frame.index)
        ref = frame.sequence.ref
        reader = self._sequences.get(ref.digest)
        if reader is None:
            reader = self._sequences[ref.digest] = self.open_sequence(ref)
        return reader.digest(frame.index)

    def _scope_digest(self, scope: Scope, name: str) -> bytes | None:
        ref = self._reader(scope).get(name)
        return None if ref is None else ref.digest

    def _reader(self, scope: Scope) -> ScopeReader:
        reader = self._scopes.get(scope)
        if reader is None:
            if len(self._scopes) >= SCOPES_KEPT:
                self._scopes.clear()
            reader = self._scopes[scope] = ScopeReader(scope.layers())
        return reader


def _joined_by(record: CommitRecord) -> int:
    """How many tasks the task of a record joined; the predecessor of an empty foreach's join is the split itself."""
    if len(record.predecessors) == 1:
        depth = len(parse_path(record.path)[-1].indexes)
        return len(parse_path(record.predecessors[0])[-1].indexes) - depth
    return len(record.predecessors)


def outcome_of(record: CommitRecord, values: bytes) -> TaskOutcome:
    """A record as the outcome of an attempt: what the worker's half said, verbatim."""
    return TaskOutcome(
        path=record.path,
        attempt=record.attempt,
        started=record.started,
        finished=record.finished,
        caught=record.caught,
        body=record.body,
        values=values,
        outputs=record.table,
        outputs_digest=record.outputs_digest,
        index=encode_index(record.table),
        next=record.next,
    )
