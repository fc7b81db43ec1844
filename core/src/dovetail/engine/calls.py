"""Turns planned tasks into task calls: what a step's options, code and environment add to its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from blake3 import blake3

from dovetail.artifacts.reads import error_digest
from dovetail.engine.caching import cache_key
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.tasks import CallInputs, CodeRef, Isolation, Policy, Resources, TaskCall

if TYPE_CHECKING:
    from dovetail.interfaces.tasks import JoinInput
    from dovetail.planning.planned import PlannedTask

__all__ = ["CallBuilder", "StepPlan"]

_DOMAIN = b"dovetail-call-1\0"
_CALLED = b"dovetail-call-2\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What every task of a step shares."""

    code: CodeRef
    """What runs."""
    environment: str
    """Id of the locked environment."""
    resources: Resources
    """What a task asks of its backend."""
    backend: str
    """Name of the compute instance."""
    datastore: str
    """UUID of the data store that takes the values."""
    isolation: Isolation
    """Process or thread."""
    policy: Policy
    """Retries, time limit, catch, reuse, caching."""
    group: str = ""
    """Name of the workers that run its tasks."""
    here: str = ""
    """Of a task that others call: how their process runs it, `inline`, `thread` or `either` (a call is inline, what is
    submitted a thread); empty: another process does."""
    hooks: tuple[tuple[str, str], ...] = ()
    """(kind, `module:name`) of what is called when one of its tasks has ended."""
    own_hooks: bool = False
    """Whether these are of single calls, so that the run's description does not tell of them."""
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Limit → slots that a task holds while it runs."""
    waits: bool = False
    """Whether no process runs its tasks: they end when somebody outside of the run answers."""


class CallBuilder:
    """Makes the task call of a planned task.

    The call digest covers code, environment and inputs (scope, foreach indexes with their sequences, joined
    scopes). Siblings of a foreach differ in one index only, so the rest is hashed once and copied.

    Args:
        steps: Step → what its tasks share.
        store: UUID of the run's data store.
    """

    def __init__(self, steps: Mapping[str, StepPlan], *, store: str) -> None:
        self._steps = steps
        self._store = store
        self._stem: tuple[object, object, object] = (None, None, None)
        self._stem_hash = blake3()

    def plan(self, task: PlannedTask) -> StepPlan:
        """What a task shares with the others of its step."""
        plan: StepPlan = task.plan or self._steps[task.step]
        return plan

    def build(self, task: PlannedTask) -> TaskCall:
        """The task call."""
        plan = self.plan(task)
        return TaskCall(
            path=task.path,
            step=task.step,
            code=plan.code,
            inputs=CallInputs(scope=task.scope, frames=task.frames, joined=task.joined, arguments=task.arguments),
            digest=self._digest(plan, task),
            environment=plan.environment,
            resources=plan.resources,
            backend=plan.backend,
            datastore=plan.datastore,
            isolation=plan.isolation,
            policy=plan.policy,
            cache_key=None if task.arguments is None else cache_key(plan, task.arguments, self._store),
        )

    def _digest(self, plan: StepPlan, task: PlannedTask) -> bytes:
        if task.arguments is not None:
            before, behind = around_arguments(plan)
            return blake3(before + task.arguments.digest + behind).digest()
        frames = task.frames
        inner = frames[-1].sequence if frames else None
        stem = (plan, task.scope, inner)
        if any(a is not b for a, b in zip(stem, self._stem, strict=True)):
            self._stem = stem
            self._stem_hash = blake3(_DOMAIN + plan.code.key + task.scope.digest)
            self._stem_hash.update(len(plan.environment).to_bytes(2, "little") + plan.environment.encode())
        hasher = self._stem_hash.copy()
        for frame in frames:
            hasher.update(frame.sequence.ref.digest + frame.index.to_bytes(8, "little"))
        if task.joined is not None:
            hasher.update(b"joined" + len(task.joined).to_bytes(8, "little"))
            for joined in task.joined:
                hasher.update(_failed(joined) if joined.scope is None else b"\1" + joined.scope.digest)
        return hasher.digest()


def around_arguments(plan: StepPlan) -> tuple[bytes, bytes]:
    """What is before and behind the digest of the arguments in what the digest of a task's call is made of."""
    environment = plan.environment.encode()
    return _CALLED + plan.code.key, len(environment).to_bytes(2, "little") + environment


def _failed(joined: JoinInput) -> bytes:
    """Stands for the scope of an input that failed."""
    return b"\0" if joined.error is None else b"\2" + error_digest(joined.error.to_plain())
